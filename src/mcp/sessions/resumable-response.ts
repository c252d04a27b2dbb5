import type { RequestId } from '@modelcontextprotocol/server'
import { firstEventId, type EventLog } from '../../stores/event-log.js'
import type { Log } from '../../log.js'
import type { SseStream } from '../transport/sse-stream.js'
import type { ResponseStream } from '../transport/post-exchange.js'
import { EventLogWriter } from '../transport/event-log-writer.js'

export interface ResumableResponseOptions {
  eventLog: EventLog
  sessionId: string
  streamId: string
  requestIds: readonly RequestId[]
  /** The response body. */
  body: SseStream
  /** If set, the first event has no message: it says to resume after this time. */
  primingRetryMs: number | undefined
  log: Log
  /** Ends the responses that carry the stream. */
  release: () => void
}

const RETRY_MS = 500

/**
 * The stream of a POST's responses. It is written to the log, and the HTTP response reads it there. While the store is
 * away, the HTTP response gets the messages directly.
 */
export class ResumableResponse implements ResponseStream {
  readonly body: SseStream
  readonly #options: ResumableResponseOptions
  readonly #writer: EventLogWriter
  readonly #opening: Promise<void>
  /** Whether the log has the stream; false once opening it has failed. */
  #logged = true
  /** Whether the HTTP response gets the messages directly. */
  #direct = false

  constructor (options: ResumableResponseOptions) {
    const { eventLog, sessionId, streamId, requestIds, body } = options
    this.#options = options
    this.body = body
    this.#writer = new EventLogWriter({
      ...options,
      onFailed: (data, final) => {
        this.#unwritten(data, final)
      }
    })
    this.#opening = eventLog.open(sessionId, streamId, { requestIds }).then(() => {
      this.#opened()
    }, (error: unknown) => {
      this.#failed(error)
    })
  }

  append (data: string, final: boolean, answers?: RequestId): void {
    if (this.#direct) this.#deliver(data, final)
    if (this.#logged) this.#writer.append(data, final, answers)
  }

  end (): void {
    const { eventLog, sessionId, streamId } = this.#options
    eventLog.end(sessionId, streamId).catch((err: unknown) => {
      this.#options.log.warn({ err, sessionId }, 'the end of a stream could not be written')
      this.body.end()
    })
  }

  release (): void {
    // not before the client has an event id to resume from
    this.#opening.then(() => { if (!this.#direct) this.#options.release() }).catch((err: unknown) => {
      this.#options.log.error({ err }, 'a stream could not be released')
    })
  }

  /** From now on the client can resume on any replica: the stream is in the log. */
  #opened (): void {
    const { streamId, primingRetryMs } = this.#options
    if (primingRetryMs === undefined) this.body.comment()
    else this.body.prime(firstEventId(streamId), primingRetryMs)
    this.#follow()
  }

  #failed (err: unknown): void {
    const { log, sessionId } = this.#options
    log.warn({ err, sessionId }, 'a stream cannot be resumed: the event log could not store it')
    this.#logged = false
    this.#direct = true
    this.#writer.close()
    this.body.detach()
    this.body.comment()
  }

  #follow (): void {
    const { eventLog, sessionId, streamId } = this.#options
    if (this.#direct || this.body.over) return
    eventLog.follow(sessionId, streamId, firstEventId(streamId), this.body).then(
      following => { if (following !== undefined) this.body.reads(following) },
      () => { setTimeout(() => { this.#follow() }, RETRY_MS).unref() }
    )
  }

  /** The log could not store a message: a client that has read all earlier ones gets it directly. */
  #unwritten (data: string, final: boolean): void {
    if (!this.#direct) {
      if (this.body.received < this.#writer.written) return
      this.#direct = true
      this.body.detach()
    }
    this.#deliver(data, final)
  }

  #deliver (data: string, final: boolean): void {
    this.body.message(data)
    if (final) this.body.end()
  }
}
