import { Readable } from 'node:stream'
import type { EventReader, Following, StreamEvent } from '../../stores/event-log.js'

/** Headers of every SSE response: no cache, no transformation, no buffering in proxies. */
export const EVENT_STREAM_HEADERS = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no'
} as const

/** What a response was opened for. */
export interface StreamHolder {
  streamId: string
  /** Grant of the request that opened it. */
  grantId: string | undefined
}

/**
 * The body of one SSE response: a reader of the event log that writes what it reads in the SSE format.
 * A client too slow to take it is cut off, and resumes from the log.
 */
export class SseStream extends Readable implements EventReader {
  readonly holder: StreamHolder
  readonly #maxBufferedBytes: number
  /** Bytes that may wait for the client: any number while the log replays, which has its own limit. */
  #mayWait = Infinity
  readonly #withIds: boolean
  #onClosed: ((stream: SseStream) => void) | undefined
  #following: Following | undefined
  #begun = false
  #detached = false
  /** Number of events read from the log. */
  received = 0

  /**
   * @param onClosed called once when the stream is over, for whatever reason
   * @param options.withIds whether events carry their ids (a client that gets one may resume)
   */
  constructor (
    holder: StreamHolder,
    onClosed: (stream: SseStream) => void,
    options: { maxBufferedBytes: number, withIds: boolean }
  ) {
    super()
    this.holder = holder
    this.#onClosed = onClosed
    this.#maxBufferedBytes = options.maxBufferedBytes
    this.#withIds = options.withIds
  }

  /** Whether nothing more will be written. */
  get over (): boolean {
    return this.#onClosed === undefined
  }

  /** Sets the reading of the log that feeds the stream; it ends with the stream. */
  reads (following: Following): void {
    if (this.over || this.#detached) {
      following.stop()
    } else {
      this.#following = following
      this.#mayWait = this.readableLength + this.#maxBufferedBytes
    }
  }

  /** Ends the reading of the log: from now on the response carries what `message` is given. */
  detach (): void {
    this.#detached = true
    this.#following?.stop()
    this.#following = undefined
    this.#mayWait = this.readableLength + this.#maxBufferedBytes
  }

  /** Sends a message that is not in the log: the client cannot resume after it. */
  message (data: string): void {
    this.write(`event: message\ndata: ${data}\n\n`)
  }

  onEvent ({ eventId, data }: StreamEvent): void {
    if (this.#detached) return
    this.#begun = true
    this.received++
    this.write(`event: message\n${this.#withIds ? `id: ${eventId}\n` : ''}data: ${data}\n\n`)
  }

  onEnd (): void {
    if (!this.#detached) this.end()
  }

  /** Sends an event without a message: from where and when to resume. Not needed after other events. */
  prime (eventId: string, retryMs: number): void {
    if (!this.#begun) this.write(`id: ${eventId}\nretry: ${retryMs}\ndata: \n\n`)
  }

  /** Sends a named event that is not in the log. */
  named (event: string, data: string): void {
    this.write(`event: ${event}\ndata: ${data}\n\n`)
  }

  /** Sends a comment: the response begins, or stays alive. Some parsers take a blank line after it for an event. */
  comment (): void {
    this.write(':\n')
  }

  /** Ends the response. With `retryMs` the client is told when to come back (no event: older clients read its data). */
  end (retryMs?: number): void {
    if (this.over) return
    if (retryMs !== undefined) this.write(`retry: ${retryMs}\n`)
    this.push(null)
    this.#close()
  }

  write (text: string): void {
    if (this.over) return
    if (this.readableLength > this.#mayWait) this.destroy()
    else this.push(text)
  }

  /** Ends the response in favour of another; what a slow client has not read is dropped. */
  giveWay (retryMs?: number): void {
    if (this.readableLength > 0) this.destroy()
    else this.end(retryMs)
  }

  override _read (): void {}

  override _destroy (error: Error | null, callback: (error?: Error | null) => void): void {
    this.#close()
    callback(error)
  }

  #close (): void {
    const onClosed = this.#onClosed
    this.#onClosed = undefined
    this.#following?.stop()
    this.#following = undefined
    onClosed?.(this)
  }
}
