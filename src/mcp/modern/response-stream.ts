import { Readable } from 'node:stream'
import type { ReadableStream, ReadableStreamDefaultReader } from 'node:stream/web'
import { nextTurn } from '../event-loop-turn.js'

/** What may wait for the client of one response. */
export interface StreamBounds {
  /** Bytes above which a server that awaits its sends waits for its client. */
  maxBufferedBytes: number
  /** Bytes that wait at most; one message more ends the response. */
  maxUnreadBytesPerStream: number
}

/** Headers of an event stream, as the SDK's handler sends them. */
export const STREAM_HEADERS = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-cache, no-transform',
  connection: 'keep-alive',
  'x-accel-buffering': 'no'
} as const

/** Bytes that are passed on in one piece: many small messages cost as much as a large one. */
const PIECE_BYTES = 65_536
const HEARTBEAT = ': keepalive\n\n'

/** The body of a response that is an event stream. What its client has not read is known, and bounded. */
export class ResponseStream extends Readable {
  readonly #bounds: StreamBounds
  /** Text that was not passed on, with its bytes. */
  #waiting: Array<readonly [text: string, bytes: number]> = []
  /** Index of the next one: to shift a long array would copy it each time. */
  #next = 0
  #waitingBytes = 0
  /** Fulfills when there is room: one for all who wait. */
  #room: Promise<void> | undefined
  #release: () => void = () => {}
  #isWanted = false
  #isScheduled = false
  #isComplete = false
  #heartbeat: NodeJS.Timeout | undefined
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined

  constructor (bounds: StreamBounds) {
    // so that `_read` means that the client has everything
    super({ highWaterMark: 0 })
    this.#bounds = bounds
  }

  /** Bytes that wait for the client. */
  get unreadBytes (): number {
    return this.readableLength + this.#waitingBytes
  }

  /** Whether nothing more can be sent. */
  get isOver (): boolean {
    return this.#isComplete || this.destroyed
  }

  /** Whether so much waits that another message would be too much. */
  get isFull (): boolean {
    return this.unreadBytes > this.#bounds.maxUnreadBytesPerStream
  }

  /** Sends comments while nothing else waits, the first one now: with it, the response begins. */
  keepAlive (ms: number): void {
    const beat = () => { if (this.unreadBytes === 0) this.#write(HEARTBEAT) }
    this.#heartbeat = setInterval(beat, ms).unref()
    beat()
  }

  /**
   * Sends the text of a message.
   * @returns what resolves when the next one may be sent; undefined if it may now
   */
  send (message: string): Promise<void> | undefined {
    this.#write(toEvent(message))
    if (!this.isOver && this.unreadBytes > this.#bounds.maxBufferedBytes) {
      this.#room ??= new Promise(resolve => { this.#release = resolve })
      return this.#room
    }
    return nextTurn()
  }

  /** Ends with the text of a message; without one, as it is. */
  endWith (message?: string): void {
    if (this.isOver) return
    if (message !== undefined) this.#write(toEvent(message))
    this.#complete()
    this.#reader?.cancel().catch(() => {})
  }

  /** Passes on a web stream, as fast as it comes; the connection ends if too much waits. */
  pump (stream: ReadableStream<Uint8Array>): void {
    const reader = stream.getReader()
    this.#reader = reader
    this.#pump(reader).catch((error: unknown) => {
      this.destroy(error instanceof Error ? error : new Error(String(error)))
    })
  }

  async #pump (reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder()
    for (;;) {
      const { value, done } = await reader.read()
      if (this.isOver) return
      if (done) {
        this.#complete()
        return
      }
      if (this.isFull) {
        this.destroy()
        return
      }
      this.#write(decoder.decode(value, { stream: true }))
    }
  }

  #write (text: string): void {
    if (this.isOver) return
    const bytes = Buffer.byteLength(text)
    this.#waiting.push([text, bytes])
    this.#waitingBytes += bytes
    this.#schedule()
  }

  #complete (): void {
    this.#isComplete = true
    clearInterval(this.#heartbeat)
    this.#schedule()
  }

  /** Passes on what is sent in one go in one go. */
  #schedule (): void {
    if (this.#isScheduled || !this.#isWanted) return
    this.#isScheduled = true
    process.nextTick(() => {
      this.#isScheduled = false
      this.#passOn()
    })
  }

  #passOn (): void {
    if (!this.#isWanted || this.destroyed) return
    let bytes = 0
    let piece = ''
    for (let entry = this.#waiting[this.#next]; entry !== undefined; entry = this.#waiting[++this.#next]) {
      const [text, length] = entry
      if (bytes > 0 && bytes + length > PIECE_BYTES) break
      bytes += length
      piece += text
    }
    if (bytes > 0) {
      this.#isWanted = false
      this.#waitingBytes -= bytes
      this.#dropPassedOn()
      this.push(piece)
    }
    if (this.#isComplete && this.#waiting.length === 0) this.push(null)
    if (this.unreadBytes <= this.#bounds.maxBufferedBytes / 2) this.#makeRoom()
  }

  #dropPassedOn (): void {
    if (this.#next < this.#waiting.length && (this.#next < 1024 || this.#next * 2 < this.#waiting.length)) return
    this.#waiting.splice(0, this.#next)
    this.#next = 0
  }

  #makeRoom (): void {
    this.#room = undefined
    this.#release()
  }

  override _read (): void {
    this.#isWanted = true
    this.#passOn()
  }

  override _destroy (error: Error | null, callback: (error?: Error | null) => void): void {
    clearInterval(this.#heartbeat)
    this.#waiting = []
    this.#next = 0
    this.#waitingBytes = 0
    this.#makeRoom()
    this.#reader?.cancel().catch(() => {})
    callback(error)
  }
}

function toEvent (message: string): string {
  return `event: message\ndata: ${message}\n\n`
}
