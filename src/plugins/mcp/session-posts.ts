import fp from 'fastify-plugin'
import { SseMessages } from '../../mcp/http-sse/sse-messages.js'
import { SessionPosts } from '../../mcp/streamable-http/session-posts.js'
import { kHandedPosts } from './handed-posts.js'
import { kSessions } from './sessions.js'

/** The decorator of what passes what HTTP+SSE clients post to their sessions, here or at another replica. */
export const kSseMessages: unique symbol = Symbol('fastify-mcp-oauth/sse-messages')
/** The same of what clients of Streamable HTTP post. */
export const kSessionPosts: unique symbol = Symbol('fastify-mcp-oauth/session-posts')

declare module 'fastify' {
  interface FastifyInstance {
    [kSseMessages]: SseMessages
    [kSessionPosts]: SessionPosts
  }
}

/** Passes what clients of both transports post to their sessions, where they run. */
export const mcpSessionPosts = fp(async app => {
  const { [kSessions]: registry, [kHandedPosts]: handedPosts } = app
  app.decorate(kSseMessages, new SseMessages(registry, handedPosts))
  app.decorate(kSessionPosts, new SessionPosts(registry, handedPosts))
}, {
  name: 'fastify-mcp-oauth/mcp-session-posts',
  fastify: '5.x',
  dependencies: ['fastify-mcp-oauth/mcp-sessions', 'fastify-mcp-oauth/mcp-handed-posts']
})
