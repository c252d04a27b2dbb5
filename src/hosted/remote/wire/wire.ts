import type { JSONRPCMessage, RequestId } from '@modelcontextprotocol/server'
import type { HostedExtra } from '../../piped-server.js'
import { isMessage } from '../../../mcp/wire/messages.js'
import { RemoteError } from './remote-error.js'

/** What a message belongs to. */
export type BelongsTo = Pick<HostedExtra, 'relatedRequestId' | 'inputKey'>

/** Takes what a remote server sends. */
export interface WireReceiver {
  /**
   * A message. Resolves when there is room for the next one.
   * @param of the request that it belongs to, if that is known: `{ relatedRequestId: undefined }`: to none
   */
  received (message: JSONRPCMessage, of: BelongsTo): Promise<void>
  /** The connection has ended by itself. */
  lost (error: Error): void
}

/** A way to exchange messages with a remote server. */
export interface Wire {
  /** Sends a message; of a request, resolves when its response has been received. Rejects if it will not be. */
  send (message: JSONRPCMessage): Promise<void>
  /** Ends what runs, and the session at the remote server. Never rejects. */
  close (): Promise<void>
}

/** Messages of a body or an event. @throws {RemoteError} for anything else */
export function parseRemoteMessages (text: string): JSONRPCMessage[] {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new RemoteError('it sends invalid JSON', { isLasting: true, cause })
  }
  const messages = Array.isArray(value) ? value : [value]
  if (!messages.every(isMessage)) {
    throw new RemoteError('it sends what is not a JSON-RPC 2.0 message', { isLasting: true })
  }
  return messages
}

/** Whether a message is the response to a request. */
export function isResponseTo (message: JSONRPCMessage, id: RequestId): boolean {
  return !('method' in message) && message.id === id
}
