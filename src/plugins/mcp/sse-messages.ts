import fp from 'fastify-plugin'
import { SseMessages, type SseMessagesOptions } from '../../mcp/http-sse/sse-messages.js'
import { kSessions } from './sessions.js'

/** The decorator of what passes what HTTP+SSE clients post to their sessions, here or at another replica. */
export const kSseMessages: unique symbol = Symbol('fastify-mcp-oauth/sse-messages')

declare module 'fastify' {
  interface FastifyInstance {
    [kSseMessages]: SseMessages
  }
}

/** Passes what HTTP+SSE clients post to the replica that holds their stream, and takes what others hand to this one. */
export const mcpSseMessages = fp<Omit<SseMessagesOptions, 'log' | 'replica' | 'registry'>>(async (app, options) => {
  const messages = new SseMessages({ ...options, registry: app[kSessions], replica: app.mcpReplica, log: app.log })
  app.decorate(kSseMessages, messages)
  // until then, other replicas are told that this process is leaving
  app.addHook('onClose', () => { messages.stop() })
}, { name: 'fastify-mcp-oauth/mcp-sse-messages', fastify: '5.x', dependencies: ['fastify-mcp-oauth/mcp-sessions'] })
