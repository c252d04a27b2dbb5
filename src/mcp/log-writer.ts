import { TemporarilyUnavailableError } from '../errors.js'
import type { EventLog } from '../stores/event-log.js'
import type { Log } from './create-server.js'

export interface LogWriterOptions {
  eventLog: EventLog
  sessionId: string
  streamId: string
  log: Log
  /** Told of each event that could not be written at once. */
  onFailed?: (data: string, final: boolean) => void
}

const RETRY_MS = 500
// those before are given up: what matters most, the answer, comes last
const MAX_WAITING = 256

/** Writes a stream of the log. What cannot be written because the store is away is written when it is back, in order. */
export class LogWriter {
  readonly #options: LogWriterOptions
  readonly #waiting: Array<[data: string, final: boolean]> = []
  #retry: NodeJS.Timeout | undefined
  /** Number of events that were written. */
  written = 0

  constructor (options: LogWriterOptions) {
    this.#options = options
  }

  append (data: string, final = false): void {
    if (this.#waiting.length > 0) this.#wait(data, final)
    else this.#write(data, final).catch((error: unknown) => { this.#failed(error, data, final) })
  }

  /** Gives up what waits. */
  close (): void {
    clearTimeout(this.#retry)
    this.#waiting.length = 0
  }

  async #write (data: string, final: boolean): Promise<void> {
    const { eventLog, sessionId, streamId } = this.#options
    await eventLog.append(sessionId, streamId, data, final)
    this.written++
  }

  #failed (err: unknown, data: string, final: boolean): void {
    const { log, sessionId, onFailed } = this.#options
    if (!(err instanceof TemporarilyUnavailableError)) {
      log.error({ err, sessionId }, 'a session could not be written')
    } else {
      if (this.#waiting.length === 0) {
        log.warn({ err, sessionId }, 'what a session has to say waits for the store')
        this.#retryLater()
      }
      this.#wait(data, final)
    }
    onFailed?.(data, final)
  }

  #wait (data: string, final: boolean): void {
    this.#waiting.push([data, final])
    if (this.#waiting.length > MAX_WAITING) this.#waiting.shift()
  }

  #retryLater (): void {
    this.#retry = setTimeout(() => { void this.#writeWaiting() }, RETRY_MS).unref()
  }

  async #writeWaiting (): Promise<void> {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      try {
        await this.#write(...first)
      } catch {
        return this.#retryLater()
      }
      if (this.#waiting[0] === first) this.#waiting.shift()
    }
  }
}
