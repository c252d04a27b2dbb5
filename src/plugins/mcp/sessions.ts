import fp from 'fastify-plugin'
import type { ServerEvent } from '@modelcontextprotocol/server'
import type { Log } from '../../log.js'
import type { McpCounts } from '../../mcp/observer.js'
import type { Bus } from '../../stores/bus.js'
import { announceToAll } from '../../mcp/server-events/announcements.js'
import { SessionRegistry as Registry, type SessionRegistryOptions } from '../../mcp/sessions/session-registry.js'

/**
 * What an app around the MCP transports needs of them: `app.mcpSessions`. Without sessions, too.
 * @example
 * ```ts
 * import type { SessionRegistry } from 'fastify-mcp-oauth'
 *
 * export function isIdle ({ counts }: SessionRegistry): boolean {
 *   return counts.instances === 0 && counts.streams === 0
 * }
 *
 * export function pricesChanged (sessions: SessionRegistry): void {
 *   sessions.announce({ kind: 'resource_updated', uri: 'shop:///prices' })
 * }
 * ```
 */
export interface SessionRegistry {
  /** What this process holds now. */
  readonly counts: McpCounts
  /**
   * Notifies every client that listens, of either era and on every replica, once: a list or a resource has changed. So
   * the URI of the resource must not be a secret.
   */
  announce (event: ServerEvent): void
}

/** What an app around the transports needs of what they hold. */
export function makeSessionRegistry (of: { readonly counts: McpCounts }, bus: Bus, log: Log): SessionRegistry {
  return {
    get counts () { return of.counts },
    announce: event => { announceToAll(bus, log, event) }
  }
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
  app.decorate('mcpSessions', makeSessionRegistry(registry, options.bus, app.log))
}, { name: 'fastify-mcp-oauth/mcp-sessions', fastify: '5.x', dependencies: ['fastify-mcp-oauth/mcp-replica'] })
