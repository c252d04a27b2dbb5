import type { ReadableStream } from 'node:stream/web'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { CallerInfo } from '../../caller.js'
import { textWithInvalidParams } from '../../mcp/wire/invalid-params.js'
import { findInvalidParams } from '../../mcp/wire/messages.js'
import type { ModernCall } from '../../mcp/modern/modern-call.js'
import { ModernHandler, type ModernHandlerOptions } from '../../mcp/modern/modern-handler.js'
import { isModernRequest } from '../../mcp/modern/classify.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** What serves the requests of revision 2026-07-28. */
    mcpModern: ModernHandler
  }
}

export type McpModernOptions = Omit<ModernHandlerOptions, 'log' | 'replica'>

/**
 * Answers the requests of revision 2026-07-28 before the routes of this context see them: one endpoint serves both
 * eras, and each request says which it is of.
 */
export const mcpModern = fp<McpModernOptions>(async (app, options) => {
  const entry = new ModernHandler({ ...options, replica: app.mcpReplica, log: app.log })
  app.decorate('mcpModern', entry)
  app.addHook('preHandler', (request, reply, done) => {
    const { authInfo: caller, headers, body } = request
    // Fastify makes the route's options anew whenever they are read: they come last
    const invalid = request.method === 'POST' ? findInvalidParams(body) : undefined
    if (invalid !== undefined) done(invalid)
    else if (
      request.method !== 'POST' || caller === null || body === undefined || !isModernRequest({ headers, body }) ||
      request.routeOptions.url?.endsWith('/mcp') !== true
    ) done()
    else serve(request, reply, caller).catch(done)
  })

  async function serve (
    { headers, body, log }: FastifyRequest,
    reply: FastifyReply,
    caller: CallerInfo
  ): Promise<FastifyReply> {
    const call = entry.serve({ headers, body, log }, caller)
    // it may have gone while its body was read
    if (reply.raw.closed) entry.end(call)
    else reply.raw.once('close', () => { entry.end(call) })
    return await answer(call, reply)
  }
}, {
  name: 'fastify-mcp-oauth/mcp-modern',
  fastify: '5.x',
  dependencies: ['fastify-mcp-oauth/mcp-guard', 'fastify-mcp-oauth/mcp-replica']
})

/** What a web response is: the platform's types do not say that a body is bytes. */
interface ResponseOfBytes extends Omit<Response, 'body'> {
  readonly body: ReadableStream<Uint8Array> | null
}

async function answer (call: ModernCall, reply: FastifyReply): Promise<FastifyReply> {
  const response: string | ResponseOfBytes = await call.answer
  if (typeof response === 'string') return reply.header('content-type', 'application/json').send(response)
  reply.code(response.status)
  for (const [name, value] of response.headers) reply.header(name, value)
  if (response.body === null) return reply.send()
  if (response.headers.get('content-type')?.startsWith('text/event-stream') === true) {
    // what listeners are told is not measured as it is sent
    return reply.send(call.outgoing.makeBody(response.body, !call.listens))
  }
  return reply.send(textWithInvalidParams(await response.text()))
}
