import { formatEventId, type EventReader } from '../event-log.js'

/**
 * What a reading finds: the position it began after, then id and data of each event. `more`: the next reading finds
 * others. `complete`: nothing will follow. `gone`: there is no such stream. `taken`: another reader has taken the
 * place.
 */
export type StoredEvents =
  | [state: 'open' | 'more' | 'complete', after: string, ...events: string[]]
  | [state: 'gone' | 'taken']

export interface StreamReadings {
  first (): Promise<StoredEvents>
  next (position: string): Promise<StoredEvents>
  /** Something could not be read; it is tried again soon. */
  failed (error: unknown): void
  /** The reading is over; `taken`: another reader has taken over. */
  stopped (taken: boolean): void
}

const RETRY_MS = 500
// without a store, thousands of readers try again; when it is back, all are woken
const MAX_RETRY_MS = 8000

/**
 * Reads a stream to one reader: from the beginning once, then whenever it is woken and the reader takes more. One
 * reading at a time, and in order.
 */
export class StreamReader {
  readonly streamId: string
  /** Identifies the reading in the stream. */
  readonly token: string
  readonly #reader: EventReader
  readonly #readings: StreamReadings
  /** Position of the last event that the reader got; absent until the first reading. */
  #position: string | undefined
  /** What was found, and the reader has not taken. */
  #found: string[] = []
  #isComplete = false
  #reading = false
  #stopped = false
  /** Something may be there to be read: up to a position, or anything. */
  #wanted: string | true | undefined
  #retry: NodeJS.Timeout | undefined
  #retryMs = RETRY_MS

  constructor (streamId: string, token: string, reader: EventReader, readings: StreamReadings) {
    this.streamId = streamId
    this.token = token
    this.#reader = reader
    this.#readings = readings
  }

  get position (): string {
    return this.#position ?? '0-0'
  }

  /** Reads all there is. @returns false if there is no such stream */
  async begin (): Promise<boolean> {
    let found: StoredEvents
    try {
      found = await this.#readings.first()
    } catch (error) {
      this.#end(false)
      throw error
    }
    if (found[0] === 'gone' || found[0] === 'taken') {
      this.#end(true)
      return false
    }
    this.#take(found)
    await this.#readOn()
    return true
  }

  /** Reads what is new. `position`: that of the event that is. */
  wake (position?: string): void {
    if (this.#stopped) return
    if (position === undefined) this.#wanted = true
    else if (this.#wanted !== true) this.#wanted = position
    this.resume()
  }

  /** News may have been missed. */
  missed (): void {
    this.wake()
  }

  /** Continues: the reader takes events again. */
  resume (): void {
    if (this.#position === undefined || this.#stopped) return
    this.#hand()
    if (!this.#reading) this.#readOn().catch(this.#readings.failed)
  }

  /** Ends the reading. */
  stop (): void {
    this.#end(false)
  }

  /** Somebody has begun to read the stream. The news may be old: whether it is another, the next reading says. */
  followed (token: string): void {
    if (token !== this.token) this.wake()
  }

  /** Never rejects. */
  async #readOn (): Promise<void> {
    this.#reading = true
    try {
      while (!this.#stopped && this.#found.length === 0 && this.#reader.isFull !== true && this.#isWanted()) {
        this.#wanted = undefined
        const found = await this.#readings.next(this.position)
        this.#retryMs = RETRY_MS
        if (!this.#stopped) this.#take(found)
      }
    } catch (error) {
      this.#readings.failed(error)
      // the store replied late, or not at all: what is there must not wait for the next event
      this.#wanted = true
      if (!this.#stopped) this.#tryAgain()
    } finally {
      this.#reading = false
    }
  }

  #tryAgain (): void {
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => { this.resume() }, this.#retryMs).unref()
    this.#retryMs = Math.min(2 * this.#retryMs, MAX_RETRY_MS)
  }

  #isWanted (): boolean {
    return this.#wanted === true || (this.#wanted !== undefined && isAfter(this.#wanted, this.position))
  }

  #take (found: StoredEvents): void {
    if (found[0] === 'taken') {
      this.#end(true)
      this.#reader.onTaken?.()
      return
    }
    if (found[0] === 'gone') {
      this.#isComplete = true
    } else {
      const [state, after, ...events] = found
      this.#position ??= after
      this.#found = events
      this.#isComplete = state === 'complete'
      if (state === 'more') this.#wanted = true
    }
    this.#hand()
  }

  /** Hands the reader as much of what was found as it takes. */
  #hand (): void {
    let index = 0
    while (!this.#stopped && this.#reader.isFull !== true) {
      const [position, data] = [this.#found[index], this.#found[index + 1]]
      if (position === undefined || data === undefined) break
      index += 2
      this.#position = position
      this.#reader.onEvent({ eventId: formatEventId(this.streamId, position.replace(/-0$/, '')), data })
    }
    this.#found = this.#found.slice(index)
    if (this.#stopped || !this.#isComplete || this.#found.length > 0) return
    this.#end(true)
    this.#reader.onEnd()
  }

  #end (taken: boolean): void {
    if (this.#stopped) return
    this.#stopped = true
    clearTimeout(this.#retry)
    this.#readings.stopped(taken)
  }
}

const POSITION = /^(\d{1,20})(?:-(\d{1,20}))?$/
const MAX = 2n ** 63n

/** Whether Redis can have given this out. */
export function isPosition (text: string): boolean {
  const match = POSITION.exec(text)
  return match !== null && match.slice(1).every(part => BigInt(part ?? 0) < MAX)
}

/** Whether one position of Redis comes after another. */
function isAfter (position: string, other: string): boolean {
  const [ms = 0, seq = 0] = position.split('-').map(Number)
  const [otherMs = 0, otherSeq = 0] = other.split('-').map(Number)
  return ms > otherMs || (ms === otherMs && seq > otherSeq)
}
