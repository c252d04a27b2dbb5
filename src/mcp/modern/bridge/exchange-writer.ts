import type { EventLogWriter } from '../../transport/event-log-writer.js'

// a reader that reads is never behind by as much as the event log keeps of a stream
const WINDOW_EVENTS = 128
const WINDOW_TEXT = 524_288

/** What an exchange needs of its writer to the event log. */
type Log = Pick<EventLogWriter, 'append'>

/**
 * Writes what becomes of a call for the replica that waits for it, at the pace at which that one reads: the event log
 * keeps only so much, and what waits here is bounded, too.
 */
export class ExchangeWriter {
  readonly #log: Log
  readonly #maxText: number
  readonly #onOverflow: () => void
  /** Lengths of the events that are written and not read. */
  readonly #unread: number[] = []
  #unreadText = 0
  #waiting: string[] = []
  #waitingText = 0
  #room: Promise<void> | undefined
  #release: () => void = () => {}
  #isFinal = false
  #isHurried = false

  /** @param onOverflow called for an event that comes while more than `maxText` characters wait */
  constructor (log: Log, maxText: number, onOverflow: () => void) {
    this.#log = log
    this.#maxText = maxText
    this.#onOverflow = onOverflow
  }

  /** Writes an event. @returns what resolves when the next one may come; undefined if it may now */
  write (text: string): Promise<void> | undefined {
    if (this.#isFinal) return undefined
    if (this.#waitingText > this.#maxText) {
      this.#onOverflow()
      return undefined
    }
    this.#waiting.push(text)
    this.#waitingText += text.length
    this.#writeWaiting()
    return this.#hasRoom()
  }

  /** Writes the last event. Resolves when it is written, or nobody wants it. */
  async end (text: string): Promise<void> {
    if (this.#isFinal) return
    this.#isFinal = true
    this.#waiting.push(text)
    this.#waitingText += text.length
    this.#writeWaiting()
    await this.#hasRoom()
  }

  /** Writes what waits now, however far behind the reader is: the last event is the one that matters. */
  hurry (): void {
    this.#isHurried = true
    this.#writeWaiting()
  }

  /** Drops what waits. @param last the last event; without it, nobody reads */
  close (last?: string): void {
    if (this.#isFinal && last !== undefined) return
    this.#isFinal = true
    this.#waiting = last === undefined ? [] : [last]
    this.#waitingText = last?.length ?? 0
    this.hurry()
  }

  #hasRoom (): Promise<void> | undefined {
    if (this.#waiting.length === 0) return undefined
    this.#room ??= new Promise(resolve => { this.#release = resolve })
    return this.#room
  }

  /** The reader has read so many more events. */
  read (count: number): void {
    for (const length of this.#unread.splice(0, count)) this.#unreadText -= length
    this.#writeWaiting()
  }

  #writeWaiting (): void {
    for (let text = this.#waiting[0]; text !== undefined; text = this.#waiting[0]) {
      const isFull = this.#unread.length >= WINDOW_EVENTS || this.#unreadText + text.length > WINDOW_TEXT
      if (isFull && this.#unread.length > 0 && !this.#isHurried) return
      // before it is written: in one process, it is read at once
      this.#waiting.shift()
      this.#waitingText -= text.length
      this.#unread.push(text.length)
      this.#unreadText += text.length
      const isFinal = this.#isFinal && this.#waiting.length === 0
      this.#log.append({ data: text, isKept: isFinal, isFinal })
    }
    this.#room = undefined
    this.#release()
  }
}
