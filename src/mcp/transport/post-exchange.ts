import type { JSONRPCRequest, RequestId } from '@modelcontextprotocol/server'
import type { PostResponse } from './post-response.js'
import type { SseStream } from './sse-stream.js'
import { errorText } from '../wire/messages.js'

/** A response that has become a stream. */
export interface ResponseStream {
  /** The response body that reads it. */
  readonly body: SseStream
  /** @param answers id of the request, if the message is a response */
  append (text: string, final: boolean, answers?: RequestId): void
  /** Completes it without another message. */
  end (): void
  /** Ends the HTTP response; the stream itself continues. */
  release (): void
}

/** Opens the streams of POSTs. */
export interface ResponseStreams {
  /** Silence after which a pending response becomes a stream. */
  readonly silenceMs: number
  /** @param primed whether the stream may begin with an event that has no message */
  openResponse (requestIds: readonly RequestId[], grantId: string | undefined, primed: boolean): ResponseStream
}

/**
 * One POST with requests, from its arrival to the last response. If nothing else comes, it is answered with JSON; a
 * message before the responses, or a while of silence, makes it a stream.
 */
export class PostExchange {
  readonly grantId: string | undefined
  readonly #streams: ResponseStreams
  readonly #response: PostResponse
  #pending: readonly RequestId[]
  /** Responses so far, of a batch. */
  readonly #results: string[] = []
  readonly #isBatch: boolean
  readonly #silence: NodeJS.Timeout
  #stream: ResponseStream | undefined

  constructor (
    streams: ResponseStreams,
    response: PostResponse,
    requests: readonly JSONRPCRequest[],
    isBatch: boolean,
    grantId: string | undefined
  ) {
    this.#streams = streams
    this.#response = response
    this.#isBatch = isBatch
    this.#pending = requests.map(({ id }) => id)
    this.grantId = grantId
    this.#silence = setTimeout(becomeStream, streams.silenceMs, this).unref()
  }

  /** Takes the response to one of the requests. */
  respond (id: RequestId, text: string): void {
    this.#pending = this.#pending.filter(pending => pending !== id)
    const complete = this.#pending.length === 0
    if (complete) clearTimeout(this.#silence)
    if (this.#stream !== undefined) {
      this.#stream.append(text, complete, id)
    } else {
      this.#results.push(text)
      if (complete) this.#response.json(this.#isBatch ? `[${this.#results.join(',')}]` : text)
    }
  }

  /** Takes a message that belongs to one of the requests. */
  push (text: string): void {
    this.becomeStream()
    this.#stream?.append(text, false)
  }

  /** One of the requests was cancelled: it gets no response. */
  cancel (id: RequestId): void {
    if (!this.#pending.includes(id)) return
    this.#pending = this.#pending.filter(pending => pending !== id)
    if (this.#pending.length > 0) return
    clearTimeout(this.#silence)
    if (this.#stream === undefined) {
      // without any message, it can only be a stream
      if (this.#results.length === 0) this.becomeStream(false)
      else this.#response.json(`[${this.#results.join(',')}]`)
    }
    this.#stream?.end()
  }

  /** Responds to the pending requests with an error. */
  fail (code: number, message: string): void {
    for (const id of this.#pending) this.respond(id, errorText(code, message, id))
  }

  /** Ends the connection; the client comes back for the rest (SEP-1699). */
  releaseConnection (): void {
    this.becomeStream()
    this.#stream?.release()
  }

  /** Turns the response into a stream, if it is not one. */
  becomeStream (primed = true): void {
    // a client that left before it got an event id cannot resume
    if (this.#stream !== undefined || this.#response.gone) return
    clearTimeout(this.#silence)
    this.#stream = this.#streams.openResponse(this.#pending, this.grantId, primed)
    for (const result of this.#results.splice(0)) this.#stream.append(result, false)
    this.#response.stream(this.#stream.body)
  }
}

function becomeStream (exchange: PostExchange): void {
  exchange.becomeStream()
}
