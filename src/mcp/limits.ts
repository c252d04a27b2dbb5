/** Bounds of sessions and streams. Durations end in `Seconds` or `Ms`, sizes in `Bytes`. */
export interface SessionLimits {
  /** Life of a session without a request and without an open stream. */
  idleSeconds: number
  /** Life of a session, however much it is used. */
  lifetimeSeconds: number
  /** Sessions of one owner (person and client); one more ends the owner's least recently used. */
  maxSessionsPerOwner: number
  /** A live instance without work is dropped after this time and rebuilt at the next request. */
  instanceIdleSeconds: number
  /** Live instances of this process; one more drops the least recently used that has no work. */
  maxLiveInstances: number
  /** Requests of one session that may run at once. */
  maxRequestsInFlight: number
  /** Streams that this process holds open. */
  maxStreams: number
  /** Resource subscriptions of one session. */
  maxSubscriptions: number
  /** Bytes of the `initialize` parameters, which the session's record keeps. */
  maxInitializeBytes: number
  /** Bytes waiting for one slow client; beyond, its connection is cut, and it resumes from the log. */
  maxBufferedBytes: number
  /** Calls of SDK 1.x servers that wait in this process for clients of 2026-07-28 to bring answers; one more gives up the oldest. */
  maxParkedCalls: number
  /** The same, of one owner (person and client). */
  maxParkedCallsPerOwner: number
  /** Time that such a call waits for its client. */
  parkedSeconds: number
}

export const defaultLimits: SessionLimits = {
  idleSeconds: 3600,
  lifetimeSeconds: 7 * 86_400,
  maxSessionsPerOwner: 100,
  instanceIdleSeconds: 30,
  maxLiveInstances: 1000,
  maxRequestsInFlight: 100,
  maxStreams: 20_000,
  maxSubscriptions: 1000,
  maxInitializeBytes: 65_536,
  maxBufferedBytes: 1_048_576,
  maxParkedCalls: 1000,
  maxParkedCallsPerOwner: 100,
  parkedSeconds: 600
}
