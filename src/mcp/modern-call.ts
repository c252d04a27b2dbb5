import type { JSONRPCRequest } from '@modelcontextprotocol/sdk/types.js'
import { CLIENT_INFO_META_KEY, type JSONRPCResultResponse } from '@modelcontextprotocol/server'
import type { CallerInfo } from '../auth-info.js'
import { CallSignal } from './call-signal.js'
import type { Log } from './create-server.js'
import { inboundRequest, type InboundHeaders } from './inbound-request.js'
import { errorText, isMessage, isRequest } from './json-rpc.js'
import type { ResultExchange } from './result-transport.js'

/** One POST as it came. */
export interface InboundMessage {
  headers: InboundHeaders
  /** Parsed. */
  body: unknown
}

/** What answers a POST: JSON with status 200, or what the SDK has made of it. */
export type ModernAnswer = string | Response

/** One POST of revision 2026-07-28, from its arrival to the end of its response. */
export class ModernCall implements ResultExchange {
  readonly caller: CallerInfo
  readonly log: Log
  /** For the SDK. */
  readonly request: Request
  /** What was posted; undefined where that is a notification, or no message. */
  readonly message: JSONRPCRequest | undefined
  readonly answer: Promise<ModernAnswer>
  requestId?: string
  /** Why no server was made for it. */
  refusal?: Error
  onClose?: (answered: boolean) => void
  readonly #signal = new CallSignal()
  #resolve: (answer: ModernAnswer) => void = () => {}
  #reject: (error: unknown) => void = () => {}
  #isOver = false

  constructor ({ headers, body, log }: InboundMessage & { log: Log }, caller: CallerInfo) {
    this.caller = caller
    this.log = log
    this.request = inboundRequest(headers, this.#signal)
    this.message = isMessage(body) && isRequest(body) ? body : undefined
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  /** Whether it holds a stream open, and nothing runs. */
  get listens (): boolean {
    return this.message?.method === 'subscriptions/listen'
  }

  /** Whether the client says who it is; it need not. */
  get namesClient (): boolean {
    return this.message?.params?._meta?.[CLIENT_INFO_META_KEY] !== undefined
  }

  /** Takes the answer that the SDK promises; without effect once there is another. */
  follow (response: Promise<Response>): void {
    response.then(response => {
      if (this.refusal === undefined) this.#resolve(response)
      else this.#reject(this.refusal)
    }, this.#reject)
  }

  onRequest (): void {
    this.#signal.handOver()
  }

  onResult (result: JSONRPCResultResponse): void {
    this.#isOver = true
    this.#resolve(JSON.stringify(result))
  }

  /** Cancels what still runs. @param reason what the client is told, where it waits */
  end (reason?: string): void {
    if (reason !== undefined) this.#resolve(errorText(-32000, reason, this.message?.id))
    if (!this.#isOver) this.#signal.abort()
  }
}
