import { isDeepStrictEqual } from 'node:util'
import type { JSONRPCMessage, JSONRPCNotification, JSONRPCRequest, RequestId } from '@modelcontextprotocol/server'
import { jsonRpcCodes } from '../../json-rpc-codes.js'
import type { Log } from '../../log.js'
import type { ServerContext } from '../../mcp/create-server.js'
import { isRequest } from '../../mcp/wire/messages.js'
import type { RemoteHttp } from './wire/http.js'
import type { Negotiation } from './negotiation.js'
import { HostedEndedError, toRpcError } from '../wire/hosted-error.js'
import { RemoteError } from './wire/remote-error.js'
import type { BelongsTo, Wire, WireReceiver } from '../wire/wire.js'

type Params = Record<string, unknown>

/** The one who uses a connection now. */
export interface ConnectionUser {
  readonly context: ServerContext
  received: WireReceiver['received']
  lost (): void
}

interface ConnectionOptions {
  /** Makes what sends requests for whom the connection serves. */
  reach: (context: () => ServerContext) => RemoteHttp
  negotiation: Negotiation
  /** Takes notifications while nobody uses the connection. */
  onIdleNotification: (notification: JSONRPCNotification, context: ServerContext) => void
  onLost: (connection: RemoteConnection) => void
}

const REPLACED = 'No client waits for this.'
const CLOSE_MS = 1000
const MAX_UNTOLD = 100

/** A connection to the remote server, and its session there. It may serve several users, one after the other. */
export class RemoteConnection implements WireReceiver {
  readonly #options: ConnectionOptions
  readonly #http: RemoteHttp
  #context: ServerContext
  #user: ConnectionUser | undefined
  #wire: Wire | undefined
  #params: Params | undefined
  #result: Params | undefined
  #isInitialized = false
  #isSubscribed = false
  #isClosed = false
  /** The server's requests that wait for the user. */
  readonly #asked = new Set<RequestId>()
  /** What is being sent, or waits to be, and is not a request: one after the other, as their order matters. */
  #telling: Promise<unknown> = Promise.resolve()
  #untold = 0
  #ready: Promise<unknown> = Promise.resolve()

  constructor (options: ConnectionOptions, context: ServerContext) {
    this.#options = options
    this.#context = context
    this.#http = options.reach(() => this.#context)
  }

  /** Whether it can be used again. */
  get isReusable (): boolean {
    return !this.#isClosed && this.#isInitialized && this.#asked.size === 0
  }

  /** Whether it has subscriptions, of anyone who has used it. */
  get isSubscribed (): boolean {
    return this.#isSubscribed
  }

  /** Whether it has been begun with these parameters of `initialize`. */
  isFor (params: Params): boolean {
    return isDeepStrictEqual(this.#params, params)
  }

  attach (user: ConnectionUser): void {
    this.#user = user
    this.#context = user.context
  }

  detach (): void {
    this.#user = undefined
  }

  get #log (): Log {
    return this.#context.log
  }

  /**
   * Begins, unless it has begun. @returns the result of `initialize`
   * @throws {RemoteError} (rejects with it) if the remote server does not take it
   */
  async initialize (params: Params): Promise<Params> {
    if (this.#result !== undefined) return this.#result
    const { wire, result } = await this.#options.negotiation.begin({
      era: this.#context.era, http: this.#http, receiver: this, log: this.#log, params
    })
    this.#params = params
    this.#result = result
    this.#wire = wire
    if (this.#isClosed) {
      await wire.close()
      throw new HostedEndedError('the connection was closed')
    }
    return result
  }

  /** Informs the server, once, that the client is ready. */
  async initialized (): Promise<void> {
    if (this.#isInitialized) return
    this.#isInitialized = true
    const told = this.#tell({ jsonrpc: '2.0', method: 'notifications/initialized' })
    // calls come after it
    this.#ready = told.catch(() => {})
    await told
  }

  /** Sends a message; of a request, resolves when its response has been received, even if that is an error. */
  async send (message: JSONRPCMessage): Promise<void> {
    if (isRequest(message)) await this.#call(message)
    else {
      if (!('method' in message) && message.id !== undefined) this.#asked.delete(message.id)
      await this.#tell(message)
    }
  }

  async received (message: JSONRPCMessage, of: BelongsTo): Promise<void> {
    const isQuestion = isRequest(message)
    if (this.#user === undefined) {
      if (isQuestion) await this.#decline(message)
      else if ('method' in message) this.#options.onIdleNotification(message, this.#context)
      return
    }
    if (isQuestion && message.method !== 'ping') {
      if (this.#asked.size >= this.#http.limits.maxWaitingRequests) {
        await this.#decline(message, 'Too many requests wait for the client.')
        return
      }
      this.#asked.add(message.id)
    }
    if ('method' in message && message.method === 'notifications/cancelled') {
      const id = message.params?.requestId
      if (typeof id === 'string' || typeof id === 'number') this.#asked.delete(id)
    }
    await this.#user.received(message, of)
  }

  lost (error: Error): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#log.warn({ err: error }, 'the connection to a remote server has ended')
    this.#options.onLost(this)
    this.#user?.lost()
  }

  /** Ends the session at the remote server. Never rejects. */
  async close (): Promise<void> {
    this.#user = undefined
    if (this.#isClosed) return
    this.#isClosed = true
    if (this.#untold > 0) {
      const timeout = new Promise(resolve => { setTimeout(resolve, CLOSE_MS).unref() })
      await Promise.race([this.#telling, timeout])
    }
    await this.#wire?.close()
  }

  async #call (request: JSONRPCRequest): Promise<void> {
    if (request.method === 'resources/subscribe') this.#isSubscribed = true
    try {
      if (this.#wire === undefined) throw new RemoteError('the connection was not begun')
      await this.#ready
      await this.#wire.send(request)
    } catch (error) {
      const isEnded = error instanceof HostedEndedError
      const { method } = request
      this.#log[isEnded ? 'debug' : 'warn']({ err: error, method }, 'a remote server does not respond')
      await this.#user?.received({ jsonrpc: '2.0', id: request.id, error: toRpcError(error) }, {})
    }
  }

  async #tell (message: JSONRPCMessage): Promise<void> {
    if (this.#untold >= MAX_UNTOLD) throw new RemoteError('it does not take what the client says')
    this.#untold++
    const send = async () => { await this.#wire?.send(message) }
    // what is cancelled should not wait
    const isUrgent = 'method' in message && message.method === 'notifications/cancelled'
    const told = isUrgent ? this.#ready.then(send) : this.#telling.then(send)
    this.#telling = Promise.allSettled([this.#telling, told])
    try {
      await told
    } finally {
      this.#untold--
    }
  }

  async #decline ({ id, method }: JSONRPCRequest, message = REPLACED): Promise<void> {
    const error = { code: jsonRpcCodes.serverError, message }
    const outcome = method === 'ping' ? { result: {} } : { error }
    await this.#tell({ jsonrpc: '2.0', id, ...outcome }).catch((err: unknown) => {
      this.#log.debug({ err }, 'a message did not reach the remote server')
    })
  }
}
