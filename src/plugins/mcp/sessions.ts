import fp from 'fastify-plugin'
import { SessionRegistry, type SessionRegistryOptions } from '../../mcp/sessions/session-registry.js'

export type { SessionRegistry }

declare module 'fastify' {
  interface FastifyInstance {
    /** The sessions of both MCP transports. */
    mcpSessions: SessionRegistry
  }
}

/** One session registry for both transports. */
export const mcpSessions = fp<Omit<SessionRegistryOptions, 'log' | 'replica'>>(async (app, options) => {
  app.decorate('mcpSessions', new SessionRegistry({ ...options, replica: app.mcpReplica, log: app.log }))
}, { name: 'mcp-sessions', fastify: '5.x', dependencies: ['mcp-replica'] })
