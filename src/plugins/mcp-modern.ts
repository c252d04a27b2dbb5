import { Readable } from 'node:stream'
import type { ReadableStream } from 'node:stream/web'
import type { FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import { ModernEntry, type ModernEntryOptions } from '../mcp/modern-entry.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** What serves the requests of revision 2026-07-28. */
    mcpModern: ModernEntry
  }
}

export type McpModernOptions = Omit<ModernEntryOptions, 'log'> & {
  /** Time that calls in flight get to finish when the app closes. */
  drainSeconds: number
}

/**
 * Answers the requests of revision 2026-07-28 before the routes of this context see them: one endpoint serves both
 * eras, and each request says which it is of.
 */
export const mcpModern = fp<McpModernOptions>(async (app, { drainSeconds, ...options }) => {
  const entry = new ModernEntry({ ...options, log: app.log })
  app.decorate('mcpModern', entry)
  app.addHook('preHandler', async (request, reply) => {
    const { authInfo: caller, headers, body, log } = request
    if (request.method !== 'POST' || request.routeOptions.url?.endsWith('/mcp') !== true || caller === null || body === undefined || !entry.takes({ headers, body })) return
    const response = await entry.serve({ headers, body, log }, caller, endOf(reply))
    return await answer(response, reply)
  })
  app.addHook('preClose', async () => {
    await entry.drain(drainSeconds * 1000)
    await entry.close()
  })
}, { name: 'mcp-modern', fastify: '5.x', dependencies: ['mcp-guard'] })

/** Aborts when the response is over, or the client has gone. */
function endOf (reply: FastifyReply): AbortSignal {
  const ended = new AbortController()
  reply.raw.once('close', () => { ended.abort() })
  return ended.signal
}

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
