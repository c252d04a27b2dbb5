import type { FastifyPluginAsync } from 'fastify'
import { defaultLimits } from './mcp/limits.js'
import { defaultStreamOptions, type McpTransportsOptions } from './mcp/options.js'
import { mcpErrors } from './plugins/mcp-errors.js'
import { mcpGuard } from './plugins/mcp-guard.js'
import { mcpModern } from './plugins/mcp-modern.js'
import { mcpReplica } from './plugins/mcp-replica.js'
import { mcpSessions } from './plugins/mcp-sessions.js'
import { mcpStateless } from './plugins/mcp-stateless.js'
import { mcpTrace } from './plugins/mcp-trace.js'
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
  await app.register(mcpTrace)
  await app.register(mcpModern, {
    ...options, drainSeconds, heartbeatMs: options.streams?.heartbeatMs ?? defaultStreamOptions.heartbeatMs, maxSubscriptions: limits.maxStreams, parkedCalls: limits
  })
  if (stateless) {
    await app.register(mcpStateless, { ...options, drainSeconds })
    await app.register(statelessHttpRoutes)
    return
  }
  await app.register(mcpSessions, { ...options, drainSeconds })
  await app.register(streamableHttpRoutes)
  await app.register(sseRoutes, { publicUrl })
}
