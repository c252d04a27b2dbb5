import {
  PerRequestHTTPServerTransport,
  type JSONRPCErrorResponse,
  type JSONRPCMessage,
  type JSONRPCNotification,
  type JSONRPCRequest,
  type MessageClassification,
  type RequestId,
  type Transport,
  type TransportSendOptions
} from '@modelcontextprotocol/server'
import type { ModernCall } from '../modern-call.js'
import type { McpObserver } from '../../observer.js'
import { RunningRequest } from '../../observed-requests.js'
import type { JsonRpcResponse } from '../../wire/messages.js'
import { REVISION_2026_07_28 } from '../../wire/protocol-versions.js'
import type { Announce } from '../announce-from.js'
import type { Served } from './reusable-server.js'

export interface ReusableTransportOptions {
  /** Takes what the server sends that belongs to no request. */
  announce: Announce
  mcpObserver?: McpObserver | undefined
}

/** A call that a server is to answer. */
export interface Carried {
  call: ModernCall
  request: JSONRPCRequest
  /**
   * What the server sees in place of the client's request id. With an id that was never used before, what it still
   * sends for an earlier request cannot be taken for this one's, whatever ids the clients choose.
   */
  id: RequestId
  /** The call has ended: with an answer, or because nobody waits for it. */
  onOver: (answered: boolean) => void
}

const classification: MessageClassification = { era: 'modern', revision: REVISION_2026_07_28 }
const sent = Promise.resolve()
// as the SDK's handler and nginx respond
const CLIENT_LEFT = 499

/*
 * What this is: a transport for any number of requests, one after the other, where the SDK has one transport per
 * request. Results, and what goes over a stream, are formatted here.
 * What it is not: it writes no errors with a status. The SDK's `PerRequestHTTPServerTransport` does, as in its own
 * handler.
 * What breaks: if that transport formats results in another way, responses differ (test/eras/fast-path.test.ts).
 * Delete it with the fast path.
 */

/** The connection of an SDK 2.x server that is bound to revision 2026-07-28. */
export class ReusableTransport implements Transport {
  onmessage?: NonNullable<Transport['onmessage']>
  onclose?: () => void
  onerror?: (error: Error) => void
  /** Of the call that was handed over last: a server reads it as it gets a request. */
  sessionId?: string
  readonly #options: ReusableTransportOptions
  readonly #exchanges = new Map<RequestId, PooledCall>()
  #delivered: PooledCall | undefined
  #closed = false

  constructor (options: ReusableTransportOptions) {
    this.#options = options
  }

  get isOpen (): boolean {
    return !this.#closed
  }

  async start (): Promise<void> {}

  /**
   * Hands a request to the server.
   * @returns `refused` if the SDK refuses it before anything has run: its handler says why
   */
  carry (carried: Carried): Served {
    if (this.#closed) return 'left'
    const { call, request, id } = carried
    const exchange = new PooledCall(carried, this.#options)
    this.#exchanges.set(id, exchange)
    const message = id === request.id ? request : { ...request, id }
    this.#delivered = exchange
    this.sessionId = call.ownerId
    exchange.run(() => { this.onmessage?.(message, { classification, request: call.request, authInfo: call.caller }) })
    this.#delivered = undefined
    if (exchange.isRefused) {
      this.#exchanges.delete(id)
      return 'refused'
    }
    if (this.#exchanges.has(id)) {
      call.onEnd(() => { this.#abandon(id, exchange) })
      call.runs()
    }
    return 'taken'
  }

  send (message: JSONRPCMessage, options?: TransportSendOptions): Promise<void> {
    if (!('method' in message)) this.#answer(message)
    // the revision has no requests of servers
    else if ('id' in message) {
      return Promise.reject(
        new Error(`Nobody can answer ${message.method}: servers do not ask clients in revision ${REVISION_2026_07_28}.`)
      )
    } else if (options?.relatedRequestId === undefined) this.#options.announce(message)
    else return this.#exchanges.get(options.relatedRequestId)?.push(message) ?? sent
    return sent
  }

  async close (): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.onclose?.()
    for (const [id, exchange] of this.#exchanges) this.#abandon(id, exchange)
  }

  #answer (response: JsonRpcResponse): void {
    const { id } = response
    const exchange = id === undefined ? undefined : this.#exchanges.get(id)
    // nobody is waiting for it
    if (id === undefined || exchange === undefined) return
    if ('error' in response && exchange === this.#delivered) {
      exchange.refuse(response)
    } else {
      this.#exchanges.delete(id)
      exchange.answer(response)
    }
  }

  #abandon (id: RequestId, exchange: PooledCall): void {
    if (!this.#exchanges.delete(id)) return
    this.onmessage?.({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: id } })
    exchange.abandon()
  }
}

/** One request that a server has, and the response to it. */
class PooledCall {
  readonly #carried: Carried
  readonly #observed: RunningRequest | undefined
  isRefused = false

  constructor (carried: Carried, { mcpObserver }: ReusableTransportOptions) {
    this.#carried = carried
    const { call, request } = carried
    this.#observed = mcpObserver && new RunningRequest(mcpObserver, { ...call.describe(), request })
  }

  run (deliver: () => void): void {
    if (this.#observed === undefined) deliver()
    else this.#observed.run(deliver)
  }

  refuse (error: JSONRPCErrorResponse): void {
    this.isRefused = true
    this.#observed?.end(error)
  }

  /** @returns what resolves once the client has read enough; undefined if it already has */
  push (notification: JSONRPCNotification): Promise<void> | undefined {
    return this.#carried.call.notify(notification)
  }

  answer (response: JsonRpcResponse): void {
    const { call, request: { id }, onOver } = this.#carried
    call.over()
    const answer = call.toVisible(response.id === id ? response : { ...response, id })
    let text: string | undefined
    if ('result' in answer || call.isStream) text = call.answer(answer)
    else this.#fail(answer)
    this.#observed?.end(answer, text)
    onOver(true)
  }

  abandon (): void {
    const { call, onOver } = this.#carried
    this.#observed?.end('closed')
    call.over()
    call.follow(Promise.resolve(new Response(null, { status: CLIENT_LEFT })))
    onOver(false)
  }

  /** Responds with an error, as the SDK does it. */
  #fail (error: JSONRPCErrorResponse): void {
    const { call, request } = this.#carried
    const response = new PerRequestHTTPServerTransport({ classification })
    const unsent = (err: unknown) => { call.log.debug({ err }, 'an error could not be sent: its client has gone') }
    // the server has the request already
    response.onmessage = () => {}
    response.start().catch(unsent)
    call.follow(response.handleMessage(request))
    response.send(error).catch(unsent)
  }
}
