/**
 * Limits of sessions, streams and requests. Durations end in `Seconds` or `Ms`, sizes in `Bytes`. Pass some of them as
 * `limits` of `mcpService`.
 * @example
 * ```ts
 * import type { SessionLimits } from 'fastify-mcp-oauth'
 *
 * // a small process, for few people
 * export const limits: Partial<SessionLimits> = { maxSessionsPerPerson: 20, maxLiveInstances: 100, idleSeconds: 900 }
 * ```
 */
export interface SessionLimits {
  /** Life of a session without a request and without an open stream. */
  idleSeconds: number
  /** Life of a session, however much it is used. */
  lifetimeSeconds: number
  /** Sessions of one owner (person and client); one more ends the owner's least recently used. */
  maxSessionsPerOwner: number
  /** Sessions of one person, by all clients; one more ends the person's least recently used. */
  maxSessionsPerPerson: number
  /** A live instance without work is dropped after this time and rebuilt at the next request. */
  instanceIdleSeconds: number
  /** Live instances of this process, of either era; one more drops the least recently used that has no work. */
  maxLiveInstances: number
  /** The same, of one person. */
  maxInstancesPerPerson: number
  /** Requests that run at once in this process. */
  maxRequestsInFlight: number
  /** The same, of one person: in all sessions, eras and clients. */
  maxRequestsInFlightPerPerson: number
  /** Calls of one tool by one person in a minute; 0: no limit. */
  toolCallsPerMinute: number
  /** Streams that clients hold open to listen, in this process. */
  maxStreams: number
  /** The same, of one person. */
  maxStreamsPerPerson: number
  /** Resource subscriptions that this process knows of. */
  maxSubscriptions: number
  /** The same, of one person. */
  maxSubscriptionsPerPerson: number
  /** Bytes of the URIs of these subscriptions. */
  maxSubscriptionBytes: number
  /** The same, of one person. */
  maxSubscriptionBytesPerPerson: number
  /** Bytes of one URI that is subscribed to. */
  maxUriBytes: number
  /** HTTP requests whose response is not over: calls, streams, and responses that clients have not read to the end. */
  maxOpenResponses: number
  /** The same, of one person. */
  maxOpenResponsesPerPerson: number
  /** Bytes of the bodies of these requests. */
  maxRequestBytes: number
  /** The same, of one person. */
  maxRequestBytesPerPerson: number
  /** Bytes that wait in this process for clients to read them; beyond that, the responses with the most are cut. */
  maxUnreadBytes: number
  /** The same, of one person. */
  maxUnreadBytesPerPerson: number
  /** Bytes of the `initialize` parameters, which the session's record keeps. */
  maxInitializeBytes: number
  /** Bytes that wait for one slow client; beyond that, the server waits as it sends. */
  maxBufferedBytes: number
  /** Bytes that one stream's client has not read, besides the message that crosses it; beyond, its call fails. */
  maxUnreadBytesPerStream: number
  /**
   * Calls of SDK 1.x servers that wait in this process for input of 2026-07-28 clients; one more gives up the oldest of
   * the person with the most.
   */
  maxSuspendedCalls: number
  /** The same, of one person. */
  maxSuspendedCallsPerPerson: number
  /** Time that such a call waits for its client. */
  suspendedCallSeconds: number
  /**
   * Time in which a client whose connection was cut may bring the same input for such a call again, and gets the same
   * response.
   */
  repeatedInputMs: number
}

export const defaultLimits: SessionLimits = {
  idleSeconds: 3600,
  lifetimeSeconds: 7 * 86_400,
  maxSessionsPerOwner: 100,
  maxSessionsPerPerson: 500,
  instanceIdleSeconds: 30,
  maxLiveInstances: 1000,
  maxInstancesPerPerson: 100,
  maxRequestsInFlight: 2000,
  maxRequestsInFlightPerPerson: 64,
  toolCallsPerMinute: 600,
  maxStreams: 20_000,
  maxStreamsPerPerson: 64,
  maxSubscriptions: 100_000,
  maxSubscriptionsPerPerson: 1000,
  maxSubscriptionBytes: 67_108_864,
  maxSubscriptionBytesPerPerson: 524_288,
  maxUriBytes: 8192,
  maxOpenResponses: 25_000,
  maxOpenResponsesPerPerson: 256,
  maxRequestBytes: 268_435_456,
  maxRequestBytesPerPerson: 33_554_432,
  maxUnreadBytes: 268_435_456,
  maxUnreadBytesPerPerson: 16_777_216,
  maxInitializeBytes: 65_536,
  maxBufferedBytes: 1_048_576,
  maxUnreadBytesPerStream: 16_777_216,
  maxSuspendedCalls: 1000,
  maxSuspendedCallsPerPerson: 50,
  suspendedCallSeconds: 600,
  repeatedInputMs: 5000
}
