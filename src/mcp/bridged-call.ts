import { randomUUID } from 'node:crypto'
import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import type { Server } from '@modelcontextprotocol/sdk/server/index.js'
import type { JSONRPCErrorResponse, JSONRPCNotification, JSONRPCRequest, JSONRPCResultResponse, MessageExtraInfo } from '@modelcontextprotocol/sdk/types.js'
import { LinkTransport } from './link-transport.js'

type Response = JSONRPCResultResponse | JSONRPCErrorResponse

/** What a call of a 1.x server comes to: its answer, or things it asks the client for before it can go on. */
export type BridgedOutcome =
  | { kind: 'response', response: Response }
  | { kind: 'input-required', inputRequests: Record<string, { method: string, params?: Record<string, unknown> }> }

/** Takes the notifications of a call while a request of the client is open for it. */
export type NotificationSink = (notification: JSONRPCNotification) => void

/** What a server announces that belongs to no call. */
export type Announce = (notification: JSONRPCNotification) => void

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
  readonly #announce: Announce
  #response: Promise<Response> | undefined
  #sink: NotificationSink | undefined
  #onAsked: (() => void) | undefined

  constructor (server: McpServer | Server, announce: Announce) {
    this.#server = server
    this.#announce = announce
    this.#link = new LinkTransport({
      onRequest: request => {
        this.#asked.set(`request-${request.id}`, request)
        this.#onAsked?.()
      },
      onNotification: (notification, relatedRequestId) => {
        if (relatedRequestId === undefined && !isOfCall(notification)) this.#announce(notification)
        else this.#sink?.(notification)
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
    if ('error' in initialized) throw new Error(`initialize failed: ${initialized.error.message}`)
    this.#link.notify('notifications/initialized', undefined, extra)
    const { capabilities } = initialized.result
    if (logLevel !== undefined && typeof capabilities === 'object' && capabilities !== null && 'logging' in capabilities) {
      await this.#link.request('logging/setLevel', { level: logLevel }, extra)
    }
    return initialized.result
  }

  /** Makes the call. */
  async call (method: string, params: Record<string, unknown> | undefined, extra: MessageExtraInfo, sink: NotificationSink, signal: AbortSignal): Promise<BridgedOutcome> {
    this.#sink = sink
    this.#response = this.#link.request(method, params, extra, signal)
    return await this.#outcome()
  }

  /** Goes on with what the client answered: `responses` are results by the keys of `inputRequests`. */
  async resume (responses: Readonly<Record<string, unknown>>, extra: MessageExtraInfo, sink: NotificationSink, signal: AbortSignal): Promise<BridgedOutcome> {
    this.#sink = sink
    signal.addEventListener('abort', () => { void this.close() }, { once: true })
    for (const [key, request] of this.#asked) {
      const result = responses[key]
      if (typeof result !== 'object' || result === null) continue
      this.#asked.delete(key)
      this.#link.respond({ jsonrpc: '2.0', id: request.id, result: { ...result } }, extra)
    }
    return await this.#outcome()
  }

  async close (): Promise<void> {
    await this.#server.close()
    await this.#link.close()
  }

  /** Waits for the answer, or for the first thing that is asked for. */
  async #outcome (): Promise<BridgedOutcome> {
    const asked = new Promise<undefined>(resolve => {
      this.#onAsked = () => { resolve(undefined) }
      if (this.#asked.size > 0) resolve(undefined)
    })
    const response = await Promise.race([this.#response, asked])
    this.#onAsked = undefined
    if (response !== undefined) {
      await this.close()
      return { kind: 'response', response }
    }
    // what is asked for in one go is asked of the client in one go
    await new Promise(resolve => setImmediate(resolve))
    this.#sink = undefined
    return {
      kind: 'input-required',
      inputRequests: Object.fromEntries([...this.#asked].map(([key, { method, params }]) => [key, { method, ...params !== undefined && { params: withoutMeta(params) } }]))
    }
  }
}

function isOfCall ({ method }: JSONRPCNotification): boolean {
  return method === 'notifications/progress' || method === 'notifications/message'
}

// progress tokens of the link mean nothing to the client
function withoutMeta ({ _meta, ...params }: Record<string, unknown>): Record<string, unknown> {
  return params
}
