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
  /** Something could not be read; it is tried again when the reader is woken. */
  failed (error: unknown): void
  /** The reading is over; `taken`: another reader has taken over. */
  stopped (taken: boolean): void
}

/**
 * Reads a stream to one reader: from the beginning once, then whenever it is woken. One reading at a time, and in
 * order.
 */
export class StreamReader {
  readonly streamId: string
  readonly #reader: EventReader
  readonly #readings: StreamReadings
  /** Position of the last event that the reader got; absent until the first reading. */
  #position: string | undefined
  #reading = false
  #stopped = false
  /** Something may be there to be read: up to a position, or anything. */
  #wanted: string | true | undefined

  constructor (streamId: string, reader: EventReader, readings: StreamReadings) {
    this.streamId = streamId
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
    await this.#readOn().catch(this.#failed)
    return true
  }

  /** Reads what is new. `position`: that of the event that is. */
  wake (position?: string): void {
    if (this.#stopped) return
    if (position === undefined) this.#wanted = true
    else if (this.#wanted !== true) this.#wanted = position
    if (!this.#reading && this.#position !== undefined) this.#readOn().catch(this.#failed)
  }

  /** Ends the reading. */
  stop (): void {
    this.#end(false)
  }

  readonly #failed = (error: unknown): void => { this.#readings.failed(error) }

  async #readOn (): Promise<void> {
    this.#reading = true
    try {
      while (!this.#stopped && this.#isWanted()) {
        this.#wanted = undefined
        const found = await this.#readings.next(this.position)
        if (!this.#stopped) this.#take(found)
      }
    } finally {
      this.#reading = false
    }
  }

  #isWanted (): boolean {
    return this.#wanted === true || (this.#wanted !== undefined && isAfter(this.#wanted, this.position))
  }

  #take (found: StoredEvents): void {
    if (found[0] === 'taken') return this.#end(true)
    if (found[0] !== 'gone') {
      const [state, after, ...events] = found
      this.#position ??= after
      for (let index = 0; index + 1 < events.length && !this.#stopped; index += 2) {
        const [position, data] = [events[index], events[index + 1]]
        if (position === undefined || data === undefined) break
        this.#position = position
        this.#reader.onEvent({ eventId: formatEventId(this.streamId, position), data })
      }
      if (state === 'more') this.#wanted = true
      if (state !== 'complete') return
    }
    if (this.#stopped) return
    this.#end(true)
    this.#reader.onEnd()
  }

  #end (taken: boolean): void {
    if (this.#stopped) return
    this.#stopped = true
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
