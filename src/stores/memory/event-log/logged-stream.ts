import { formatEventId, type EventReader, type NewEvent, type StreamEvent } from '../../event-log.js'

interface LoggedEvent extends StreamEvent {
  readonly position: number
  readonly isKept: boolean
  /** Milliseconds since the epoch. */
  readonly at: number
}

// a store in memory is never asked again; replicas of Redis are few
const MAX_NAMES = 16

/** Events that were read, and may be read again. */
class ReadEvents {
  readonly #events = new Map<number, LoggedEvent>()
  characters = 0

  get size (): number {
    return this.#events.size
  }

  [Symbol.iterator] (): IterableIterator<LoggedEvent> {
    return this.#events.values()
  }

  add (event: LoggedEvent): void {
    this.#events.set(event.position, event)
    this.characters += event.data.length
  }

  delete ({ position, data }: LoggedEvent): number {
    if (!this.#events.delete(position)) return 0
    this.characters -= data.length
    return data.length
  }

  /** @returns the number of its characters; undefined if there is none */
  dropOldest (): number | undefined {
    const [oldest] = this.#events.values()
    return oldest === undefined ? undefined : this.delete(oldest)
  }

  dropOld (oldest: number): number {
    let dropped = 0
    for (const event of this) {
      if (event.at > oldest) break
      dropped += this.delete(event)
    }
    return dropped
  }
}

/** The events of one stream: those that were read, and those that were not. */
export class LoggedStream {
  readonly streamId: string
  /** Requests that it has not answered. */
  readonly pending = new Set<string | number>()
  /** Milliseconds since the epoch. */
  completeAt: number | undefined
  /** Called if somebody begins to read it. */
  readonly watchers = new Set<() => void>()
  /** Position of the last event. */
  last = 0
  /** Position of the last event that was read. */
  #read = 0
  readonly #expendable = new ReadEvents()
  readonly #kept = new ReadEvents()
  #unread: LoggedEvent[] = []
  /** Index of the next unread event: to shift a long array would copy it each time. */
  #next = 0
  #unreadCharacters = 0
  #unreadKept = 0
  #reader: EventReader | undefined
  /** Names of the last appends. */
  readonly #names: string[] = []

  constructor (streamId: string) {
    this.streamId = streamId
  }

  get size (): number {
    return this.#expendable.size + this.#kept.size + this.#unread.length - this.#next
  }

  get characters (): number {
    return this.#expendable.characters + this.#kept.characters + this.#unreadCharacters
  }

  /** Characters of responses and of requests to the client. */
  get keptCharacters (): number {
    return this.#kept.characters + this.#unreadKept
  }

  /** Characters that the reader has not taken; undefined if nobody reads. */
  get unread (): number | undefined {
    return this.#reader === undefined ? undefined : this.#unreadCharacters
  }

  get lastRead (): number {
    return this.#read
  }

  get hasReader (): boolean {
    return this.#reader !== undefined
  }

  /** Whether no append with this name was made lately. */
  isNew (name: string): boolean {
    if (this.#names.includes(name)) return false
    this.#names.push(name)
    if (this.#names.length > MAX_NAMES) this.#names.shift()
    return true
  }

  /** @param isRead whether it was read already, past the log */
  add ({ data = '', isKept = false }: NewEvent, position: number, at: number, isRead: boolean): void {
    const event = { eventId: formatEventId(this.streamId, position), data, position, isKept, at }
    this.last = position
    if (isRead && this.#reader === undefined) {
      this.#wasRead(event)
      return
    }
    this.#unread.push(event)
    this.#count(event, 1)
  }

  /** Begins a reading after a position (default: of what nobody has read). The reader before reads no more. */
  read (reader: EventReader, after = this.#read): void {
    const events = [...this.#expendable, ...this.#kept, ...this.#unread.slice(this.#next)].sort((a, b) =>
      a.position - b.position
    )
    this.#setUnread([])
    for (const event of events) {
      this.#expendable.delete(event)
      this.#kept.delete(event)
      if (event.position <= after) this.#wasRead(event)
      else this.#unread.push(event)
    }
    for (const event of this.#unread) this.#count(event, 1)
    const before = this.#reader
    this.#reader = reader
    if (before !== reader) before?.onTaken?.()
    for (const onFollowed of this.watchers) onFollowed()
    this.pump()
  }

  /** Hands the reader what it takes. */
  pump (): void {
    for (;;) {
      const event = this.#unread[this.#next]
      const reader = this.#reader
      if (event === undefined || reader === undefined || reader.isFull === true) break
      this.#takeNext()
      this.#count(event, -1)
      this.#wasRead(event)
      reader.onEvent(event)
    }
    if (this.completeAt !== undefined && this.#next === this.#unread.length) this.#end()
  }

  stop (reader: EventReader): void {
    if (this.#reader === reader) this.#reader = undefined
  }

  /** Continues, if this is the one who reads. */
  resume (reader: EventReader): void {
    if (this.#reader === reader) this.pump()
  }

  /** Nothing more is read of it: a reader is told the end. */
  forget (): void {
    this.#setUnread([])
    this.#end()
  }

  /**
   * Drops the oldest event that may be dropped: not one that a reader has yet to take, nor one that is kept.
   * @returns the number of its characters; undefined if there is none
   */
  dropOldest (): number | undefined {
    const dropped = this.#expendable.dropOldest()
    if (dropped !== undefined || this.#reader !== undefined) return dropped
    const index = this.#unread.findIndex(({ isKept }, index) => index >= this.#next && !isKept)
    const [event] = index < 0 ? [] : this.#unread.splice(index, 1)
    if (event === undefined) return undefined
    this.#count(event, -1)
    return event.data.length
  }

  /** Drops the oldest of the kept events that were read. @returns the number of its characters */
  dropOldestKept (): number | undefined {
    return this.#kept.dropOldest()
  }

  /** Drops what is older than a time, but nothing that a reader has yet to take, or must. @returns characters */
  dropOld (oldest: number): number {
    let dropped = this.#expendable.dropOld(oldest) + this.#kept.dropOld(oldest)
    if (this.#reader !== undefined) return dropped
    const before = this.#unreadCharacters
    this.#setUnread(this.#unread.slice(this.#next).filter(({ at, isKept }) => isKept || at > oldest))
    for (const event of this.#unread) this.#count(event, 1)
    dropped += before - this.#unreadCharacters
    return dropped
  }

  #wasRead (event: LoggedEvent): void {
    this.#read = Math.max(this.#read, event.position)
    if (event.isKept) this.#kept.add(event)
    else this.#expendable.add(event)
  }

  #setUnread (events: LoggedEvent[]): void {
    this.#unread = events
    this.#next = 0
    this.#unreadCharacters = 0
    this.#unreadKept = 0
  }

  #count ({ data, isKept }: LoggedEvent, sign: 1 | -1): void {
    this.#unreadCharacters += sign * data.length
    if (isKept) this.#unreadKept += sign * data.length
  }

  #takeNext (): void {
    this.#next++
    if (this.#next < 1024 || this.#next * 2 < this.#unread.length) return
    this.#unread.splice(0, this.#next)
    this.#next = 0
  }

  #end (): void {
    const reader = this.#reader
    this.#reader = undefined
    reader?.onEnd()
  }
}
