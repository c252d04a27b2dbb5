import { setTimeout as delay } from 'node:timers/promises'
import { TemporarilyUnavailableError } from '../../errors.js'
import type { Log } from '../../log.js'
import type { Appended, EventLog, NewEvent } from '../../stores/event-log.js'
import { makeGate, type Gate } from './gate.js'

/** What became of an event: the stream took no more, or there was no room for what must be kept. */
export type WriteOutcome = 'written' | 'over' | 'full' | 'failed'

export interface LogWriterOptions {
  eventLog: EventLog
  sessionId: string
  streamId: string
  log: Log
  /** Characters that may wait here, or for a reader of the log, before those who send have to wait. */
  maxWaiting: number
  /** Opens the stream; only for streams with one writer, whose events have positions. */
  open?: () => Promise<void>
  /** Makes the names of appends, where the log gives the positions. */
  newName?: () => string
  /** Whether the client has been sent what is written. */
  isSent?: () => boolean
  /** Time for which a store that is away is tried. Default: 300,000. */
  giveUpMs?: number
}

interface Waiting {
  event: NewEvent
  onOutcome: ((outcome: WriteOutcome) => void) | undefined
}

const RETRY_MS = 500
// the log keeps nothing for longer: who resumes after that finds nothing anyway
const GIVE_UP_MS = 300_000
const READER_POLL_MS = 50
const BATCH_EVENTS = 128
const BATCH_CHARACTERS = 1_048_576
// kept of notifications while the store is away
const MAX_UNSTORED = 256
const NOT_WRITTEN = 'messages of a session could not be written to the event log'

/**
 * Writes a stream of the log, in order, several events at a time. If the store is away, they wait until it is back. If
 * somebody on another replica reads the stream, it is written no faster than they read.
 */
export class EventLogWriter {
  readonly #options: LogWriterOptions
  readonly #waiting: Waiting[] = []
  #characters = 0
  /** How many of the events that wait are being written. */
  #underWay = 0
  #isOpen: boolean
  #isWriting = false
  #isAway = false
  /** Milliseconds, by `performance.now`, since which the store is away. */
  #awaySince: number | undefined
  /** What becomes of all further events. */
  #closedAs: WriteOutcome | undefined
  #room: Gate | undefined
  #opened: Gate | undefined

  #giveUpMs: number
  #isHurried = false

  constructor (options: LogWriterOptions) {
    this.#giveUpMs = options.giveUpMs ?? GIVE_UP_MS
    this.#options = options
    this.#isOpen = options.open === undefined
  }

  /** Resolves once there is room for more; undefined if there is now. */
  get room (): Promise<void> | undefined {
    if (this.#characters <= this.#options.maxWaiting || this.#isAway || this.#isClosed) return undefined
    this.#room ??= makeGate()
    return this.#room.promise
  }

  /** Characters that wait. */
  get characters (): number {
    return this.#characters
  }

  /** Resolves once the stream is in the log, or cannot be. */
  get opened (): Promise<void> {
    if (this.#isOpen || this.#isClosed) return Promise.resolve()
    this.#opened ??= makeGate()
    return this.#opened.promise
  }

  append (event: NewEvent, onOutcome?: (outcome: WriteOutcome) => void): void {
    if (this.#closedAs !== undefined) {
      onOutcome?.(this.#closedAs)
      return
    }
    this.#waiting.push({ event, onOutcome })
    this.#characters += event.data?.length ?? 0
    if (this.#isAway) this.#dropUnstored()
    this.begin()
  }

  /** Begins to write. Never rejects. */
  begin (): void {
    if (this.#isWriting || this.#isClosed) return
    this.#isWriting = true
    this.#write().catch((err: unknown) => { this.#options.log.error({ err }, NOT_WRITTEN) })
  }

  /**
   * The process may be about to end: what waits is written at once if the store answers, however far behind a reader
   * is, and dropped if it does not.
   */
  finish (): void {
    this.#giveUpMs = 0
    this.#isHurried = true
  }

  /** Drops the events that wait. @param outcome what becomes of them, and of all further ones */
  close (outcome: WriteOutcome = 'over'): void {
    if (this.#isClosed) return
    this.#closedAs = outcome
    this.#settle(this.#waiting.length, outcome)
    this.#opened?.open()
  }

  get #isClosed (): boolean {
    return this.#closedAs !== undefined
  }

  async #write (): Promise<void> {
    // what is sent in one turn is written together
    await Promise.resolve()
    while (!this.#isClosed && (!this.#isOpen || this.#waiting.length > 0)) {
      try {
        await this.#writeNext()
        this.#isAway = false
        this.#awaySince = undefined
      } catch (err) {
        await this.#failed(err)
      }
    }
    // at once after the last look: what is appended later begins again
    this.#isWriting = false
  }

  async #writeNext (): Promise<void> {
    const { eventLog, sessionId, streamId, open, newName, isSent } = this.#options
    if (!this.#isOpen) {
      await open?.()
      this.#isOpen = true
      this.#opened?.open()
      return
    }
    const count = this.#countBatch()
    const events = this.#waiting.slice(0, count).map(({ event }) => event)
    const name = newName?.()
    const append = () =>
      eventLog.append(sessionId, streamId, events, {
        ...name !== undefined && { name },
        isSent: isSent?.() ?? false
      })
    this.#underWay = count
    const appended = await this.#repeat(append)
    this.#underWay = 0
    this.#took(appended)
    if (appended.unread !== undefined && appended.unread > this.#options.maxWaiting) await this.#waitForReader()
  }

  /** While the store is away, an append may have happened without our knowing: it is repeated under the same name. */
  async #repeat (append: () => Promise<Appended>): Promise<Appended> {
    for (;;) {
      try {
        return await append()
      } catch (err) {
        if (!(err instanceof TemporarilyUnavailableError) || !this.#mayWait) throw err
        await this.#storeIsAway(err)
      }
    }
  }

  #took ({ taken, refusal }: Appended): void {
    this.#settle(taken, 'written')
    if (refusal === 'over') this.#settle(this.#waiting.length, 'over')
    // the next ones may have room
    else if (refusal === 'full') this.#settle(1, 'full')
    if (refusal === 'over' && this.#options.open !== undefined) this.close()
  }

  async #failed (err: unknown): Promise<void> {
    const { log, sessionId } = this.#options
    if (err instanceof TemporarilyUnavailableError && this.#mayWait) {
      await this.#storeIsAway(err)
      return
    }
    if (this.#isClosed) return
    log.error({ err, sessionId }, NOT_WRITTEN)
    this.#underWay = 0
    this.#awaySince = undefined
    // a stream with positions may have no gap
    const isStanding = this.#options.open === undefined
    if (this.#isOpen && (isStanding || !(err instanceof TemporarilyUnavailableError))) {
      this.#settle(this.#waiting.length, 'failed')
    } else {
      this.close('failed')
    }
  }

  /** Whether a store that is away is waited for, and not too long already. */
  get #mayWait (): boolean {
    if (this.#isClosed) return false
    return performance.now() - (this.#awaySince ?? performance.now()) < this.#giveUpMs
  }

  async #storeIsAway (err: unknown): Promise<void> {
    const { log, sessionId } = this.#options
    this.#awaySince ??= performance.now()
    if (!this.#isAway) log.warn({ err, sessionId }, 'messages of a session wait for the store')
    this.#isAway = true
    this.#giveRoom()
    await delay(RETRY_MS, undefined, { ref: false })
  }

  /** Somebody reads the log more slowly than it is written. */
  async #waitForReader (): Promise<void> {
    const { eventLog, sessionId, streamId, maxWaiting } = this.#options
    while (!this.#isHurried) {
      await delay(READER_POLL_MS, undefined, { ref: false })
      const unread = this.#isClosed || this.#isHurried ? undefined : await eventLog.unread(sessionId, streamId)
      if (unread === undefined || unread <= maxWaiting / 2) return
    }
  }

  #countBatch (): number {
    let characters = 0
    let count = 0
    for (const { event } of this.#waiting) {
      characters += event.data?.length ?? 0
      if (count === BATCH_EVENTS || (count > 0 && characters > BATCH_CHARACTERS)) break
      count++
    }
    return count
  }

  /** Takes the first events from the queue. */
  #settle (count: number, outcome: WriteOutcome): void {
    for (const { event, onOutcome } of this.#waiting.splice(0, count)) {
      this.#characters -= event.data?.length ?? 0
      onOutcome?.(outcome)
    }
    if (this.#characters <= this.#options.maxWaiting / 2 || this.#isClosed) this.#giveRoom()
  }

  /** Drops the oldest notifications: nobody knows when the store is back. */
  #dropUnstored (): void {
    if (this.#waiting.length <= MAX_UNSTORED) return
    const index = this.#waiting.findIndex(({ event }, index) =>
      index >= this.#underWay && event.isKept !== true && event.isFinal !== true
    )
    const [dropped] = index < 0 ? [] : this.#waiting.splice(index, 1)
    if (dropped === undefined) return
    this.#characters -= dropped.event.data?.length ?? 0
    dropped.onOutcome?.('failed')
  }

  #giveRoom (): void {
    this.#room?.open()
    this.#room = undefined
  }
}
