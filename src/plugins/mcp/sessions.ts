import fp from 'fastify-plugin'
import type { McpCounts } from '../../mcp/observer.js'
import { SessionRegistry as Registry, type SessionRegistryOptions } from '../../mcp/sessions/session-registry.js'

/**
 * The sessions of both MCP transports, as far as an app around them needs them: `app.mcpSessions`.
 * @example
 * ```ts
 * import type { SessionRegistry } from 'fastify-mcp-oauth'
 *
 * export function isIdle ({ counts }: SessionRegistry): boolean {
 *   return counts.instances === 0 && counts.streams === 0
 * }
 * ```
 */
export interface SessionRegistry {
  /** What this process holds now. */
  readonly counts: McpCounts
}

/** The decorator that holds the registry itself, for the MCP endpoints. */
export const kSessions: unique symbol = Symbol('fastify-mcp-oauth/sessions')

declare module 'fastify' {
  interface FastifyInstance {
    /** The sessions of both MCP transports. */
    mcpSessions: SessionRegistry
    [kSessions]: Registry
  }
}

/** One session registry for both transports. */
export const mcpSessions = fp<Omit<SessionRegistryOptions, 'log' | 'replica'>>(async (app, options) => {
  const registry = new Registry({ ...options, replica: app.mcpReplica, log: app.log })
  app.decorate(kSessions, registry)
  app.decorate('mcpSessions', { get counts () { return registry.counts } })
}, { name: 'fastify-mcp-oauth/mcp-sessions', fastify: '5.x', dependencies: ['fastify-mcp-oauth/mcp-replica'] })
