import type { JSONRPCNotification, JSONRPCRequest } from '@modelcontextprotocol/server'

type Params = Record<string, unknown>

/** The method of what confirms a subscription. */
export const ACKNOWLEDGED = 'notifications/subscriptions/acknowledged'

/** Takes what comes of `subscriptions/listen`. */
export interface ListenEvents {
  /** The server listens to what it was asked for. */
  confirmed (): void
  /** A change. Resolves when there is room for the next one. */
  received (notification: JSONRPCNotification): Promise<void>
}

/** A server of 2026-07-28, by whatever it is reached. */
export interface ModernPeer {
  /**
   * Makes a request; what else comes meanwhile goes to whom the peer was made for.
   * @returns its result
   * @throws {HostedError} (rejects with it) also for an error response
   */
  request (request: JSONRPCRequest, signal: AbortSignal): Promise<Params>
  /** Listens until the signal aborts. Rejects if the server does not listen. */
  listen (request: JSONRPCRequest, signal: AbortSignal, events: ListenEvents): Promise<void>
}
