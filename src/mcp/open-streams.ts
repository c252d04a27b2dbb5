import { TooManyStreamsError } from '../errors.js'
import type { EventStream } from './event-stream.js'

/** All SSE responses that this process holds open: it keeps them alive and ends them together. */
export class OpenStreams {
  readonly #streams = new Set<EventStream>()
  readonly #max: number
  readonly #heartbeat: NodeJS.Timeout

  constructor (options: { maxStreams: number, heartbeatMs: number }) {
    this.#max = options.maxStreams
    // one timer for all: a stream of its own would cost more than the stream itself
    this.#heartbeat = setInterval(() => { for (const stream of this.#streams) stream.comment() }, options.heartbeatMs).unref()
  }

  get size (): number {
    return this.#streams.size
  }

  /** @throws {TooManyStreamsError} where there is no room for a stream that a client asks for */
  checkRoom (): void {
    if (this.#streams.size >= this.#max) {
      throw new TooManyStreamsError('This server holds as many streams as it can now.', { retryAfterSeconds: 5 })
    }
  }

  add (stream: EventStream): void {
    this.#streams.add(stream)
  }

  delete (stream: EventStream): void {
    this.#streams.delete(stream)
  }

  /** Ends the streams that were opened under a grant. */
  endOfGrant (grantId: string): void {
    for (const stream of this.#streams) {
      if (stream.holder.grantId === grantId) stream.end()
    }
  }

  /** Ends every stream, telling clients when to come back. */
  endAll (retryMs: number): void {
    for (const stream of this.#streams) stream.end(retryMs)
  }

  /** Stops the heartbeat. */
  close (): void {
    clearInterval(this.#heartbeat)
  }
}
