import type { RequestId } from '@modelcontextprotocol/server'
import { TemporarilyUnavailableError } from '../../errors.js'
import type { EventLog } from '../../stores/event-log.js'
import type { Log } from '../../log.js'

export interface LogWriterOptions {
  eventLog: EventLog
  sessionId: string
  streamId: string
  log: Log
  /** Called for each event that could not be written at once. */
  onFailed?: (data: string, final: boolean) => void
}

/** One event: `final` completes the stream, `answers` is the id of the request that it responds to. */
type Event = [data: string, final: boolean, answers: RequestId | undefined]

const NOT_WRITTEN = 'a message of a session could not be written to the event log'
const RETRY_MS = 500
// the oldest are dropped: the response, which matters most, comes last
const MAX_WAITING = 256

/** Writes a stream of the log. If the store is away, events wait, and are written in order when it is back. */
export class EventLogWriter {
  readonly #options: LogWriterOptions
  readonly #waiting: Event[] = []
  #retry: NodeJS.Timeout | undefined
  /** Number of events that were written. */
  written = 0

  constructor (options: LogWriterOptions) {
    this.#options = options
  }

  append (data: string, final = false, answers?: RequestId): void {
    const event: Event = [data, final, answers]
    if (this.#waiting.length > 0) this.#wait(event)
    else this.#write(event).catch((error: unknown) => { this.#failed(error, event) })
  }

  /** Drops the events that wait. */
  close (): void {
    clearTimeout(this.#retry)
    this.#waiting.length = 0
  }

  async #write (event: Event): Promise<void> {
    const { eventLog, sessionId, streamId } = this.#options
    await eventLog.append(sessionId, streamId, ...event)
    this.written++
  }

  #failed (err: unknown, event: Event): void {
    const { log, sessionId, onFailed } = this.#options
    if (!(err instanceof TemporarilyUnavailableError)) {
      log.error({ err, sessionId }, NOT_WRITTEN)
    } else {
      if (this.#waiting.length === 0) {
        log.warn({ err, sessionId }, 'messages of a session wait for the store')
        this.#retryLater()
      }
      this.#wait(event)
    }
    const [data, final] = event
    onFailed?.(data, final)
  }

  #wait (event: Event): void {
    this.#waiting.push(event)
    if (this.#waiting.length > MAX_WAITING) this.#waiting.shift()
  }

  #retryLater (): void {
    const failed = (err: unknown) => {
      this.#options.log.error({ err, sessionId: this.#options.sessionId }, NOT_WRITTEN)
    }
    this.#retry = setTimeout(() => {
      this.#writeWaiting().catch(failed)
    }, RETRY_MS).unref()
  }

  async #writeWaiting (): Promise<void> {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      try {
        await this.#write(first)
      } catch (err) {
        if (err instanceof TemporarilyUnavailableError) return this.#retryLater()
        this.#options.log.error({ err, sessionId: this.#options.sessionId }, NOT_WRITTEN)
      }
      if (this.#waiting[0] === first) this.#waiting.shift()
    }
  }
}
