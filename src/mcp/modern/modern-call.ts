import {
  SERVER_INFO_META_KEY,
  SUBSCRIPTION_ID_META_KEY,
  type Implementation,
  type JSONRPCErrorResponse,
  type JSONRPCNotification,
  type JSONRPCRequest
} from '@modelcontextprotocol/server'
import type { ReadableStream } from 'node:stream/web'
import { personKey, type CallerInfo } from '../../caller.js'
import type { Guard } from '../access/guard.js'
import { RefusedCallError } from '../access/refused-call-error.js'
import type { SdkServer } from '../sdk-servers.js'
import { CallSignal } from './lazy-abort-signal.js'
import { readClient, type ClientIdentity } from './client-envelope.js'
import type { Log } from '../../log.js'
import type { InboundHttp, McpObserver, ObservedRequest } from '../observer.js'
import { observeDenial } from '../observed-requests.js'
import { inboundRequest, type InboundHeaders } from './lazy-request.js'
import { acceptsStream } from '../wire/accept.js'
import { textWithInvalidParams, withInvalidParams } from '../wire/invalid-params.js'
import { errorText, type JsonRpcResponse } from '../wire/messages.js'
import { ResponseStream, type StreamBounds } from './response-stream.js'
import { jsonRpcCodes } from '../../json-rpc-codes.js'
import { REVISION_2026_07_28 } from '../wire/protocol-versions.js'

/** One POST as it came. */
export interface InboundMessage {
  headers: InboundHeaders
  /** Parsed. */
  body: unknown
  /** The body, if it is a request. */
  request: JSONRPCRequest | undefined
  log: Log
  /** The HTTP request, for observers. */
  http?: InboundHttp
}

/** What answers a POST: JSON with status 200, a stream, or what the SDK has made of it. */
export type ModernResponse = string | ResponseStream | Response

export interface ModernCallOptions extends StreamBounds {
  /** What the server sees as the session id. */
  ownerId: string
  /** Silence after which the response becomes a stream. */
  silenceMs: number
  /** Interval of the comments on that stream. */
  heartbeatMs: number
  /** Asks the policy; undefined: there is none. */
  guard?: Guard | undefined
  /** Learns of a call that the policy refuses before a server has it. */
  observer?: McpObserver | undefined
  /** Where what comes before the response goes, if this call has none of its own. */
  relay?: Pick<ModernCall, 'runs' | 'notify'>
}

const LEFT_UNANSWERED = 'The server has ended this call without a response.'
const TOO_SLOW = 'The call was cancelled: too much of its response waits for the client to read it.'

/** One POST of revision 2026-07-28, from its arrival to the end of its response. */
export class ModernCall {
  readonly caller: CallerInfo
  /** By `personKey`. */
  readonly person: string
  /** What the server sees as the session id. */
  readonly ownerId: string
  readonly log: Log
  /** The HTTP request that it came with, for observers. */
  readonly http: InboundHttp | undefined
  readonly headers: InboundHeaders
  readonly body: unknown
  /** For the SDK. */
  readonly request: Request
  /** What was posted; undefined where that is a notification, or no message. */
  readonly message: JSONRPCRequest | undefined
  readonly response: Promise<ModernResponse>
  readonly #options: ModernCallOptions
  readonly #signal = new CallSignal()
  #resolve: (response: ModernResponse) => void = () => {}
  #reject: (error: unknown) => void = () => {}
  #silence: NodeJS.Timeout | undefined
  #stream: ResponseStream | undefined
  /** Whether its response is complete, as far as the server goes. */
  #isAnswered = false
  /** Whether nothing runs for it. */
  #isOver = false
  /** Whether its client went before its response was complete. */
  hasLeft = false
  /** Of a listener: the server that it listens to. */
  serverInfo: Implementation | undefined
  /** The server that has it, once that is known. */
  server: SdkServer | undefined
  #client: ClientIdentity | undefined

  constructor ({ headers, body, request, log, http }: InboundMessage, caller: CallerInfo, options: ModernCallOptions) {
    this.caller = caller
    this.person = personKey(caller.extra)
    this.ownerId = options.ownerId
    this.log = log
    this.http = http
    this.headers = headers
    this.body = body
    this.request = inboundRequest(headers, this.#signal)
    this.message = request
    this.#options = options
    this.response = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  /** What its client says about itself. */
  get client (): ClientIdentity {
    this.#client ??= readClient(this.message)
    return this.#client
  }

  /** Whether it holds a stream open, and nothing runs. */
  get listens (): boolean {
    return this.message?.method === 'subscriptions/listen'
  }

  /** Whether its response has begun, as a stream. */
  get isStream (): boolean {
    return this.#stream !== undefined
  }

  /** A server has the request now: no error needs a status any longer, and the response may become a stream. */
  runs (): void {
    if (this.#options.relay !== undefined) {
      this.#options.relay.runs()
      return
    }
    if (this.message === undefined || this.#isAnswered || !acceptsStream(this.headers.accept)) return
    this.#silence ??= setTimeout(becomeStream, this.#options.silenceMs, this).unref()
  }

  /** Turns the response into a stream, if it is not one. */
  becomeStream (): ResponseStream {
    if (this.#stream !== undefined) return this.#stream
    clearTimeout(this.#silence)
    const stream = new ResponseStream(this.#options)
    this.#stream = stream
    stream.keepAlive(this.#options.heartbeatMs)
    this.#resolve(stream)
    return stream
  }

  /**
   * Sends a notification that belongs to it.
   * @returns what resolves when its client has read enough for the next one; undefined if it already has
   */
  notify (notification: JSONRPCNotification): Promise<void> | undefined {
    if (this.#isAnswered || this.#options.guard?.mayReceive(notification, this) === false) return undefined
    if (this.#options.relay !== undefined) return this.#options.relay.notify(notification)
    const stream = this.becomeStream()
    if (!stream.isFull) return stream.send(JSON.stringify(notification))
    this.log.info('a call has ended: its client does not read')
    this.end(TOO_SLOW)
    return undefined
  }

  /** The server's response, as far as the caller may know of it. */
  toVisible (response: JsonRpcResponse): JsonRpcResponse {
    const { guard } = this.#options
    return guard === undefined || this.message === undefined ? response : guard.toVisible(this.message, response, this)
  }

  /** Takes the server's response. @returns its text */
  answer (response: JsonRpcResponse): string {
    const text = JSON.stringify('error' in response ? withInvalidParams(response) : response)
    this.#settle(text)
    return text
  }

  /** Responds that there is no such method, with the status that the revision wants: the SDK knows only its own. */
  answerNotFound (error: JSONRPCErrorResponse['error']): void {
    const response = this.toVisible({ jsonrpc: '2.0', id: this.message?.id, error })
    const text = JSON.stringify(response)
    const headers = { 'content-type': 'application/json' }
    this.#settle(this.isStream ? text : new Response(text, { status: 404, headers }))
  }

  /** What observers are told of it. */
  describe (): Omit<ObservedRequest, 'request'> {
    const { caller, http } = this
    return { protocolVersion: REVISION_2026_07_28, era: 'modern', caller, ...http !== undefined && { http } }
  }

  /** Takes the response that the SDK promises; without effect once there is another. */
  follow (response: Promise<Response>): void {
    response.then(response => this.#take(response)).catch((error: unknown) => { this.fail(error) })
  }

  /** There is no response. */
  fail (error: unknown): void {
    if (this.#isAnswered) return
    if (error instanceof RefusedCallError) {
      const { observer } = this.#options
      const request = this.message
      if (observer !== undefined && request !== undefined) observeDenial(observer, { ...this.describe(), request })
      this.answer(error.response)
      return
    }
    if (this.#stream === undefined) {
      this.#settled()
      this.#reject(error)
      return
    }
    this.log.error({ err: error }, 'a call failed after its response had begun')
    this.#settle(errorText(jsonRpcCodes.internalError, 'Internal error', this.message?.id))
  }

  /** Nothing runs for it now. */
  over (): void {
    this.#isOver = true
    this.#signal.onAbort = undefined
  }

  /** What stops that which runs for it. */
  onEnd (stop: () => void): void {
    this.#signal.onAbort = stop
    if (this.#signal.aborted) stop()
  }

  /**
   * Ends it: what still runs is cancelled.
   * @param reason what its client is told; without it, the client has gone
   */
  end (reason?: string): void {
    if (reason === undefined) {
      this.hasLeft = !this.#isAnswered
      this.#stream?.destroy()
    } else if (this.listens && this.#stream !== undefined) this.#stream.endWith(this.#listenResult())
    else this.#settle(errorText(jsonRpcCodes.serverError, reason, this.message?.id))
    this.#settled()
    if (!this.#isOver) this.#signal.abort()
  }

  /** The end of a subscription (MCP 2026-07-28, Subscriptions): the client may listen again. */
  #listenResult (): string {
    const id = this.message?.id
    return JSON.stringify({
      jsonrpc: '2.0',
      id,
      result: {
        resultType: 'complete',
        _meta: { [SUBSCRIPTION_ID_META_KEY]: id, [SERVER_INFO_META_KEY]: this.serverInfo }
      }
    })
  }

  #settled (): void {
    this.#isAnswered = true
    clearTimeout(this.#silence)
  }

  /** Completes its response, if it is not complete. */
  #settle (response: string | Response): void {
    if (this.#isAnswered) return
    this.#settled()
    if (this.#stream === undefined) this.#resolve(response)
    else if (typeof response === 'string') this.#stream.endWith(response)
  }

  async #take (response: Response | StreamedResponse): Promise<void> {
    if (this.#isAnswered) return
    if (isStreamed(response)) {
      const stream = new ResponseStream(this.#options)
      this.#stream = stream
      stream.pump(response.body)
      this.#resolve(stream)
    } else if (this.#stream === undefined) {
      this.#settle(response)
    } else {
      // what would have been the body of a response with a status
      const text = await response.text()
      this.#settle(
        text === ''
          ? errorText(jsonRpcCodes.serverError, LEFT_UNANSWERED, this.message?.id)
          : textWithInvalidParams(text)
      )
    }
  }
}

/** A response that is a stream: the platform's types do not say that its body consists of bytes. */
interface StreamedResponse extends Omit<Response, 'body'> {
  readonly body: ReadableStream<Uint8Array>
}

function isStreamed (response: Response | StreamedResponse): response is StreamedResponse {
  return response.body !== null && response.headers.get('content-type')?.startsWith('text/event-stream') === true
}

function becomeStream (call: ModernCall): void {
  call.becomeStream()
}
