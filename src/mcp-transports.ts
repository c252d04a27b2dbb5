import type { FastifyPluginAsync } from 'fastify'
import type { McpTransportsOptions } from './mcp/options.js'
import { mcpErrors } from './plugins/mcp-errors.js'
import { mcpGuard } from './plugins/mcp-guard.js'
import { mcpSessions } from './plugins/mcp-sessions.js'
import { mcpStateless } from './plugins/mcp-stateless.js'
import { sseRoutes } from './routes/sse.js'
import { statelessHttpRoutes } from './routes/stateless-http.js'
import { streamableHttpRoutes } from './routes/streamable-http.js'

/**
 * Serves an MCP server over Streamable HTTP (`/mcp`) and HTTP+SSE (`/sse`, `/messages`), in a context of its own: no
 * hook, parser, CORS header or error handler reaches other routes. In stateless mode over `POST /mcp` alone. Needs the plugin `bearer-auth` before it.
 */
export const mcpTransports: FastifyPluginAsync<McpTransportsOptions> = async (app, options) => {
  const { publicUrl, allowedOrigins = [], allowedHosts = [], maxBodyBytes = 4_194_304, drainSeconds = 1 } = options

  await app.register(mcpErrors, { maxBodyBytes })
  if (options.sessionMode === 'stateless') {
    await app.register(mcpStateless, { ...options, drainSeconds })
    await app.register(mcpGuard, { publicUrl, allowedOrigins, allowedHosts, paths: ['/mcp'] })
    await app.register(statelessHttpRoutes)
    return
  }
  await app.register(mcpSessions, { ...options, drainSeconds })
  await app.register(mcpGuard, { publicUrl, allowedOrigins, allowedHosts, paths: ['/mcp', '/sse', '/messages'] })
  await app.register(streamableHttpRoutes)
  await app.register(sseRoutes, { publicUrl })
}
