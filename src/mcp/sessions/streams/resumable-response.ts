import type { RequestId } from '@modelcontextprotocol/server'
import { firstEventId, formatEventId, type EventLog, type NewEvent } from '../../../stores/event-log.js'
import type { Log } from '../../../log.js'
import type { Replica } from '../../replica.js'
import type { SseStream } from '../../transport/sse-stream.js'
import type { ResponseStream } from '../../transport/post-exchange.js'
import { EventLogWriter } from '../../transport/event-log-writer.js'

export interface ResumableResponseOptions {
  eventLog: EventLog
  replica: Pick<Replica, 'isCertainlyAlive'>
  sessionId: string
  streamId: string
  requestIds: readonly RequestId[]
  /** The response body. */
  body: SseStream
  /** If set, the first event has no message: it says to resume after this time. */
  primingRetryMs: number | undefined
  maxWaiting: number
  log: Log
  /** Ends the responses that carry the stream. */
  release: () => void
  /** Called once everything is in the log. */
  onWritten: () => void
}

/**
 * The stream of a POST's responses. The HTTP response gets every message directly; the log gets it too, for a client
 * that resumes.
 */
export class ResumableResponse implements ResponseStream {
  readonly body: SseStream
  readonly #options: ResumableResponseOptions
  readonly #writer: EventLogWriter
  #unwatch = () => {}
  #position = 0

  constructor (options: ResumableResponseOptions) {
    const { eventLog, sessionId, streamId, requestIds, body, primingRetryMs } = options
    this.#options = options
    this.body = body
    this.#writer = new EventLogWriter({
      ...options,
      open: async () => {
        await eventLog.open(sessionId, streamId, { requestIds })
        // most calls are answered by now
        if (!body.over) this.#unwatch = eventLog.watch(sessionId, streamId, () => { body.onTaken() })
      },
      isSent: () => !body.over
    })
    this.#writer.begin()
    if (primingRetryMs === undefined) body.comment()
    else body.prime(firstEventId(streamId), primingRetryMs)
  }

  get room (): Promise<void> | undefined {
    return this.body.room ?? this.#writer.room
  }

  /** Resolves once a client can resume. */
  get opened (): Promise<void> {
    return this.#writer.opened
  }

  append (event: NewEvent): void {
    const position = ++this.#position
    const isFinal = event.isFinal === true
    // others may take this process for dead, and have answered in its place: the log decides
    const isFirst = isFinal && !this.#options.replica.isCertainlyAlive
    if (!isFirst) this.#deliver(event, position)
    if (this.body.over) this.#unwatch()
    this.#writer.append({ ...event, position }, outcome => {
      if (isFirst && outcome !== 'over') this.#deliver(event, position)
      else if (outcome === 'over') this.body.end()
      if (!isFinal && outcome !== 'over') return
      this.#unwatch()
      this.#writer.close()
      this.#options.onWritten()
    })
  }

  /** The session is over, or the process ends: the log is not waited for. */
  finish (): void {
    this.#writer.finish()
  }

  release (): void {
    this.#options.release()
  }

  #deliver ({ data, isFinal = false }: NewEvent, position: number): void {
    if (data !== undefined) this.body.message(data, formatEventId(this.#options.streamId, position))
    if (isFinal) this.body.end()
  }
}
