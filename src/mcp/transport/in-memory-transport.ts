import type {
  JSONRPCErrorResponse,
  JSONRPCMessage,
  JSONRPCNotification,
  JSONRPCRequest,
  RequestId,
  Transport,
  TransportSendOptions
} from '@modelcontextprotocol/server'
import { nextTurn } from '../event-loop-turn.js'
import { withInvalidParams } from '../wire/invalid-params.js'
import type { JsonRpcResponse } from '../wire/messages.js'
import { jsonRpcCodes } from '../../json-rpc-codes.js'
import type { MessageExtra } from './message-extra.js'

const SENT = Promise.resolve()

/** How a server sends a request to its client. */
export interface AskingOptions extends TransportSendOptions {
  /** What clients of 2026-07-28 are to know it by; of SDK 1.x, servers have no name for it. */
  inputKey?: string
}

/** The other end of the connection, which gets the server's messages. */
export interface InMemoryPeer {
  /** Called for a request to the client; `relatedRequestId` is the client's request that it belongs to. */
  onRequest (request: JSONRPCRequest, options: AskingOptions): void
  /** Called for a notification. @returns what resolves when the next one may be sent, if not at once */
  onNotification (
    notification: JSONRPCNotification,
    relatedRequestId: RequestId | undefined
  ): Promise<void> | undefined
}

/** An in-process connection to a server of SDK 1.x: requests go in, responses come back as promises. */
export class InMemoryTransport implements Transport {
  onmessage?: NonNullable<Transport['onmessage']>
  onclose?: () => void
  onerror?: (error: Error) => void
  /** That of the current call: a server reads it when it gets a request. */
  sessionId?: string
  readonly #end: InMemoryPeer
  readonly #waiting = new Map<RequestId, (response: JsonRpcResponse) => void>()
  #nextId = 0
  #closed = false

  constructor (end: InMemoryPeer) {
    this.#end = end
  }

  get isOpen (): boolean {
    return !this.#closed
  }

  /** The id of the latest request to the server. */
  get lastId (): RequestId {
    return this.#nextId - 1
  }

  async start (): Promise<void> {}

  /** Called by the server for everything it sends. */
  send (message: JSONRPCMessage, options: AskingOptions = {}): Promise<void> {
    if (this.#closed) return Promise.reject(new Error('The in-memory connection is closed'))
    try {
      if (!('method' in message)) this.#respond(message)
      else if ('id' in message) this.#end.onRequest(message, options)
      else return this.#end.onNotification(message, options.relatedRequestId) ?? nextTurn() ?? SENT
      return SENT
    } catch (error) {
      return Promise.reject(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #respond (message: JsonRpcResponse): void {
    const resolve = message.id === undefined ? undefined : this.#waiting.get(message.id)
    if (message.id !== undefined) this.#waiting.delete(message.id)
    resolve?.('error' in message ? withInvalidParams(message) : message)
  }

  /** Sends a request to the server. The promise fulfills with the response, even if that is an error. */
  async request (
    method: string,
    params: Record<string, unknown> | undefined,
    extra: MessageExtra
  ): Promise<JsonRpcResponse> {
    const id = this.#nextId++
    if (this.#closed) return closedResponse(id)
    return await new Promise<JsonRpcResponse>(resolve => {
      this.#waiting.set(id, resolve)
      this.onmessage?.({ jsonrpc: '2.0', id, method, ...params !== undefined && { params } }, extra)
    })
  }

  notify (method: string, params: Record<string, unknown> | undefined, extra: MessageExtra): void {
    if (!this.#closed) this.onmessage?.({ jsonrpc: '2.0', method, ...params !== undefined && { params } }, extra)
  }

  /** Responds to a request of the server. */
  respond (response: JsonRpcResponse): void {
    if (!this.#closed) this.onmessage?.(response)
  }

  async close (): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    for (const [id, resolve] of this.#waiting) resolve(closedResponse(id))
    this.#waiting.clear()
    this.onclose?.()
  }
}

function closedResponse (id: RequestId): JSONRPCErrorResponse {
  return { jsonrpc: '2.0', id, error: { code: jsonRpcCodes.serverError, message: 'Connection closed' } }
}
