import type { JSONRPCMessage, RequestId } from '@modelcontextprotocol/server'
import type { HostedExtra } from '../piped-server.js'

/** What a message belongs to. */
export type BelongsTo = Pick<HostedExtra, 'relatedRequestId' | 'inputKey'>

/** Takes what a hosted server sends. */
export interface WireReceiver {
  /**
   * A message. Resolves when there is room for the next one.
   * @param of the request that it belongs to, if that is known: `{ relatedRequestId: undefined }`: to none
   */
  received (message: JSONRPCMessage, of: BelongsTo): Promise<void>
  /** The connection has ended by itself. */
  lost (error: Error): void
}

/** A way to exchange messages with a hosted server. */
export interface Wire {
  /** Sends a message; of a request, resolves when its response has been received. Rejects if it will not be. */
  send (message: JSONRPCMessage): Promise<void>
  /** Ends what runs, and the session at the hosted server. Never rejects. */
  close (): Promise<void>
}

/** Whether a message is the response to a request. */
export function isResponseTo (message: JSONRPCMessage, id: RequestId): boolean {
  return !('method' in message) && message.id === id
}
