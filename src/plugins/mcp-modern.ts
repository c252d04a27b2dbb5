import { Readable } from 'node:stream'
import type { ReadableStream } from 'node:stream/web'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { CallerInfo } from '../auth-info.js'
import { errorText, isMessage, isRequest } from '../mcp/json-rpc.js'
import { ModernEntry, type ModernEntryOptions } from '../mcp/modern-entry.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** What serves the requests of revision 2026-07-28. */
    mcpModern: ModernEntry
  }
}

export type McpModernOptions = Omit<ModernEntryOptions, 'log'>

interface OpenRequest {
  caller: CallerInfo
  ended: AbortController
}

const LOGIN_ENDED = 'The login that this request was made with has ended.'

/**
 * Answers the requests of revision 2026-07-28 before the routes of this context see them: one endpoint serves both
 * eras, and each request says which it is of.
 */
export const mcpModern = fp<McpModernOptions>(async (app, options) => {
  const entry = new ModernEntry({ ...options, log: app.log })
  app.decorate('mcpModern', entry)
  const open = new Set<OpenRequest>()
  const unsubscribe = options.bus.subscribe('grantEnded', ({ grantId }) => {
    for (const { caller, ended } of open) if (caller.extra.grantId === grantId) ended.abort(LOGIN_ENDED)
  })
  app.addHook('preHandler', (request, reply, done) => {
    const { authInfo: caller, headers, body } = request
    // Fastify makes the route's options anew whenever they are read: they come last
    if (request.method !== 'POST' || caller === null || body === undefined || !entry.takes({ headers, body }) || request.routeOptions.url?.endsWith('/mcp') !== true) done()
    else serve(request, reply, caller).catch(done)
  })
  app.addHook('onClose', async () => { unsubscribe() })

  async function serve ({ headers, body, log }: FastifyRequest, reply: FastifyReply, caller: CallerInfo): Promise<FastifyReply> {
    const ended = new AbortController()
    const exchange = { caller, ended }
    open.add(exchange)
    // the response is over, or the client has gone
    reply.raw.once('close', () => {
      open.delete(exchange)
      ended.abort()
    })
    const response = await entry.serve({ headers, body, log }, caller, ended.signal)
    if (ended.signal.reason === LOGIN_ENDED) return reply.header('content-type', 'application/json; charset=utf-8').send(errorText(-32000, LOGIN_ENDED, isMessage(body) && isRequest(body) ? body.id : null))
    return await answer(response, reply)
  }
}, { name: 'mcp-modern', fastify: '5.x', dependencies: ['mcp-guard'] })

async function answer (response: Response, reply: FastifyReply): Promise<FastifyReply> {
  reply.code(response.status)
  for (const [name, value] of response.headers) reply.header(name, value)
  if (response.body === null) return reply.send()
  if (response.headers.get('content-type')?.startsWith('text/event-stream') === true) {
    const body: ReadableStream = response.body
    return reply.send(Readable.fromWeb(body))
  }
  return reply.send(await response.text())
}
