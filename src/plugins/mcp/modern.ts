import type { ReadableStream } from 'node:stream/web'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { CallerInfo } from '../../caller.js'
import { InvalidParamsError } from '../../errors.js'
import {
  classifyLegacyPost,
  classifyPost,
  type InvalidPost,
  type LegacyPost,
  type ModernPost
} from '../../mcp/modern/classify.js'
import type { ModernCall } from '../../mcp/modern/modern-call.js'
import { ModernHandler, type ModernHandlerOptions } from '../../mcp/modern/modern-handler.js'
import { textWithInvalidParams } from '../../mcp/wire/invalid-params.js'

/** The decorator that holds what was posted, for the routes that serve sessions. */
export const kPost: unique symbol = Symbol('fastify-mcp-oauth/post')

declare module 'fastify' {
  interface FastifyInstance {
    /** Serves the requests of revision 2026-07-28. */
    mcpModern: ModernHandler
  }
  interface FastifyRequest {
    [kPost]: LegacyPost | InvalidPost | null
  }
}

export type McpModernOptions = Omit<ModernHandlerOptions, 'log' | 'replica'>

/**
 * Serves the requests of revision 2026-07-28 before the routes of this context see them: one endpoint serves both eras,
 * and each request says which it belongs to. Other POSTs continue to the routes, which find the messages on the
 * request.
 */
export const mcpModern = fp<McpModernOptions>(async (app, options) => {
  const handler = new ModernHandler({ ...options, replica: app.mcpReplica, log: app.log })
  app.decorate('mcpModern', handler)
  app.decorateRequest(kPost, null)
  app.addHook('preHandler', (request, reply, done) => {
    if (request.method !== 'POST') {
      done()
      return
    }
    const { authInfo: caller, headers, body } = request
    const post = classifyPost(headers, body)
    if (post.kind === 'modern' && caller !== null && request.routeOptions.url?.endsWith('/mcp') === true) {
      serve(post, request, reply, caller).catch(done)
      return
    }
    request[kPost] = post.kind === 'modern' ? classifyLegacyPost(headers, body) : post
    // before a route looks at headers
    if (post.kind === 'invalid' && post.error instanceof InvalidParamsError) done(post.error)
    else done()
  })

  async function serve (
    { request }: ModernPost,
    { headers, body, log }: FastifyRequest,
    reply: FastifyReply,
    caller: CallerInfo
  ): Promise<FastifyReply> {
    const call = handler.serve({ headers, body, request, log }, caller)
    // the client may have gone while its body was read
    if (reply.raw.closed) handler.end(call)
    else reply.raw.once('close', () => { handler.end(call) })
    return await sendResponse(call, reply)
  }
}, {
  name: 'fastify-mcp-oauth/mcp-modern',
  fastify: '5.x',
  dependencies: ['fastify-mcp-oauth/mcp-guard', 'fastify-mcp-oauth/mcp-replica']
})

/** A web response: the platform's types do not say that its body consists of bytes. */
interface ByteResponse extends Omit<Response, 'body'> {
  readonly body: ReadableStream<Uint8Array> | null
}

async function sendResponse (call: ModernCall, reply: FastifyReply): Promise<FastifyReply> {
  const response: string | ByteResponse = await call.response
  if (typeof response === 'string') return reply.header('content-type', 'application/json').send(response)
  reply.code(response.status)
  for (const [name, value] of response.headers) reply.header(name, value)
  if (response.body === null) return reply.send()
  if (response.headers.get('content-type')?.startsWith('text/event-stream') === true) {
    // streams to listeners are not measured as they are sent
    return reply.send(call.outgoing.makeBody(response.body, !call.listens))
  }
  return reply.send(textWithInvalidParams(await response.text()))
}
