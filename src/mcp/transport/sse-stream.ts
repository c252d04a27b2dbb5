import { Readable } from 'node:stream'
import type { EventReader, Following, StreamEvent } from '../../stores/event-log.js'
import { makeGate, type Gate } from './gate.js'

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

/** Holds what is yet to be sent. */
export interface Feeder {
  readonly characters: number
}

export interface SseStreamOptions {
  /** Bytes that may wait for the client before those who send have to. */
  maxBufferedBytes: number
  /** Bytes that may wait if those who send do not. */
  maxUnreadBytes: number
  /** Whether events carry their ids: a client that gets one may resume. */
  withIds: boolean
  /** Time after which a client should come back whose stream is read elsewhere. */
  retryMs: number
}

const HIGH_WATER_MARK = 16_384
// a client that has opened another standalone stream may still hold this one: ended at once, they would take turns
const SUPERSEDED_MS = 30_000

/**
 * The body of one SSE response. Its events come from the server directly, or from the event log, which it reads only as
 * fast as its client takes them.
 */
export class SseStream extends Readable implements EventReader {
  readonly holder: StreamHolder
  readonly #options: SseStreamOptions
  #onClosed: ((stream: SseStream) => void) | undefined
  #following: Following | undefined
  #begun = false
  #feeder: Feeder | undefined
  #room: Gate | undefined
  #superseded: NodeJS.Timeout | undefined

  /** @param onClosed called once when the stream is over, for whatever reason */
  constructor (holder: StreamHolder, onClosed: (stream: SseStream) => void, options: SseStreamOptions) {
    super({ highWaterMark: Math.min(HIGH_WATER_MARK, options.maxBufferedBytes) })
    this.holder = holder
    this.#onClosed = onClosed
    this.#options = options
  }

  /** Whether nothing more will be written. */
  get over (): boolean {
    return this.#onClosed === undefined
  }

  /** Whether those who send should wait. */
  get isFull (): boolean {
    return !this.over && this.readableLength > this.#options.maxBufferedBytes
  }

  /** Bytes that its client has not read. */
  get unreadBytes (): number {
    return this.readableLength + (this.#feeder?.characters ?? 0)
  }

  /** Whether so much waits that those who do not wait have sent too much. */
  get isOverfull (): boolean {
    return this.unreadBytes > this.#options.maxUnreadBytes
  }

  /** Resolves once its client has read enough, or it is over; undefined if there is room now. */
  get room (): Promise<void> | undefined {
    if (!this.isFull) return undefined
    this.#room ??= makeGate()
    return this.#room.promise
  }

  /** Sets what holds the messages that it has yet to get: they count, too. */
  isFedBy (feeder: Feeder): void {
    this.#feeder = feeder
  }

  /** Sets the reading of the log that feeds the stream; it ends with the stream. */
  reads (following: Following): void {
    if (this.over) following.stop()
    else this.#following = following
  }

  /** Sends a message. @param eventId if its client can resume after it */
  message (data: string, eventId?: string): void {
    this.#begun = true
    const id = eventId !== undefined && this.#options.withIds ? `id: ${eventId}\n` : ''
    this.write(`event: message\n${id}data: ${data}\n\n`)
  }

  onEvent ({ eventId, data }: StreamEvent): void {
    this.message(data, eventId)
  }

  onEnd (): void {
    this.end()
  }

  onTaken (): void {
    if (this.#superseded === undefined) this.giveWay(this.#options.retryMs)
  }

  /** Its client has opened another one here, which gets the messages. */
  supersede (): void {
    this.#superseded ??= setTimeout(() => { this.giveWay() }, SUPERSEDED_MS).unref()
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
    // a client that does not read needs none
    if (!this.isFull) this.write(':\n')
  }

  /** Ends the response. With `retryMs` the client is told when to come back (no event: older clients read its data). */
  end (retryMs?: number): void {
    if (this.over) return
    if (retryMs !== undefined) this.write(`retry: ${retryMs}\n`)
    this.push(null)
    this.#close()
  }

  write (text: string): void {
    if (!this.over) this.push(text)
  }

  /** Ends the response in favour of another; what a slow client has not read is dropped. */
  giveWay (retryMs?: number): void {
    if (this.readableLength > 0) this.destroy()
    else this.end(retryMs)
  }

  /** Called when the client has taken nearly everything. */
  override _read (): void {
    this.#giveRoom()
    // what is taken now still counts as waiting
    process.nextTick(() => { this.#following?.resume() })
  }

  override _destroy (error: Error | null, callback: (error?: Error | null) => void): void {
    this.#close()
    callback(error)
  }

  #giveRoom (): void {
    this.#room?.open()
    this.#room = undefined
  }

  #close (): void {
    const onClosed = this.#onClosed
    this.#onClosed = undefined
    clearTimeout(this.#superseded)
    this.#giveRoom()
    this.#following?.stop()
    this.#following = undefined
    onClosed?.(this)
  }
}
