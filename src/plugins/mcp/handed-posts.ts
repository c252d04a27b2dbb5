import fp from 'fastify-plugin'
import { HandedPosts, type HandedPostsOptions } from '../../mcp/hand-overs/handed-posts.js'

/** The decorator of what hands posts to other replicas, and takes theirs. */
export const kHandedPosts: unique symbol = Symbol('fastify-mcp-oauth/handed-posts')

declare module 'fastify' {
  interface FastifyInstance {
    [kHandedPosts]: HandedPosts
  }
}

/** Hands what clients post to the replica where their session runs, and takes what others hand to this one. */
export const mcpHandedPosts = fp<Omit<HandedPostsOptions, 'log' | 'replica'>>(
  async (app, { bus, leases, requestStateKeys, admission }) => {
    const { mcpReplica: replica, log } = app
    const keys = requestStateKeys && { requestStateKeys }
    const handedPosts = new HandedPosts({ bus, leases, ...keys, admission, replica, log })
    app.decorate(kHandedPosts, handedPosts)
    // until then, other replicas are told that this process is leaving
    app.addHook('onClose', () => { handedPosts.stop() })
  },
  { name: 'fastify-mcp-oauth/mcp-handed-posts', fastify: '5.x', dependencies: ['fastify-mcp-oauth/mcp-replica'] }
)
