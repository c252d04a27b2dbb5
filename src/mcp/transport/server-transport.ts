import type {
  JSONRPCMessage,
  JSONRPCNotification,
  JSONRPCRequest,
  RequestId,
  Result,
  ScopeChallengeHandler,
  Transport,
  TransportSendOptions
} from '@modelcontextprotocol/server'
import { InitializeFailedError, InvalidInitializeError, SessionNotFoundError } from '../../errors.js'
import { nextTurn } from '../event-loop-turn.js'
import { withInvalidParams } from '../wire/invalid-params.js'
import { isRequest, type JsonRpcResponse } from '../wire/messages.js'
import type { VisibleResponses } from '../access/visible-responses.js'
import type { McpObserver } from '../observer.js'
import { ObservedRequests, describeRequest } from '../observed-requests.js'
import { jsonRpcCodes } from '../../json-rpc-codes.js'
import { findRefusal } from './refusal-responses.js'
import { isQueued, taskAskers } from '../../stores/tasks/askers.js'
import type { MessageExtra } from './message-extra.js'
import type { ServedRequests } from './served-requests.js'

const SENT = Promise.resolve()

/** Where a server's messages go. */
export interface Outlet {
  /** A response to one of the client's requests. @returns its text; undefined if nobody waits for it */
  respond (response: JsonRpcResponse): string | undefined
  /**
   * A request or notification of the server; `relatedRequestId`: the client's request that it belongs to.
   * @returns what resolves once there is room for more; undefined if there is room now
   */
  push (
    message: JSONRPCRequest | JSONRPCNotification,
    relatedRequestId: RequestId | undefined
  ): Promise<void> | undefined
  /** The server's side of the connection has closed. */
  closed (): void
}

export interface ServerTransportOptions {
  sessionId?: string
  /** What the server sees as its session id if there is no session. */
  ownerId?: string
  /** What callers may know of the responses. */
  visible: VisibleResponses
  observer?: McpObserver | undefined
  /** Learns which request the server works on. */
  served?: ServedRequests
}

/**
 * The SDK's `Transport` for one server instance. It knows nothing about HTTP: what the server sends goes to an
 * `Outlet`. Requests of the server get ids (and progress tokens) that are unique across instances and replicas, so that
 * a response reaches only the request that it belongs to.
 */
export class ServerTransport implements Transport {
  onmessage?: NonNullable<Transport['onmessage']>
  onclose?: () => void
  onerror?: (error: Error) => void
  /** Resolves the scopes that a server of SDK 2.x declares; the scope check calls it. */
  resolveScopeChallenge?: ScopeChallengeHandler
  readonly #outlet: Outlet
  readonly #tag: string
  /** Requests of the server that wait for the client: id on the wire -> the server's own. */
  readonly #waiting = new Map<string, RequestId>()
  /** Requests that this service makes, to replay a handshake. */
  readonly #own = new Map<RequestId, (response: JsonRpcResponse) => void>()
  readonly #observed: ObservedRequests | undefined
  readonly #sessionId: string | undefined
  readonly #holder: string | undefined
  readonly #visible: VisibleResponses
  readonly #served: ServedRequests | undefined
  #closed = false

  /**
   * @param tag prefix of request ids, unique to this instance across replicas
   */
  constructor (
    outlet: Outlet,
    tag: string,
    { sessionId, ownerId, visible, observer, served }: ServerTransportOptions
  ) {
    this.#served = served
    this.#outlet = outlet
    this.#tag = tag
    this.#visible = visible
    this.#holder = sessionId ?? ownerId
    this.#sessionId = sessionId
    if (observer !== undefined) this.#observed = new ObservedRequests(observer)
  }

  /** What the server sees as its session id. */
  get sessionId (): string | undefined {
    taskAskers.readBy(this)
    return this.#holder
  }

  /** Number of the server's requests that wait for the client. */
  get waiting (): number {
    return this.#waiting.size
  }

  /** Whether one of the server's requests waits for a response with this id. */
  expects (id: RequestId | undefined): boolean {
    return typeof id === 'string' && this.#waiting.has(id)
  }

  /** Expects the response to a request. @returns the request with the id and progress token that the client sees */
  expect (request: JSONRPCRequest): JSONRPCRequest {
    const id = `${this.#tag}${request.id}`
    this.#waiting.set(id, request.id)
    const meta = request.params?._meta
    if (meta?.progressToken !== request.id) return { ...request, id }
    return { ...request, id, params: { ...request.params, _meta: { ...meta, progressToken: id } } }
  }

  /** Expects no response with this id any longer. */
  withdraw (id: RequestId): void {
    if (typeof id === 'string') this.#waiting.delete(id)
  }

  /** Whether a progress token is one that this instance gave out. */
  isOwnToken (token: unknown): boolean {
    return typeof token === 'string' && token.startsWith(this.#tag)
  }

  async start (): Promise<void> {}

  /** Called by servers of SDK 2.x as they connect. */
  setScopeChallengeResolver (resolver: ScopeChallengeHandler): void {
    this.resolveScopeChallenge = resolver
  }

  /** Called by the server for everything it sends. Resolves once there is room for more. */
  send (message: JSONRPCMessage, options?: TransportSendOptions): Promise<void> {
    if (this.#closed) return Promise.reject(new Error('The session transport is closed'))
    try {
      if ('method' in message) return this.#push(message, options) ?? nextTurn() ?? SENT
      this.#respond(message)
      return SENT
    } catch (error) {
      return Promise.reject(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #push (message: JSONRPCRequest | JSONRPCNotification, options?: TransportSendOptions): Promise<void> | undefined {
    const outgoing = isRequest(message) ? this.#outgoing(message) : this.#outgoingNotification(message)
    return outgoing && this.#outlet.push(outgoing, options?.relatedRequestId)
  }

  #respond (message: JsonRpcResponse): void {
    const own = message.id === undefined ? undefined : this.#own.get(message.id)
    if (own !== undefined) {
      own(message)
      return
    }
    if (message.id !== undefined) this.#served?.ended(message.id)
    const response = this.#visible.answered(message)
    // the outlet may close this, and with it all that runs
    const running = this.#observed?.take(message.id)
    const text = this.#outlet.respond('error' in response ? withInvalidParams(response) : response)
    running?.end(response, text)
  }

  /** Responds to a request of the client that the policy refuses: the server does not get it. */
  refuse (request: JSONRPCRequest, response: JsonRpcResponse, extra: MessageExtra): void {
    this.#observed?.deny(describeRequest(request, extra, this.#sessionId))
    this.#outlet.respond(response)
  }

  /** Passes a message of the client to the server. */
  receive (message: JSONRPCMessage, extra: MessageExtra): void {
    if (isRequest(message)) this.receiveRequest(message, extra)
    else if ('method' in message) this.#receiveNotification(message, extra)
    else this.#receiveResponse(message, extra)
  }

  /**
   * Makes a request as if the client had made it.
   * @throws {Error} if the server responds with an error
   * @throws {InitializeFailedError} if it responds so to `initialize`
   * @throws {InvalidInitializeError} if the server does not accept the parameters of `initialize`
   * @throws {SessionNotFoundError} if what the server knew of the session is lost
   * @throws {ServiceError} what refuses the client where a server is elsewhere
   */
  async request (method: string, params: Record<string, unknown>, extra: MessageExtra): Promise<Result> {
    const id = `${this.#tag}${method}`
    try {
      const response = await new Promise<JsonRpcResponse>((resolve, reject) => {
        if (this.#closed) reject(new Error('The session transport is closed'))
        this.#own.set(id, resolve)
        this.onmessage?.({ jsonrpc: '2.0', id, method, params }, extra)
      })
      if ('result' in response) {
        if (method === 'initialize') this.#visible.initialized(response.result)
        return response.result
      }
      const refusal = findRefusal(response)
      if (refusal !== undefined) throw refusal
      const { code, message } = withInvalidParams(response).error
      if (code === jsonRpcCodes.sessionNotFound) throw new SessionNotFoundError(message)
      if (method !== 'initialize') throw new Error(`${method} failed: ${message}`)
      throw code === jsonRpcCodes.invalidParams
        ? new InvalidInitializeError(message)
        : new InitializeFailedError(`initialize failed: ${message}`)
    } finally {
      this.#own.delete(id)
    }
  }

  async close (): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    for (const resolve of this.#own.values()) {
      resolve({ jsonrpc: '2.0', error: { code: jsonRpcCodes.serverError, message: 'Connection closed' } })
    }
    this.onclose?.()
    this.#observed?.close()
    this.#served?.clear()
    this.#waiting.clear()
    this.#outlet.closed()
  }

  /** Passes a request of the client to the server. */
  receiveRequest (request: JSONRPCRequest, extra: MessageExtra): void {
    const { authInfo, http } = extra
    this.#visible.asked(request, authInfo)
    if (this.#served === undefined || authInfo === undefined) this.#pass(request, extra)
    else this.#served.serve(request.id, { caller: authInfo, requestId: http?.id }, () => { this.#pass(request, extra) })
  }

  #pass (request: JSONRPCRequest, extra: MessageExtra): void {
    if (this.#observed === undefined) this.onmessage?.(request, extra)
    else {
      this.#observed.run(describeRequest(request, extra, this.#sessionId), () => { this.onmessage?.(request, extra) })
    }
  }

  #receiveNotification (notification: JSONRPCNotification, extra: MessageExtra): void {
    this.onmessage?.(this.#incomingNotification(notification), extra)
    const { method, params } = notification
    // the server does not respond to cancelled requests
    if (
      method !== 'notifications/cancelled' ||
      (typeof params?.requestId !== 'string' && typeof params?.requestId !== 'number')
    ) return
    this.#visible.cancelled(params.requestId)
    this.#served?.ended(params.requestId)
    this.#observed?.end(params.requestId, 'cancelled')
  }

  /** @returns undefined: this instance has queued it, and no longer waits */
  #outgoing (request: JSONRPCRequest): JSONRPCRequest | undefined {
    if (!isQueued(request)) return this.expect(request)
    return this.isOwnToken(request.id) && !this.expects(request.id) ? undefined : request
  }

  #outgoingNotification (notification: JSONRPCNotification): JSONRPCNotification {
    if (notification.method !== 'notifications/cancelled') return notification
    const id = `${this.#tag}${notification.params?.requestId}`
    return this.#waiting.delete(id)
      ? { ...notification, params: { ...notification.params, requestId: id } }
      : notification
  }

  #incomingNotification (notification: JSONRPCNotification): JSONRPCNotification {
    if (notification.method !== 'notifications/progress') return notification
    const token = notification.params?.progressToken
    // a task reports progress even after the response to the request that began it, so `#waiting` does not know it
    if (typeof token !== 'string' || !this.isOwnToken(token)) return notification
    return { ...notification, params: { ...notification.params, progressToken: token.slice(this.#tag.length) } }
  }

  #receiveResponse (response: JsonRpcResponse, extra: MessageExtra): void {
    const wireId = response.id
    const id = typeof wireId === 'string' ? this.#waiting.get(wireId) : undefined
    if (typeof wireId !== 'string' || id === undefined) {
      this.onerror?.(new Error('The client responded to a request that does not wait, or no longer'))
      return
    }
    this.#waiting.delete(wireId)
    this.onmessage?.({ ...response, id }, extra)
  }
}
