import Fastify from 'fastify'
import type { McpTransportsOptions } from '../../src/mcp/options.js'
import { bearerAuth } from '../../src/plugins/mcp/bearer-auth.js'
import { mcpTransports } from '../../src/service/mcp-transports.js'
import type { Stores } from '../../src/stores/stores.js'
import { bearerAuthOptions } from './served.js'

/**
 * Serves MCP with our plugins on a free port of loopback.
 * @param options the server that is hosted, and how
 * @returns where
 */
export async function listen (
  { sessions, eventLog, leases, bus }: Stores,
  options: Pick<McpTransportsOptions, 'createServer' | 'sessionMode' | 'limits'>
): Promise<string> {
  const app = Fastify({ forceCloseConnections: true })
  await app.register(bearerAuth, bearerAuthOptions)
  await app.register(mcpTransports, { publicUrl: 'http://127.0.0.1', sessions, eventLog, leases, bus, ...options })
  return await app.listen({ port: 0, host: '127.0.0.1' })
}
