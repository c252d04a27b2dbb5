import type { RequestId } from '@modelcontextprotocol/server'
import { TemporarilyUnavailableError } from '../../errors.js'
import type { EventLog } from '../../stores/event-log.js'
import type { Log } from '../../log.js'

export interface LogWriterOptions {
  eventLog: EventLog
  sessionId: string
  streamId: string
  log: Log
  /** Told of each event that could not be written at once. */
  onFailed?: (data: string, final: boolean) => void
}

/** One event: `final` completes the stream, `answers` names the request that it answers. */
type Event = [data: string, final: boolean, answers: RequestId | undefined]

const RETRY_MS = 500
// those before are given up: what matters most, the answer, comes last
const MAX_WAITING = 256

/** Writes a stream of the log. What cannot be written because the store is away is written when it is back, in order. */
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

  /** Gives up what waits. */
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
      log.error({ err, sessionId }, 'a session could not be written')
    } else {
      if (this.#waiting.length === 0) {
        log.warn({ err, sessionId }, 'what a session has to say waits for the store')
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
      this.#options.log.error({ err, sessionId: this.#options.sessionId }, 'a session could not be written')
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
        this.#options.log.error({ err, sessionId: this.#options.sessionId }, 'a session could not be written')
      }
      if (this.#waiting[0] === first) this.#waiting.shift()
    }
  }
}
