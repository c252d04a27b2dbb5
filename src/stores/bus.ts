import type { ServerEvent } from '@modelcontextprotocol/server'
import type { LimitName } from '../errors.js'

/** Messages from one replica to all others. Each is small, plain JSON and safe to receive twice. */
export interface BusMessages {
  /** A grant has ended (revoked, replayed, expired): its tokens are dead and its live streams must close. */
  grantEnded: { grantId: string }
  /** A session has ended on some replica. */
  sessionEnded: { sessionId: string }
  /** To the replica `replicaId`: a response, or progress, of a session's client to a request that it sent. */
  sessionMessage: { sessionId: string, replicaId: string, message: Record<string, unknown> }
  /** What a session's client told the replica `origin`, and concerns, or may concern, others. */
  sessionNotified: { sessionId: string, origin: string, notification: SessionNotification }
  /** The client of a call that waits at one replica has come back to another. */
  callResumed: CallResumed
  /**
   * To the replica `replicaId`: nobody waits any longer for the outcome of `callResumed`, unless the client may return;
   * without an exchange, nobody will bring what a call waits for.
   */
  callAbandoned: { replicaId: string, callId: string, exchangeId?: string, mayReturn?: boolean }
  /** To the replica `replicaId`: a message of an HTTP+SSE client whose stream is there (`HandedPost`, sealed). */
  messagePosted: { replicaId: string, handOverId: string, origin: string, sealed: string }
  /** To the `origin` of `messagePosted`: what became of it. */
  postSettled: { handOverId: string, outcome: PostOutcome }
  /**
   * A client repeats a request with input (MCP 2026-07-28) that another replica runs, or has the response to: it is
   * wanted in the event log, under `exchangeId` in the place of a session's id.
   */
  requestRepeated: { fingerprint: string, origin: string, exchangeId: string }
  /**
   * A tool has made a task (MCP 2025-11-25) for a person (by `personKey`), under what its server sees as session id
   * (`holder`).
   */
  taskBegun: { person: string, holder: string, taskId: string, tool: string }
  /** An owner (by `ownerKey`) has made a request of 2026-07-28 with this access: listeners with another are told. */
  accessSeen: { owner: string, access: string }
  /** A session's record was changed by the replica `origin`, and has this version now. */
  sessionChanged: { sessionId: string, origin: string, version: number }
  /**
   * A server has announced that a list or a resource has changed. `era` is that of the instance; `any`: the event is
   * for
   * every client. `person` (by `personKey`): the only one whose clients may be told; absent: everybody's. `sessionId`:
   * the session whose server it was; that one has told its own client.
   */
  announced: { event: ServerEvent, era: 'legacy' | 'modern' | 'any', person?: string, sessionId?: string }
}

/**
 * What a client brings for a call (MCP 2026-07-28, multi round-trip requests) that waits at the replica `replicaId`.
 */
export interface CallResumed {
  replicaId: string
  /** The replica that the client has come back to. */
  origin: string
  /** Where that one reads what becomes of the call: in the event log, in the place of a session's id. */
  exchangeId: string
  callId: string
  round: number
  callee: string
  owner: string
  person: string
  grantId?: string
  inputResponses: Record<string, unknown>
  progressToken?: string | number
}

/** A notification of a client, without anything that may be large. */
export type SessionNotification =
  | { method: 'notifications/roots/list_changed' }
  /** `request`: by `requestKey`. */
  | { method: 'notifications/cancelled', request: string, reason?: string }

/** What became of a message that was handed over; `failed` is our own fault. */
export type PostOutcome = { kind: 'accepted' } | { kind: 'refused', refusal: PostRefusal } | { kind: 'failed' }

/** What an error response is made from. */
export interface PostRefusal {
  code: string
  statusCode: number
  message: string
  jsonRpcCode: number
  requestId?: string | number | null
  retryAfterSeconds?: number
  limit?: LimitName
  retryAfterMs?: number
  requiredScopes?: readonly string[]
}

export type BusTopic = keyof BusMessages

/** Whether messages of a topic end something everywhere: nothing else may delay them or push them out. */
export function isControlTopic (topic: BusTopic): boolean {
  return topic === 'grantEnded' || topic === 'sessionEnded'
}

/** Messages between replicas (one process: between its parts). Delivery is at most once, to current subscribers. */
export interface Bus {
  /**
   * Sends a message to every subscriber on every replica, this one included. Resolves when the message has left this
   * process.
   */
  publish<T extends BusTopic> (topic: T, message: BusMessages[T]): Promise<void>
  /**
   * Sends a message to the subscribers of one replica. If no process listens as that one, nothing happens. Resolves
   * when the message has left this process.
   */
  send<T extends BusTopic> (replicaId: string, topic: T, message: BusMessages[T]): Promise<void>
  /**
   * Subscribes to what is published, and to what is sent to a replica that this process listens as.
   * @returns a function that ends the subscription
   */
  subscribe<T extends BusTopic> (topic: T, listener: (message: BusMessages[T]) => void): () => void
  /**
   * Calls the listener after messages may have been missed: what they would have told must be looked up.
   * @returns a function that ends it
   */
  onGap (listener: () => void): () => void
  /** Begins to receive what is sent to a replica: this process. @returns a function that ends it */
  listenAs (replicaId: string): () => void
}
