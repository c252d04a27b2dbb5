import type { JSONRPCRequest, JSONRPCResultResponse } from '@modelcontextprotocol/server'
import { personKey, type CallerInfo } from '../../caller.js'
import { CallSignal } from './lazy-abort-signal.js'
import { readClient, type ClientIdentity } from './client-envelope.js'
import type { Log } from '../../log.js'
import { inboundRequest, type InboundHeaders } from './lazy-request.js'
import { errorText } from '../wire/messages.js'
import { Outgoing } from '../admission/outgoing.js'
import { jsonRpcCodes } from '../../json-rpc-codes.js'

/** One POST as it came. */
export interface InboundMessage {
  headers: InboundHeaders
  /** Parsed. */
  body: unknown
  /** The body, if it is a request. */
  request: JSONRPCRequest | undefined
  log: Log
}

/** What answers a POST: JSON with status 200, or what the SDK has made of it. */
export type ModernResponse = string | Response

/** One POST of revision 2026-07-28, from its arrival to the end of its response. */
export class ModernCall {
  readonly caller: CallerInfo
  /** By `personKey`. */
  readonly person: string
  /** What the server sees as the session id. */
  readonly ownerId: string
  readonly log: Log
  readonly headers: InboundHeaders
  readonly body: unknown
  /** For the SDK. */
  readonly request: Request
  /** What was posted; undefined where that is a notification, or no message. */
  readonly message: JSONRPCRequest | undefined
  readonly response: Promise<ModernResponse>
  /** What its client has not taken yet. */
  readonly outgoing: Outgoing
  readonly #signal = new CallSignal()
  #resolve: (response: ModernResponse) => void = () => {}
  #reject: (error: unknown) => void = () => {}
  #isOver = false
  #client: ClientIdentity | undefined

  /** @param options with `maxBufferedBytes`: what may wait for a client that does not read; beyond, the call ends */
  constructor (
    { headers, body, request, log }: InboundMessage,
    caller: CallerInfo,
    { maxBufferedBytes, ownerId }: { maxBufferedBytes: number, ownerId: string }
  ) {
    this.caller = caller
    this.person = personKey(caller.extra)
    this.ownerId = ownerId
    this.outgoing = new Outgoing(maxBufferedBytes, () => {
      this.log.info('a call has ended: its client does not read')
      this.end()
    })
    this.log = log
    this.headers = headers
    this.body = body
    this.request = inboundRequest(headers, this.#signal)
    this.message = request
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

  /** Takes the answer that the SDK promises; without effect once there is another. */
  follow (response: Promise<Response>): void {
    response.then(this.#resolve, this.#reject)
  }

  /** Takes the result, where that is the whole answer. */
  result (response: JSONRPCResultResponse): void {
    this.#resolve(JSON.stringify(response))
  }

  /** There is no answer. */
  fail (error: unknown): void {
    this.#reject(error)
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

  /** Cancels what still runs. @param reason what the client is told, where it waits */
  end (reason?: string): void {
    if (reason !== undefined) {
      const error = errorText(jsonRpcCodes.serverError, reason, this.message?.id)
      this.#resolve(error)
      // its response may have become a stream; what a listener gets is not a response
      if (!this.#isOver && !this.listens) this.outgoing.endWith(error)
    }
    if (!this.#isOver) this.#signal.abort()
    this.outgoing.close()
  }
}
