import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type {
  JSONRPCNotification,
  JSONRPCRequest
} from '@modelcontextprotocol/server'
import type { OwnedExtra } from '../../transport/message-extra.js'
import type { BridgedServer } from './bridged-server.js'
import { fingerprint } from '../../../fingerprint.js'
import type { AskingOptions, InMemoryPeer } from '../../transport/in-memory-transport.js'
import { jsonRpcCodes } from '../../../json-rpc-codes.js'
import type { JsonRpcResponse } from '../../wire/messages.js'

/** Of a server that is somewhere else, what it asks for in one go arrives piece by piece. */
const ARRIVAL_MS = 50

/** The outcome of a call of a 1.x server: its response, or the input that it needs from the client to continue. */
export type BridgedOutcome =
  | { kind: 'response', response: JsonRpcResponse }
  | { kind: 'input-required', callId: string, round: number, inputRequests: Record<string, InputRequest> }

/** What a 1.x server asks the client for. */
interface InputRequest {
  method: string
  params?: Record<string, unknown>
}

/** The request of the client that is open for a call: the first one, or one that brings answers. */
export interface OpenRequest {
  /** Takes the notifications of the call. @returns what resolves when the next one may come, if not at once */
  notify: (notification: JSONRPCNotification) => Promise<void> | undefined
  /** Aborts when the client goes away. */
  signal: AbortSignal
  /** Whether the client, gone, may come back: only its connection has ended. */
  mayReturn: () => boolean
  /** What the client wants progress reported under. */
  progressToken: string | number | undefined
}

/**
 * One call of revision 2026-07-28 that an instance of SDK 1.x serves. What it asks the client for ends the client's
 * request with an `input_required` result; the call itself waits for the client to come back with the answers.
 */
export class BridgedCall implements InMemoryPeer {
  readonly id = randomUUID()
  readonly #instance: BridgedServer
  readonly #onFree: (() => void) | undefined
  /** Requests of the server that wait for the client: key -> request. */
  readonly #asked = new Map<string, JSONRPCRequest>()
  /** What is called: a client that comes back must name the same. */
  callee = ''
  #round = 0
  #response: Promise<JsonRpcResponse> | undefined
  #open: OpenRequest | undefined
  #onAsked: (() => void) | undefined

  /** @param onFree the instance may serve the next call; without it, the instance ends with this one */
  constructor (instance: BridgedServer, onFree?: () => void) {
    this.#instance = instance
    this.#onFree = onFree
  }

  onRequest (request: JSONRPCRequest, { inputKey }: AskingOptions): void {
    const isKey = inputKey !== undefined && !this.#asked.has(inputKey)
    this.#asked.set(isKey ? inputKey : `request-${request.id}`, request)
    this.#onAsked?.()
  }

  onNotification (notification: JSONRPCNotification): Promise<void> | undefined {
    if (notification.method !== 'notifications/cancelled') return this.#notify(notification)
    // the server gives up waiting
    for (const [key, { id }] of this.#asked) if (id === notification.params?.requestId) this.#asked.delete(key)
    return undefined
  }

  /** Makes the call. */
  async call (
    method: string,
    params: Record<string, unknown> | undefined,
    extra: OwnedExtra,
    open: OpenRequest
  ): Promise<BridgedOutcome> {
    this.callee = identifyCallee(method, params)
    this.#response = this.#instance.call(method, params, extra, this)
    return await this.#outcome(open)
  }

  /** How often the call has asked the client. */
  get round (): number {
    return this.#round
  }

  /** Continues with the client's input: `responses` are results by the keys of `inputRequests`. */
  async resume (responses: Readonly<Record<string, unknown>>, open: OpenRequest): Promise<BridgedOutcome> {
    for (const [key, { id }] of this.#asked) {
      const result = responses[key]
      if (typeof result !== 'object' || result === null) continue
      this.#asked.delete(key)
      this.#instance.respond({ jsonrpc: '2.0', id, result: { ...result } })
    }
    return await this.#outcome(open)
  }

  /** The call has its answer. */
  finish (): void {
    // where it waits for its client nonetheless, it has not ended
    if (this.#onFree === undefined || !this.#instance.isOpen || this.#asked.size > 0) {
      this.close()
    } else {
      this.#instance.free()
      this.#onFree()
    }
  }

  /** Gives the call up: what runs is cancelled, and the instance with it. */
  close (): void {
    this.#instance.close()
  }

  /** Waits for the answer, or for the first thing that is asked for, while the client's request is open. */
  async #outcome (open: OpenRequest): Promise<BridgedOutcome> {
    const { signal } = open
    const abandon = () => { this.close() }
    signal.addEventListener('abort', abandon, { once: true })
    if (signal.aborted) abandon()
    this.#open = open
    try {
      const asked = new Promise<undefined>(resolve => {
        this.#onAsked = () => { resolve(undefined) }
        if (this.#asked.size > 0) resolve(undefined)
      })
      const response = await Promise.race([this.#response, asked])
      if (response !== undefined) return { kind: 'response', response }
      // what is asked for in one go is asked of the client in one go
      await (this.#instance.isElsewhere ? delay(ARRIVAL_MS) : new Promise(resolve => setImmediate(resolve)))
      // nobody would come back to it
      if (signal.aborted) {
        return {
          kind: 'response',
          response: {
            jsonrpc: '2.0',
            id: this.id,
            error: { code: jsonRpcCodes.serverError, message: 'The client has gone.' }
          }
        }
      }
      this.#round++
      return {
        kind: 'input-required',
        callId: this.id,
        round: this.#round,
        inputRequests: Object.fromEntries(
          [...this.#asked].map(([key, { method, params }]) => [key, { method, ...params !== undefined && { params } }])
        )
      }
    } finally {
      // the request that is open for it ends now, which must not end the call
      signal.removeEventListener('abort', abandon)
      this.#onAsked = undefined
      this.#open = undefined
    }
  }

  /** Passes on notifications of the call; those sent while it waits for the client are dropped. */
  #notify (notification: JSONRPCNotification): Promise<void> | undefined {
    if (this.#open === undefined) return undefined
    const { notify, progressToken } = this.#open
    if (notification.method !== 'notifications/progress') return notify(notification)
    // each request of the client has a token of its own; the server knows that of the first one
    return progressToken === undefined
      ? undefined
      : notify({ ...notification, params: { ...notification.params, progressToken } })
  }
}

/** Identifies what a request calls: it is the same for one that brings input for that call. */
export function identifyCallee (method: string, params: Record<string, unknown> = {}): string {
  const { _meta, requestState, inputResponses, task, ...called } = params
  return fingerprint([method, called])
}
