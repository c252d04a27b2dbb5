import { randomUUID } from 'node:crypto'
import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import type { Server } from '@modelcontextprotocol/sdk/server/index.js'
import type { JSONRPCErrorResponse, JSONRPCNotification, JSONRPCRequest, JSONRPCResultResponse, MessageExtraInfo } from '@modelcontextprotocol/sdk/types.js'
import type { Log } from './create-server.js'
import { LinkTransport } from './link-transport.js'

type Response = JSONRPCResultResponse | JSONRPCErrorResponse

/** What a call of a 1.x server comes to: its answer, or things it asks the client for before it can go on. */
export type BridgedOutcome =
  | { kind: 'response', response: Response }
  | { kind: 'input-required', callId: string, round: number, inputRequests: Record<string, InputRequest> }

/** What a 1.x server asks the client for. */
export interface InputRequest {
  method: string
  params?: Record<string, unknown>
}

/** The request of the client that is open for a call: the first one, or one that brings answers. */
export interface OpenRequest {
  /** Takes the notifications of the call. */
  notify: (notification: JSONRPCNotification) => void
  /** Aborts when the client goes away. */
  signal: AbortSignal
  /** What the client wants progress reported under. */
  progressToken: string | number | undefined
}

export interface BridgedCallOptions {
  server: McpServer | Server
  /** Takes what the server announces that belongs to no call. */
  announce: (notification: Pick<JSONRPCNotification, 'method' | 'params'>) => void
  log: Log
}

/**
 * One server instance of SDK 1.x that serves one call of revision 2026-07-28. What it asks the client for ends the
 * client's request with an `input_required` result; the call itself waits for the client to come back with the answers.
 */
export class BridgedCall {
  readonly id = randomUUID()
  readonly #server: McpServer | Server
  readonly #link: LinkTransport
  /** Requests of the server that wait for the client: key -> request. */
  readonly #asked = new Map<string, JSONRPCRequest>()
  readonly #announce: BridgedCallOptions['announce']
  readonly #log: Log
  /** What is called: a client that comes back must name the same. */
  callee = ''
  #round = 0
  #response: Promise<Response> | undefined
  #open: OpenRequest | undefined
  #onAsked: (() => void) | undefined

  constructor ({ server, announce, log }: BridgedCallOptions) {
    this.#server = server
    this.#announce = announce
    this.#log = log
    this.#link = new LinkTransport({
      onRequest: request => {
        this.#asked.set(keyOf(request.id), request)
        this.#onAsked?.()
      },
      onNotification: (notification, relatedRequestId) => {
        // the server gives up waiting
        if (notification.method === 'notifications/cancelled') this.#asked.delete(keyOf(notification.params?.requestId))
        else if (relatedRequestId === undefined && !isOfCall(notification)) this.#announce(notification)
        else this.#notify(notification)
      }
    })
  }

  /**
   * Connects and initializes the server. @returns its answer to `initialize`
   * @throws {Error} where the server refuses
   */
  async begin (initializeParams: Record<string, unknown>, extra: MessageExtraInfo, logLevel: string | undefined): Promise<Record<string, unknown>> {
    await this.#server.connect(this.#link)
    const initialized = await this.#link.request('initialize', initializeParams, extra)
    if ('error' in initialized) {
      await this.close()
      throw new Error(`initialize failed: ${initialized.error.message}`)
    }
    this.#link.notify('notifications/initialized', undefined, extra)
    const { capabilities } = initialized.result
    if (logLevel !== undefined && typeof capabilities === 'object' && capabilities !== null && 'logging' in capabilities) {
      await this.#link.request('logging/setLevel', { level: logLevel }, extra)
    }
    return initialized.result
  }

  /** Makes the call. */
  async call (method: string, params: Record<string, unknown> | undefined, extra: MessageExtraInfo, open: OpenRequest): Promise<BridgedOutcome> {
    this.callee = calleeOf(method, params)
    this.#response = this.#link.request(method, params, extra)
    return await this.#outcome(open)
  }

  /** How often the call has asked the client. */
  get round (): number {
    return this.#round
  }

  /** Goes on with what the client answered: `responses` are results by the keys of `inputRequests`. */
  async resume (responses: Readonly<Record<string, unknown>>, open: OpenRequest): Promise<BridgedOutcome> {
    for (const [key, { id }] of this.#asked) {
      const result = responses[key]
      if (typeof result !== 'object' || result === null) continue
      this.#asked.delete(key)
      this.#link.respond({ jsonrpc: '2.0', id, result: { ...result } })
    }
    return await this.#outcome(open)
  }

  /** Ends the instance; a call that runs is cancelled: the SDK aborts its signal. */
  async close (): Promise<void> {
    try {
      await this.#server.close()
      await this.#link.close()
    } catch (error) {
      this.#log.error({ err: error }, 'a server instance could not be closed')
    }
  }

  /** Waits for the answer, or for the first thing that is asked for, while the client's request is open. */
  async #outcome (open: OpenRequest): Promise<BridgedOutcome> {
    const { signal } = open
    const abandon = () => { void this.close() }
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
      await new Promise(resolve => setImmediate(resolve))
      this.#round++
      return {
        kind: 'input-required',
        callId: this.id,
        round: this.#round,
        inputRequests: Object.fromEntries([...this.#asked].map(([key, { method, params }]) => [key, { method, ...params !== undefined && { params } }]))
      }
    } finally {
      // the request that is open for it ends now, which must not end the call
      signal.removeEventListener('abort', abandon)
      this.#onAsked = undefined
      this.#open = undefined
    }
  }

  /** Passes on what belongs to the call; nobody hears it while it waits for the client. */
  #notify (notification: JSONRPCNotification): void {
    if (this.#open === undefined) return
    const { notify, progressToken } = this.#open
    if (notification.method !== 'notifications/progress') notify(notification)
    // each request of the client has a token of its own; the server knows that of the first one
    else if (progressToken !== undefined) notify({ ...notification, params: { ...notification.params, progressToken } })
  }
}

function keyOf (id: unknown): string {
  return `request-${String(id)}`
}

/** Names what a request calls. */
export function calleeOf (method: string, { name, uri }: Record<string, unknown> = {}): string {
  return JSON.stringify([method, name, uri])
}

function isOfCall ({ method }: JSONRPCNotification): boolean {
  return method === 'notifications/progress' || method === 'notifications/message'
}
