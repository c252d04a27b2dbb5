import fp from 'fastify-plugin'
import { SessionRegistry, type SessionRegistryOptions } from '../mcp/session-registry.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The sessions of both MCP transports. */
    mcpSessions: SessionRegistry
  }
}

export type McpSessionsOptions = Omit<SessionRegistryOptions, 'log' | 'replica'> & {
  /** Time that calls in flight get to finish when the app closes. */
  drainSeconds: number
}

/** One session registry for both transports. Its streams end in `preClose`: open ones would hang the closing. */
export const mcpSessions = fp<McpSessionsOptions>(async (app, { drainSeconds, ...options }) => {
  const registry = new SessionRegistry({ ...options, replica: app.mcpReplica, log: app.log })
  app.decorate('mcpSessions', registry)
  app.addHook('preClose', async () => {
    await registry.drain(drainSeconds * 1000)
    await registry.close()
  })
}, { name: 'mcp-sessions', fastify: '5.x', dependencies: ['mcp-replica'] })
