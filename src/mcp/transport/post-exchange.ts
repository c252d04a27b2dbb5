import type { JSONRPCRequest, RequestId } from '@modelcontextprotocol/server'
import type { PostResponse } from './post-response.js'
import type { NewEvent } from '../../stores/event-log.js'
import type { SseStream } from './sse-stream.js'
import { errorText } from '../wire/messages.js'
import { PacedQueue } from './paced-queue.js'

/** A response that has become a stream. */
export interface ResponseStream {
  /** The response body. */
  readonly body: SseStream
  /** Resolves once there is room for more; undefined if there is room now. */
  readonly room: Promise<void> | undefined
  append (event: NewEvent): void
  /** Ends the HTTP response; the stream itself continues. */
  release (): void
}

/** Opens the streams of POSTs. */
export interface ResponseStreams {
  /** Silence after which a pending response becomes a stream. */
  readonly silenceMs: number
  /**
   * @param primed whether the stream may begin with an event that has no message
   * @param streamId its id; undefined: a new one
   */
  openResponse (
    requestIds: readonly RequestId[],
    grantId: string | undefined,
    primed: boolean,
    streamId?: string
  ): ResponseStream
}

/** What a POST was made with. */
export interface ExchangeOptions {
  requests: readonly JSONRPCRequest[]
  isBatch: boolean
  grantId: string | undefined
  /** Called if far more waits for the client than it reads: nothing more is sent but the responses. */
  onOverfull: (requestIds: readonly RequestId[]) => void
}

/** What a stream is to do: to take an event, or to end the connection. */
type Step = NewEvent | 'release'

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
  readonly #onOverfull: ExchangeOptions['onOverfull']
  #stream: ResponseStream | undefined
  /** What the stream has yet to take. */
  #queue: PacedQueue<Step> | undefined

  constructor (
    streams: ResponseStreams,
    response: PostResponse,
    { requests, isBatch, grantId, onOverfull }: ExchangeOptions
  ) {
    this.#streams = streams
    this.#response = response
    this.#isBatch = isBatch
    this.#pending = requests.map(({ id }) => id)
    this.grantId = grantId
    this.#onOverfull = onOverfull
    this.#silence = setTimeout(becomeStream, streams.silenceMs, this).unref()
    if (response.streamId !== undefined) this.becomeStream()
  }

  /** Takes the response to one of the requests. */
  respond (id: RequestId, text: string): void {
    this.#pending = this.#pending.filter(pending => pending !== id)
    const complete = this.#pending.length === 0
    if (complete) clearTimeout(this.#silence)
    if (this.#queue !== undefined) {
      this.#queue.add({ data: text, isKept: true, isFinal: complete, answers: id })
    } else {
      this.#results.push(text)
      if (complete) this.#response.json(this.#isBatch ? `[${this.#results.join(',')}]` : text)
    }
  }

  /**
   * Takes a message that belongs to one of the requests.
   * @returns what resolves once the next one may be sent; undefined if it may now
   */
  push (text: string, isRequest: boolean): Promise<void> | undefined {
    this.becomeStream()
    if (this.#stream?.body.isOverfull === true) {
      this.#onOverfull(this.#pending)
      return undefined
    }
    this.#queue?.add({ data: text, isKept: isRequest })
    return this.#queue?.room
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
    this.#queue?.add({ isFinal: true })
  }

  /** Responds to the pending requests with an error, at once: the process may be about to end. */
  fail (code: number, message: string): void {
    this.#queue?.flush()
    for (const id of this.#pending) this.respond(id, errorText(code, message, id))
  }

  /** Leaves the response to others. @returns false if that is too late: it has begun */
  abandon (): boolean {
    if (this.#stream !== undefined) return false
    clearTimeout(this.#silence)
    this.#pending = []
    return true
  }

  /** Ends the connection; the client comes back for the rest (SEP-1699). */
  releaseConnection (): void {
    this.becomeStream()
    this.#queue?.add('release')
  }

  /** Turns the response into a stream, if it is not one. */
  becomeStream (primed = true): void {
    // a client that left before it got an event id cannot resume
    if (this.#stream !== undefined || this.#response.gone) return
    clearTimeout(this.#silence)
    const stream = this.#streams.openResponse(this.#pending, this.grantId, primed, this.#response.streamId)
    this.#stream = stream
    this.#queue = new PacedQueue<Step>({
      deliver: step => {
        if (step === 'release') stream.release()
        else stream.append(step)
      },
      room: () => stream.room,
      count: step => step === 'release' ? 0 : step.data?.length ?? 0
    })
    stream.body.isFedBy(this.#queue)
    for (const data of this.#results.splice(0)) this.#queue.add({ data, isKept: true })
    this.#response.stream(stream.body)
  }
}

function becomeStream (exchange: PostExchange): void {
  exchange.becomeStream()
}
