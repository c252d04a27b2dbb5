import Fastify, { type FastifyInstance } from 'fastify'
import type { McpTransportsOptions } from '../../src/mcp/options.js'
import { bearerAuth } from '../../src/plugins/mcp/bearer-auth.js'
import { mcpTransports } from '../../src/service/mcp-transports.js'
import type { Stores } from '../../src/stores/stores.js'
import { bearerAuthOptions } from './served.js'

/**
 * Serves MCP with our plugins on a free port of loopback.
 * @param options the server that is hosted, and how
 * @param prepare adds to the app what only this server has
 * @returns where
 */
export async function listen (
  { sessions, eventLog, leases, bus }: Stores,
  options: Pick<McpTransportsOptions, 'createServer' | 'sessionMode' | 'limits' | 'streams'>,
  prepare: (app: FastifyInstance) => void = () => {}
): Promise<string> {
  const app = Fastify({ forceCloseConnections: true })
  prepare(app)
  await app.register(bearerAuth, bearerAuthOptions)
  await app.register(mcpTransports, { publicUrl: 'http://127.0.0.1', sessions, eventLog, leases, bus, ...options })
  return await app.listen({ port: 0, host: '127.0.0.1' })
}
