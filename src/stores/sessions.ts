import type { Owner } from '../caller.js'
import { SessionsFullError } from '../errors.js'

/** What must be known to take up a session on any replica. Plain JSON. */
export interface SessionRecord {
  id: string
  kind: 'streamable-http' | 'sse'
  /** To requests of anybody else, the session does not exist. */
  owner: Owner
  /**
   * Replica that the session runs at, if it cannot run at every one: that which has the stream of HTTP+SSE, with which
   * the session ends, or whose process keeps what the session's server knows.
   */
  replicaId?: string
  /** Parameters of the client's `initialize`, verbatim; absent until it came (HTTP+SSE opens its stream first). */
  initializeParams?: Record<string, unknown>
  /** What was negotiated; absent like `initializeParams`. */
  protocolVersion?: string
  /** Whether the client has sent `notifications/initialized`. */
  initialized: boolean
  /** Level of the last `logging/setLevel`. */
  logLevel?: string
  /** URIs of `resources/subscribe`. */
  subscriptions: string[]
  /** Of the access that the last caller had, if there is a policy: when it changes, so do the session's lists. */
  access?: string
  /** Counts the changes; absent before the first. */
  version?: number
  /** Epoch seconds of the last sign of life; written now and then, not at every request. */
  lastSeenAt: number
  /** Epoch seconds at which the session ends however much it is used. */
  expiresAt: number
}

/** One change of a session's record, applied atomically. */
export type SessionChange =
  | { initializeParams: Record<string, unknown>, protocolVersion: string }
  | { initialized: true }
  | { logLevel: string }
  | { access: string }
  | { subscribe: string }
  | { unsubscribe: string }
  /** It runs at another replica from now on; changes nothing if it runs at another than `from` (undefined: at any). */
  | { movesTo: string, from: string | undefined }

/**
 * Sessions that a store of one process keeps, unless its options say otherwise. Half of it, in every store, is what
 * those of callers who have not logged in may come to, all together.
 */
export const MAX_SESSIONS = 100_000

/** How many sessions may be kept at once. */
export interface SessionBounds {
  /** Of one owner: a person by one client. */
  perOwner: number
  /** Of one person, by all clients. */
  perPerson: number
}

/**
 * Keeps session records. What ends or changes a session announces it on the bus in the same step (`sessionEnded`,
 * `sessionChanged`); the end of its time nobody announces. A record whose idle time or lifetime is over is gone: no
 * method sees it.
 */
export interface SessionStore {
  /**
   * Adds a session, in one step with ending what is then beyond the bounds: the least recently seen of the owner, then
   * of the person. Callers who have not logged in count by their address, and all together: see `MAX_SESSIONS`.
   * @returns the ids of the sessions that were ended
   * @throws {SessionsFullError} when the store takes no more sessions
   */
  create (record: SessionRecord, bounds: SessionBounds): Promise<string[]>
  /** @returns the record, or undefined if there is none, or no longer */
  get (id: string): Promise<SessionRecord | undefined>
  /**
   * @param origin id of the replica that changes it
   * @returns the record's new version; undefined if the session is gone
   */
  change (id: string, change: SessionChange, origin: string): Promise<number | undefined>
  /**
   * Puts off the end of the idle time. `seenAt` is epoch seconds.
   * @returns false where the session is gone
   */
  touch (id: string, seenAt: number): Promise<boolean>
  /** @returns false where the session was gone already */
  delete (id: string): Promise<boolean>
}

/** Says that a store has no room. @param isAnonymous whether callers who have not logged in have their share of it */
export function sessionsFull (isAnonymous: boolean): SessionsFullError {
  const whose = isAnonymous ? ' of callers who have not logged in' : ''
  return new SessionsFullError(`This server has no room for another session${whose} now.`, { retryAfterMs: 60_000 })
}

/** Applies a change to a record in place. */
export function applyChange (record: SessionRecord, change: SessionChange): void {
  if ('initializeParams' in change) {
    record.initializeParams = change.initializeParams
    record.protocolVersion = change.protocolVersion
  } else if ('initialized' in change) {
    record.initialized = true
  } else if ('logLevel' in change) {
    record.logLevel = change.logLevel
  } else if ('access' in change) {
    record.access = change.access
  } else if ('subscribe' in change) {
    if (!record.subscriptions.includes(change.subscribe)) record.subscriptions.push(change.subscribe)
  } else if ('movesTo' in change) {
    if (record.replicaId === change.from) record.replicaId = change.movesTo
  } else {
    record.subscriptions = record.subscriptions.filter(uri => uri !== change.unsubscribe)
  }
}
