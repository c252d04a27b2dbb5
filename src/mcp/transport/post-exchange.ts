import type { JSONRPCRequest, RequestId } from '@modelcontextprotocol/server'
import type { PostResponse } from './post-response.js'
import type { SseStream } from './sse-stream.js'
import { errorText } from '../wire/messages.js'

/** The stream that an answer has become. */
export interface ResponseStream {
  /** The response body that reads it. */
  readonly body: SseStream
  /** @param answers the request that the message answers, where it is an answer */
  append (text: string, final: boolean, answers?: RequestId): void
  /** Completes it without another message. */
  end (): void
  /** Ends the response; the stream itself goes on. */
  release (): void
}

/** Makes the streams of exchanges. */
export interface ResponseStreams {
  /** Silence after which a pending answer becomes a stream. */
  readonly silenceMs: number
  /** @param primed whether the stream may begin with an event that has no message */
  openResponse (requestIds: readonly RequestId[], grantId: string | undefined, primed: boolean): ResponseStream
}

/**
 * One POST with requests, from its arrival to the last answer. It begins quiet, to be answered as JSON; the first
 * message that comes before the answers, or a while of silence, makes it a stream.
 */
export class PostExchange {
  readonly grantId: string | undefined
  readonly #streams: ResponseStreams
  readonly #answer: PostResponse
  #pending: readonly RequestId[]
  /** Answers of a batch so far. */
  readonly #results: string[] = []
  readonly #isBatch: boolean
  readonly #silence: NodeJS.Timeout
  #stream: ResponseStream | undefined

  constructor (
    streams: ResponseStreams,
    answer: PostResponse,
    requests: readonly JSONRPCRequest[],
    isBatch: boolean,
    grantId: string | undefined
  ) {
    this.#streams = streams
    this.#answer = answer
    this.#isBatch = isBatch
    this.#pending = requests.map(({ id }) => id)
    this.grantId = grantId
    this.#silence = setTimeout(becomeStream, streams.silenceMs, this).unref()
  }

  /** Takes the answer to one of the requests. */
  respond (id: RequestId, text: string): void {
    this.#pending = this.#pending.filter(pending => pending !== id)
    const complete = this.#pending.length === 0
    if (complete) clearTimeout(this.#silence)
    if (this.#stream !== undefined) {
      this.#stream.append(text, complete, id)
    } else {
      this.#results.push(text)
      if (complete) this.#answer.json(this.#isBatch ? `[${this.#results.join(',')}]` : text)
    }
  }

  /** Takes a message that belongs to one of the requests. */
  push (text: string): void {
    this.becomeStream()
    this.#stream?.append(text, false)
  }

  /** One of the requests was cancelled: it gets no answer. */
  cancel (id: RequestId): void {
    if (!this.#pending.includes(id)) return
    this.#pending = this.#pending.filter(pending => pending !== id)
    if (this.#pending.length > 0) return
    clearTimeout(this.#silence)
    if (this.#stream === undefined) {
      // an answer with no message in it must be a stream
      if (this.#results.length === 0) this.becomeStream(false)
      else this.#answer.json(`[${this.#results.join(',')}]`)
    }
    this.#stream?.end()
  }

  /** Answers what is pending with an error. */
  fail (code: number, message: string): void {
    for (const id of this.#pending) this.respond(id, errorText(code, message, id))
  }

  /** Lets go of the connection; the client comes back for the rest (SEP-1699). */
  releaseConnection (): void {
    this.becomeStream()
    this.#stream?.release()
  }

  /** Turns a quiet answer into a stream. */
  becomeStream (primed = true): void {
    // a client that left before it got an event id has nothing to come back with
    if (this.#stream !== undefined || this.#answer.gone) return
    clearTimeout(this.#silence)
    this.#stream = this.#streams.openResponse(this.#pending, this.grantId, primed)
    for (const result of this.#results.splice(0)) this.#stream.append(result, false)
    this.#answer.stream(this.#stream.body)
  }
}

function becomeStream (exchange: PostExchange): void {
  exchange.becomeStream()
}
