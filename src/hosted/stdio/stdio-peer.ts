import {
  SUBSCRIPTION_ID_META_KEY,
  type JSONRPCMessage,
  type JSONRPCRequest,
  type RequestId
} from '@modelcontextprotocol/server'
import { getMember } from '../../members.js'
import type { JsonRpcResponse } from '../../mcp/wire/messages.js'
import { ACKNOWLEDGED, type ListenEvents, type ModernPeer } from '../modern/modern-peer.js'
import { HostedError } from '../wire/hosted-error.js'

type Params = Record<string, unknown>

interface Waiting {
  resolve (result: Params): void
  reject (error: unknown): void
}

/** A program of 2026-07-28: what it sends is told apart by ids, of requests and of subscriptions. */
export class StdioPeer implements ModernPeer {
  readonly #send: (message: JSONRPCMessage) => void
  readonly #waiting = new Map<RequestId, Waiting>()
  readonly #listening = new Map<unknown, ListenEvents>()
  #nextId = 0

  /** @param send throws if the program cannot get the message */
  constructor (send: (message: JSONRPCMessage) => void) {
    this.#send = send
  }

  async request (request: JSONRPCRequest, signal: AbortSignal): Promise<Params> {
    return await this.#request(this.#newId(), request, signal)
  }

  async listen (request: JSONRPCRequest, signal: AbortSignal, events: ListenEvents): Promise<void> {
    const id = this.#newId()
    this.#listening.set(id, events)
    try {
      // its response is the end
      await this.#request(id, request, signal)
    } finally {
      this.#listening.delete(id)
    }
  }

  /** Takes a message of the program. @returns false if it is none of those that this waits for */
  take (message: JSONRPCMessage): boolean {
    if (!('method' in message)) return this.#settle(message)
    const id = getMember(getMember(message.params, '_meta'), SUBSCRIPTION_ID_META_KEY)
    if (id === undefined || 'id' in message) return false
    const listening = this.#listening.get(id)
    if (message.method === ACKNOWLEDGED) listening?.confirmed()
    else listening?.received(message).catch(() => {})
    return true
  }

  #settle (response: JsonRpcResponse): boolean {
    const { id } = response
    const waiting = id === undefined ? undefined : this.#waiting.get(id)
    if (id === undefined || waiting === undefined) return false
    this.#waiting.delete(id)
    if ('result' in response) waiting.resolve(response.result)
    else waiting.reject(new HostedError('it responds with an error', { rpcError: response.error }))
    return true
  }

  async #request (id: RequestId, request: JSONRPCRequest, signal: AbortSignal): Promise<Params> {
    signal.throwIfAborted()
    let abort = () => {}
    try {
      return await new Promise<Params>((resolve, reject) => {
        abort = () => {
          // without a client's request before it, a program of both eras would take it for one of the other
          if (this.#waiting.delete(id) && request.method !== 'server/discover') this.#cancel(id)
          reject(signal.reason)
        }
        signal.addEventListener('abort', abort, { once: true })
        this.#waiting.set(id, { resolve, reject })
        this.#send({ ...request, id })
      })
    } finally {
      this.#waiting.delete(id)
      signal.removeEventListener('abort', abort)
    }
  }

  #cancel (requestId: RequestId): void {
    // a subscription that another has replaced has no more to say
    this.#listening.delete(requestId)
    try {
      this.#send({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId } })
    } catch {
      // it has ended, and what it did with it
    }
  }

  #newId (): RequestId {
    return `own.${this.#nextId++}`
  }
}
