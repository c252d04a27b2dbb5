import { personKey, type CallerInfo } from '../../caller.js'
import { asOwner } from '../anonymous-callers.js'
import type { Log } from '../../log.js'
import type { Admission } from '../admission/admission.js'
import type { McpTransportsOptions } from '../options.js'
import type { Replica } from '../replica.js'
import type { LiveSession } from '../sessions/live-session.js'
import { assertAccess, sessionNotFound } from '../sessions/session-access.js'
import type { SessionRegistry } from '../sessions/session-registry.js'
import type { OwnedExtra } from '../transport/message-extra.js'
import { parseMessages, type PostedMessages } from '../wire/messages.js'
import { HandOvers } from './hand-overs.js'
import { HandedPostSeal, type HandedPost } from './handed-post.js'
import { TakenPosts } from './taken-posts.js'

export interface SseMessagesOptions extends Pick<McpTransportsOptions, 'bus' | 'leases' | 'requestStateKeys'> {
  registry: SessionRegistry
  replica: Replica
  admission: Admission
  log: Log
}

/** Where the stream of an HTTP+SSE session is: here, with the session, or at another replica. */
export type StreamLocation = { session: LiveSession } | { replicaId: string }

/** A `POST /messages`. */
export interface SsePost {
  sessionId: string
  /** As it was parsed. */
  body: unknown
  /** The messages in it. */
  posted: PostedMessages
  extra: OwnedExtra
}

/**
 * What clients of HTTP+SSE post. A session runs where its stream is, and nowhere else: what arrives at another replica
 * is handed over. So its responses never travel, and calls end with their stream.
 */
export class SseMessages {
  readonly #registry: SessionRegistry
  readonly #replica: Replica
  readonly #admission: Admission
  readonly #handOvers: HandOvers
  readonly #taken: TakenPosts

  constructor ({ registry, replica, admission, requestStateKeys, bus, leases, log }: SseMessagesOptions) {
    this.#registry = registry
    this.#replica = replica
    this.#admission = admission
    const shared = { bus, leases, replica, log, seal: new HandedPostSeal(requestStateKeys) }
    this.#handOvers = new HandOvers({ ...shared, admission })
    this.#taken = new TakenPosts({ ...shared, receive: (post, bytes) => this.#receiveHanded(post, bytes) })
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
    const { streamReplicaId } = record
    if (streamReplicaId === undefined || streamReplicaId === this.#replica.id) {
      this.#registry.end(sessionId)
      throw sessionNotFound()
    }
    return { replicaId: streamReplicaId }
  }

  /**
   * Passes what was posted to the session's server.
   * @throws what refuses it, here or at the replica that holds the stream
   */
  async receive (location: StreamLocation, { sessionId, body, posted, extra }: SsePost): Promise<void> {
    if ('session' in location) {
      await receiveHere(location.session, posted, extra)
      return
    }
    const { authInfo: caller, http, requestInfo: { headers = {} } = {} } = extra
    const post = { sessionId, caller, headers, body, ...http !== undefined && { requestId: http.id } }
    if (!await this.#handOvers.handOver(location.replicaId, post)) {
      // its stream has ended with that replica
      this.#registry.end(sessionId)
      throw sessionNotFound()
    }
  }

  /** Waits until nothing is on its way to other replicas, or `ms` have passed. */
  drain (ms: number): Promise<void> {
    return this.#handOvers.drain(ms)
  }

  /** Gives up what is on its way to other replicas. What they hand over is still responded to. */
  close (): void {
    this.#handOvers.close()
  }

  /** Responds to nothing more. */
  stop (): void {
    this.#taken.close()
  }

  async #receiveHanded ({ sessionId, caller, headers, body, requestId }: HandedPost, bytes: number): Promise<void> {
    const session = this.#registry.findLive(sessionId, caller, 'sse')
    if (session === undefined) throw sessionNotFound()
    const leases = this.#admission.takeResponse(personKey(caller.extra), bytes)
    try {
      await receiveHere(session, parseMessages(body), { authInfo: caller, requestInfo: { headers } }, requestId)
    } finally {
      for (const lease of leases) lease.release()
    }
  }
}

/** Passes messages to a session of this process; its server is rebuilt if it was dropped. */
async function receiveHere (
  session: LiveSession,
  posted: PostedMessages,
  extra: OwnedExtra,
  requestId = extra.http?.id
): Promise<void> {
  const caller = asOwner(extra.authInfo, session.record.owner)
  const ownExtra = { ...extra, authInfo: caller }
  const instance = session.instance ?? await session.rebuild(ownExtra, caller)
  session.calledBy(caller, requestId)
  session.used()
  await instance.receiveOrPromise(posted, ownExtra, caller)
}
