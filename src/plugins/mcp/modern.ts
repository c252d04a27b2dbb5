import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { isAnonymous, type CallerInfo } from '../../caller.js'
import { InvalidParamsError } from '../../errors.js'
import { assertOpenMethods } from '../../mcp/access/anonymous-methods.js'
import {
  classifyLegacyPost,
  classifyPost,
  type InvalidPost,
  type LegacyPost,
  type ModernPost
} from '../../mcp/modern/classify.js'
import type { ModernCall } from '../../mcp/modern/modern-call.js'
import { ModernHandler, type ModernHandlerOptions } from '../../mcp/modern/modern-handler.js'
import { ResponseStream, STREAM_HEADERS } from '../../mcp/modern/response-stream.js'
import { textWithInvalidParams } from '../../mcp/wire/invalid-params.js'
import { textWithServed } from '../../mcp/wire/protocol-versions.js'

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
    if (caller !== null && isAnonymous(caller.extra)) assertOpenMethods(body)
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
    http: FastifyRequest,
    reply: FastifyReply,
    caller: CallerInfo
  ): Promise<FastifyReply> {
    const { headers, body, log } = http
    const call = handler.serve({ headers, body, request, log, http }, caller)
    // the client may have gone while its body was read
    const end = () => { handler.end(call, reply.raw.writableFinished) }
    if (reply.raw.closed) end()
    else reply.raw.once('close', end)
    return await sendResponse(call, reply)
  }
}, {
  name: 'fastify-mcp-oauth/mcp-modern',
  fastify: '5.x',
  dependencies: ['fastify-mcp-oauth/mcp-guard', 'fastify-mcp-oauth/mcp-replica']
})

async function sendResponse (call: ModernCall, reply: FastifyReply): Promise<FastifyReply> {
  const response = await call.response
  if (typeof response === 'string') return reply.header('content-type', 'application/json').send(response)
  if (response instanceof ResponseStream) return reply.headers(STREAM_HEADERS).send(response)
  reply.code(response.status)
  for (const [name, value] of response.headers) reply.header(name, value)
  return reply.send(response.body === null ? undefined : textWithServed(textWithInvalidParams(await response.text())))
}
