import type { FastifyPluginAsync } from 'fastify'
import { defaultLimits } from './mcp/limits.js'
import type { McpCounts } from './mcp/observer.js'
import { defaultStreamOptions, type McpTransportsOptions } from './mcp/options.js'
import { mcpErrors } from './plugins/mcp-errors.js'
import { mcpGuard } from './plugins/mcp-guard.js'
import { mcpModern } from './plugins/mcp-modern.js'
import { mcpReplica } from './plugins/mcp-replica.js'
import { mcpSessions } from './plugins/mcp-sessions.js'
import { mcpStateless } from './plugins/mcp-stateless.js'
import { traceId } from './plugins/trace-id.js'
import { sseRoutes } from './routes/sse.js'
import { statelessHttpRoutes } from './routes/stateless-http.js'
import { streamableHttpRoutes } from './routes/streamable-http.js'

/**
 * Serves an MCP server in a context of its own: no hook, parser, CORS header or error handler reaches other routes.
 * Streamable HTTP (`/mcp`), revision 2026-07-28 and those before, and the deprecated HTTP+SSE (`/sse`, `/messages`); in
 * stateless mode `POST /mcp` alone. Needs the plugin `bearer-auth` before it.
 */
export const mcpTransports: FastifyPluginAsync<McpTransportsOptions> = async (app, options) => {
  const { publicUrl, allowedOrigins = [], allowedHosts = [], maxBodyBytes = 4_194_304, drainSeconds = 1 } = options
  const stateless = options.sessionMode === 'stateless'
  const paths = stateless ? ['/mcp'] : ['/mcp', '/sse', '/messages']

  await app.register(mcpErrors, { maxBodyBytes })
  await app.register(mcpGuard, { publicUrl, allowedOrigins, allowedHosts, paths })
  await app.register(mcpReplica, { leases: options.leases })
  const limits = { ...defaultLimits, ...options.limits }
  await app.register(traceId)
  await app.register(mcpModern, {
    ...options, heartbeatMs: options.streams?.heartbeatMs ?? defaultStreamOptions.heartbeatMs, maxSubscriptions: limits.maxStreams, parkedCalls: limits
  })
  if (stateless) {
    await app.register(mcpStateless, options)
    await app.register(statelessHttpRoutes)
  } else {
    await app.register(mcpSessions, options)
    await app.register(streamableHttpRoutes)
    await app.register(sseRoutes, { publicUrl })
  }
  const served: Served[] = [app.mcpModern, stateless ? app.mcpStateless : app.mcpSessions]
  for (const part of served) options.mcpObserver?.counts?.(() => part.counts)
  if (app.hasDecorator('addDrain')) app.addDrain(async ms => { await Promise.all(served.map(part => part.drain(ms))) })
  // in onClose it would be too late: open streams hang the closing
  app.addHook('preClose', async () => {
    await Promise.all(served.map(part => part.drain(drainSeconds * 1000)))
    await Promise.all(served.map(part => part.close()))
  })
}

/** What runs calls and holds streams. */
interface Served {
  readonly counts: McpCounts
  /** Waits until nothing runs, or `ms` have passed. What comes meanwhile is served. */
  drain (ms: number): Promise<void>
  /** Ends what is left, and takes no more. */
  close (): Promise<void> | void
}
