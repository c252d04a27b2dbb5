import type {
  JSONRPCMessage,
  JSONRPCNotification,
  JSONRPCRequest,
  MessageExtraInfo,
  ProgressToken,
  RequestId,
  Transport
} from '@modelcontextprotocol/server'
import { ServiceError } from '../errors.js'
import { jsonRpcCodes } from '../json-rpc-codes.js'
import type { Log } from '../log.js'
import { getMember } from '../members.js'
import type { Server1 } from '../mcp/sdk-servers.js'
import type { AskingOptions } from '../mcp/transport/in-memory-transport.js'
import { toRefusalResponse } from '../mcp/transport/refusal-responses.js'
import { isRequest, type JsonRpcResponse } from '../mcp/wire/messages.js'

/** A request that the hosted server serves. */
interface Running {
  method: string
  progressToken: ProgressToken | undefined
}

/**
 * Makes the transport that leads to the hosted server, not started yet.
 * @param sessionId of the session that is served; of calls without a session, what stands for their person and client
 */
export type ReachServer = (sessionId: string | undefined) => ResumableTransport

/** What a transport may know of a message of the hosted server. */
export interface HostedExtra extends MessageExtraInfo {
  /** The client's request that it belongs to; undefined: none. Absent: the transport cannot know. */
  relatedRequestId?: RequestId | undefined
  /** Of a request to the client: what a hosted server of 2026-07-28 calls it. */
  inputKey?: string
  /** Takes what resolves once the client's side has room for more. */
  onTaken?: (taken: Promise<void>) => void
}

/** A transport that may find that what a session had is lost. */
export interface ResumableTransport extends Transport {
  /** The session had a connection before: called before the first message. */
  resumes? (): void
}

const CLOSED = 'The hosted server closed the connection before it responded.'
const CLIENT_GONE = 'The client has gone.'

/**
 * A server that is somewhere else: it has the members by which a server of SDK 1.x is known, and passes every message
 * on between the transport it is connected to and the one that leads to the hosted server, whatever its method. What a
 * hosted server sends names no call that it belongs to (stdio), so that is found here: progress by its token; requests
 * and log messages belong to the call that began last. Either side that closes closes the other; what runs then gets a
 * JSON-RPC error.
 */
export class PipedServer implements Server1 {
  readonly #reach: ReachServer
  readonly #log: Log
  #hosted: ResumableTransport | undefined
  #client: Transport | undefined
  #clientCapabilities: unknown
  /** The client's requests, the one begun last at the end. */
  readonly #running = new Map<RequestId, Running>()
  /** Requests of the hosted server that wait for the client, and the call that each belongs to. */
  readonly #asked = new Map<RequestId, RequestId | undefined>()
  #isClosed = false

  constructor (reach: ReachServer, log: Log) {
    this.#reach = reach
    this.#log = log
  }

  /** Says that every method is handled: whether it is, only the hosted server knows. */
  readonly fallbackRequestHandler = true

  readonly isElsewhere = true

  assertCanSetRequestHandler (method: string): void {
    throw new Error(`${method} is handled by the hosted server`)
  }

  /** What the client has declared in `initialize`; undefined before. */
  getClientCapabilities (): unknown {
    return this.#clientCapabilities
  }

  /** Rejects if the hosted server cannot be reached. */
  async connect (client: Transport): Promise<void> {
    this.#client = client
    const { onclose, onerror } = client
    client.onclose = () => {
      onclose?.()
      this.#end()
    }
    client.onerror = error => {
      onerror?.(error)
      this.#log.debug({ err: error }, 'the client of a hosted server is at fault')
    }
    client.onmessage = (message: JSONRPCMessage, extra?: MessageExtraInfo) => {
      if (getMember(extra, 'isReplay') === true) this.#hosted?.resumes?.()
      this.#receive(message)
    }
    const hosted = this.#reach(client.sessionId)
    this.#hosted = hosted
    hosted.onmessage = (message: JSONRPCMessage, extra?: HostedExtra) => { this.#deliver(message, extra) }
    hosted.onclose = () => { this.#hostedClosed() }
    hosted.onerror = error => { this.#log.debug({ err: error }, 'the connection to a hosted server has a fault') }
    await client.start()
    await hosted.start()
  }

  /** Cancels what runs, and closes both connections. */
  async close (): Promise<void> {
    await this.#closeHosted()
    await this.#client?.close()
  }

  /** Takes a message of the client. */
  #receive (message: JSONRPCMessage): void {
    if (isRequest(message)) this.#call(message)
    else if ('method' in message) this.#notify(message)
    else {
      if (message.id !== undefined) this.#asked.delete(message.id)
      this.#pass(message)
    }
  }

  #call (request: JSONRPCRequest): void {
    const { id, method, params } = request
    const hosted = this.#open
    if (hosted === undefined) {
      this.#fail(id, CLOSED)
      return
    }
    if (method === 'initialize') this.#clientCapabilities = getMember(params, 'capabilities')
    this.#running.set(id, { method, progressToken: params?._meta?.progressToken })
    hosted.send(request).catch((error: unknown) => {
      if (!this.#running.delete(id)) return
      if (error instanceof ServiceError) this.#send(toRefusalResponse(error, id)).catch(() => {})
      else this.#fail(id, `The hosted server cannot be reached: ${describe(error)}`)
    })
  }

  #notify (notification: JSONRPCNotification): void {
    const requestId = notification.params?.requestId
    // servers do not respond to cancelled requests
    if (notification.method === 'notifications/cancelled' && isRequestId(requestId)) this.#running.delete(requestId)
    this.#pass(notification)
  }

  #pass (message: JSONRPCNotification | JsonRpcResponse): void {
    this.#open?.send(message).catch((err: unknown) => {
      this.#log.debug({ err }, 'a message did not reach the hosted server')
    })
  }

  /** Takes a message of the hosted server. */
  #deliver (message: JSONRPCMessage, extra: HostedExtra = {}): void {
    if (this.#isClosed) return
    if (isRequest(message)) this.#ask(message, extra)
    else if ('method' in message) {
      const call = this.#findCall(message)
      const taken = this.#send(message, 'relatedRequestId' in extra ? extra.relatedRequestId : call)
      extra.onTaken?.(taken)
    } else {
      this.#noteResponse(message)
      const taken = this.#send(message)
      extra.onTaken?.(taken)
    }
  }

  #noteResponse (response: JsonRpcResponse): void {
    const running = response.id === undefined ? undefined : this.#running.get(response.id)
    if (response.id !== undefined) this.#running.delete(response.id)
    const version = running?.method === 'initialize' && 'result' in response && response.result.protocolVersion
    if (typeof version === 'string') this.#hosted?.setProtocolVersion?.(version)
  }

  #ask (request: JSONRPCRequest, extra: HostedExtra): void {
    const { id, method } = request
    if (method === 'ping') {
      // asks whether the one who it is connected to is alive, which is not the client
      this.#pass({ jsonrpc: '2.0', id, result: {} })
      return
    }
    const call = 'relatedRequestId' in extra ? extra.relatedRequestId : this.#lastCall
    this.#asked.set(id, call)
    const { inputKey } = extra
    const options: AskingOptions = {
      ...call !== undefined && { relatedRequestId: call },
      ...inputKey !== undefined && { inputKey }
    }
    this.#client?.send(request, options).catch((error: unknown) => {
      if (!this.#asked.delete(id)) return
      const message = `The client cannot be asked: ${describe(error)}`
      this.#pass({ jsonrpc: '2.0', id, error: { code: jsonRpcCodes.serverError, message } })
    })
  }

  async #send (message: JSONRPCNotification | JsonRpcResponse, relatedRequestId?: RequestId): Promise<void> {
    try {
      await this.#client?.send(message, { ...relatedRequestId !== undefined && { relatedRequestId } })
    } catch (err) {
      this.#log.debug({ err }, 'a message of the hosted server did not reach the client')
    }
  }

  /** The call that a notification belongs to; undefined if to none, or if that is not known. */
  #findCall ({ method, params }: JSONRPCNotification): RequestId | undefined {
    if (method === 'notifications/message') return this.#lastCall
    if (method === 'notifications/progress') {
      for (const [id, { progressToken }] of this.#running) {
        if (progressToken !== undefined && progressToken === params?.progressToken) return id
      }
    }
    if (method !== 'notifications/cancelled' || !isRequestId(params?.requestId)) return undefined
    const call = this.#asked.get(params.requestId)
    this.#asked.delete(params.requestId)
    return call
  }

  /** The connection to the hosted server, until either side has closed. */
  get #open (): Transport | undefined {
    return this.#isClosed ? undefined : this.#hosted
  }

  get #lastCall (): RequestId | undefined {
    return [...this.#running.keys()].at(-1)
  }

  #fail (id: RequestId, message: string): void {
    this.#send({ jsonrpc: '2.0', id, error: { code: jsonRpcCodes.serverError, message } }).catch(() => {})
  }

  #hostedClosed (): void {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const id of this.#running.keys()) this.#fail(id, CLOSED)
    this.#running.clear()
    this.#asked.clear()
    this.#client?.close().catch((err: unknown) => {
      this.#log.debug({ err }, 'the connection to a client of a hosted server could not be closed')
    })
  }

  #end (): void {
    this.#closeHosted().catch((err: unknown) => {
      this.#log.debug({ err }, 'the connection to a hosted server could not be closed')
    })
  }

  async #closeHosted (): Promise<void> {
    if (this.#isClosed) return
    for (const [requestId, { method }] of this.#running) {
      // a client must not cancel it
      if (method === 'initialize') continue
      this.#pass({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId, reason: CLIENT_GONE } })
    }
    for (const id of this.#asked.keys()) {
      this.#pass({ jsonrpc: '2.0', id, error: { code: jsonRpcCodes.serverError, message: CLIENT_GONE } })
    }
    this.#running.clear()
    this.#asked.clear()
    this.#isClosed = true
    await this.#hosted?.close()
  }
}

function isRequestId (id: unknown): id is RequestId {
  return typeof id === 'string' || typeof id === 'number'
}

function describe (error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
