import { waitWhile } from '../../collections/wait-while.js'
import { TemporarilyUnavailableError } from '../../errors.js'
import { toArrivedPost, toHandedPost, type ArrivedPost, type HandedPost } from '../hand-overs/handed-post.js'
import type { HandedPosts } from '../hand-overs/handed-posts.js'
import type { HandedEnd } from '../hand-overs/hand-overs.js'
import type { LiveSession } from '../sessions/live-session.js'
import { passToInstance, receiveHere } from '../sessions/receive-here.js'
import { sessionNotFound } from '../sessions/session-access.js'
import type { SessionRegistry } from '../sessions/session-registry.js'
import type { FollowedResponse } from '../sessions/streams/followed-response.js'
import type { PostResponse } from '../transport/post-response.js'
import { LoggedPostResponse } from './logged-post-response.js'

/** A `POST /mcp` of a session. */
export interface SessionPost extends ArrivedPost {
  response: PostResponse
}

/*
 * A replica that was killed is known as dead after six seconds, and its sessions may continue here. To start a server
 * again that was dropped may take as long as a slow program does.
 */
const PATIENCE = { takenMs: 6500, settledMs: 90_000, leavingMs: 6500 }
/** How often a session is looked for that other replicas take over meanwhile. */
const MAX_MOVES = 3

/**
 * What clients of Streamable HTTP post to their sessions. If the server keeps what it knows of a session in its
 * process, the session runs at one replica: what arrives at another is handed over, and the response is read from the
 * event log. If that replica has died, the session is brought here.
 */
export class SessionPosts {
  readonly #registry: SessionRegistry
  readonly #handedPosts: HandedPosts
  readonly #followed = new Set<FollowedResponse>()

  constructor (registry: SessionRegistry, handedPosts: HandedPosts) {
    this.#registry = registry
    this.#handedPosts = handedPosts
    handedPosts.receive('streamable-http', post => this.#receiveHanded(post))
  }

  /**
   * Passes what was posted to the session's server: at once if that is live here.
   * @returns undefined if the server has the messages already
   * @throws what refuses it (or rejects with it), here or where the session runs
   */
  receiveOrPromise (post: SessionPost): Promise<void> | undefined {
    const { sessionId, posted, extra, response } = post
    const session = this.#registry.findLive(sessionId, extra.authInfo, 'streamable-http')
    if (session !== undefined) noteSession(post)
    if (session?.instance === undefined || !this.#isSurelyHere) return this.#receive(post)
    return passToInstance(session, session.instance, posted, extra, response)
  }

  /** Waits until nothing runs elsewhere that a client waits for here, or `ms` have passed. */
  async drain (ms: number): Promise<void> {
    await waitWhile(() => this.#followed.size > 0, ms)
  }

  /** Asks the clients that wait for what runs elsewhere to come back for it. */
  close (): void {
    for (const response of this.#followed) response.leave()
  }

  /** Whether no other replica can have brought a session away from here without its being known. */
  get #isSurelyHere (): boolean {
    const { keepsSessions, replica } = this.#registry
    return !keepsSessions || replica.isCertainlyAlive
  }

  async #receive (post: SessionPost): Promise<void> {
    const { sessionId, posted, extra, response } = post
    const session = await this.#registry.find(sessionId, extra.authInfo, 'streamable-http')
    noteSession(post)
    if (!this.#isSurelyHere) await recheckIfPossible(session)
    for (let moves = 0; session.isElsewhere; moves++) {
      if (moves === MAX_MOVES) throw hasMoved()
      const { replicaId } = session.record
      const end = replicaId === undefined ? 'dead' : await this.#handOver(session, replicaId, post)
      if (end !== 'dead') return
      await bringHere(session, replicaId)
    }
    await receiveHere(session, posted, extra, response)
  }

  /** Hands a post over, and responds unless it was not taken up. */
  async #handOver (session: LiveSession, replicaId: string, post: SessionPost): Promise<HandedEnd> {
    const { posted, extra, response } = post
    const { requests } = posted
    const followed = requests.length === 0
      ? undefined
      : session.streams.followResponse(replicaId, posted, extra.authInfo.extra.grantId)
    let end: HandedEnd = 'dead'
    try {
      end = await this.#handedPosts.handOver(replicaId, {
        post: toHandedPost('streamable-http', post, followed?.streamId),
        patience: PATIENCE,
        ...followed !== undefined && { prepare: () => followed.response.open() }
      })
    } catch (error) {
      // what comes of it is there, although the word that it was taken up is not
      if (followed?.response.hasBegun !== true || !(error instanceof TemporarilyUnavailableError)) throw error
      end = 'accepted'
    } finally {
      if (end === 'dead') followed?.response.abandon()
    }
    if (end === 'dead') return end
    // the log says what becomes of it, also if it was interrupted
    if (followed === undefined) response.accepted()
    else this.#respond(followed.response, response)
    return end
  }

  #respond (followed: FollowedResponse, response: PostResponse): void {
    this.#followed.add(followed)
    followed.onOver(() => { this.#followed.delete(followed) })
    followed.respondTo(response)
  }

  async #receiveHanded (post: HandedPost): Promise<void> {
    const session = await this.#registry.find(post.sessionId, post.caller, 'streamable-http')
    if (session.isElsewhere || !this.#isSurelyHere) await session.recheck()
    if (session.isElsewhere) throw hasMoved()
    const { posted, extra } = toArrivedPost(post)
    await receiveHere(session, posted, extra, new LoggedPostResponse(post.streamId))
  }
}

/** The session is the caller's: the log may say so of the request. */
function noteSession ({ sessionId, extra: { http } }: SessionPost): void {
  if (http !== undefined) http.mcpSessionId = sessionId
}

/**
 * Brings a session here, unless another replica has done so.
 * @param from the replica that has died; the record may name another by now
 * @throws {SessionNotFoundError}
 */
async function bringHere (session: LiveSession, from: string | undefined): Promise<void> {
  const { host, record: { id } } = session
  const version = await host.sessions.change(id, { movesTo: host.replica.id, from }, host.replica.id)
  if (version === undefined) {
    host.forget(id)
    throw sessionNotFound()
  }
  await session.recheck()
}

/** If the store cannot be reached, calls continue where the session was. */
async function recheckIfPossible (session: LiveSession): Promise<void> {
  try {
    await session.recheck()
  } catch (error) {
    if (!(error instanceof TemporarilyUnavailableError) || session.instance === undefined) throw error
  }
}

function hasMoved (): TemporarilyUnavailableError {
  return new TemporarilyUnavailableError(
    'This session has just moved to another server process. The message was not processed.',
    { retryAfterSeconds: 1 }
  )
}
