import type { CallerInfo } from '../../caller.js'
import { toArrivedPost, toHandedPost, type ArrivedPost, type HandedPost } from '../hand-overs/handed-post.js'
import type { HandedPosts } from '../hand-overs/handed-posts.js'
import type { LiveSession } from '../sessions/live-session.js'
import { receiveHere } from '../sessions/receive-here.js'
import { assertAccess, sessionNotFound } from '../sessions/session-access.js'
import type { SessionRegistry } from '../sessions/session-registry.js'

/** Where the stream of an HTTP+SSE session is: here, with the session, or at another replica. */
export type StreamLocation = { session: LiveSession } | { replicaId: string }

// making a server instance, or finding out what scopes a call needs, may take time; the session ends with its replica
const PATIENCE = { takenMs: 2000, settledMs: 30_000, leavingMs: 0 }

/**
 * What clients of HTTP+SSE post. A session runs where its stream is, and nowhere else: what arrives at another replica
 * is handed over. So its responses never travel, and calls end with their stream.
 */
export class SseMessages {
  readonly #registry: SessionRegistry
  readonly #handedPosts: HandedPosts

  constructor (registry: SessionRegistry, handedPosts: HandedPosts) {
    this.#registry = registry
    this.#handedPosts = handedPosts
    handedPosts.receive('sse', post => this.#receiveHanded(post))
  }

  /**
   * Finds the stream of a session.
   * @throws {SessionNotFoundError} if it has ended, or is somebody else's @throws {ShuttingDownError}
   */
  async find (sessionId: string, caller: CallerInfo): Promise<StreamLocation> {
    const session = this.#registry.findLive(sessionId, caller, 'sse')
    if (session !== undefined) return { session }
    const record = await this.#registry.sessions.get(sessionId)
    if (record === undefined) throw sessionNotFound()
    assertAccess(record, caller, 'sse')
    const { replicaId } = record
    if (replicaId === undefined || replicaId === this.#registry.replica.id) {
      this.#registry.end(sessionId)
      throw sessionNotFound()
    }
    return { replicaId }
  }

  /**
   * Passes what was posted to the session's server.
   * @throws what refuses it, here or at the replica that holds the stream
   */
  async receive (location: StreamLocation, arrived: ArrivedPost): Promise<void> {
    if ('session' in location) {
      await receiveHere(location.session, arrived.posted, arrived.extra)
      return
    }
    const post = toHandedPost('sse', arrived)
    if (await this.#handedPosts.handOver(location.replicaId, { post, patience: PATIENCE }) !== 'accepted') {
      // its stream has ended with that replica
      this.#registry.end(arrived.sessionId)
      throw sessionNotFound()
    }
  }

  async #receiveHanded (post: HandedPost): Promise<void> {
    const session = this.#registry.findLive(post.sessionId, post.caller, 'sse')
    if (session === undefined) throw sessionNotFound()
    const { posted, extra } = toArrivedPost(post)
    await receiveHere(session, posted, extra)
  }
}
