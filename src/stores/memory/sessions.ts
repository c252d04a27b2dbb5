import { anonymousShare, isAnonymousKey, limitKey, ownerKey, personKey, type Owner } from '../../caller.js'
import { Groups } from '../../collections/groups.js'
import { PriorityQueue } from '../../collections/priority-queue.js'
import type { Bus } from '../bus.js'
import {
  applyChange,
  MAX_SESSIONS,
  sessionsFull,
  type SessionBounds,
  type SessionChange,
  type SessionRecord,
  type SessionStore
} from '../sessions.js'

export interface MemorySessionStoreOptions {
  /** Life of a session that nobody touches. */
  idleSeconds: number
  /** Learns that a session has ended or changed. */
  bus?: Bus
  /** Sessions kept at all. Default: 100,000. */
  maxSessions?: number
  /** Milliseconds since the epoch. Default: Date.now. */
  now?: () => number
}

const SWEEP_MS = 1000
// dropped in one turn: some milliseconds
const MAX_SWEPT = 2000

/** Session records of a single process. Every step takes logarithmic time, however many there are. */
export class MemorySessionStore implements SessionStore {
  readonly #records = new Map<string, SessionRecord>()
  /** Ids of each person's sessions, the least recently seen first. */
  readonly #persons = new Groups<string, string>()
  /** The same of each address, of callers who have not logged in. */
  readonly #addresses = new Groups<string, string>()
  /** The same of each owner. */
  readonly #owners = new Groups<string, string>()
  /** The next to expire first. */
  readonly #ends = new PriorityQueue<string>()
  /** Sessions of callers who have not logged in. */
  #anonymous = 0
  readonly #bus: Bus | undefined
  readonly #idleSeconds: number
  readonly #maxSessions: number
  readonly #now: () => number
  readonly #sweep: NodeJS.Timeout

  constructor ({ bus, idleSeconds, maxSessions = MAX_SESSIONS, now = Date.now }: MemorySessionStoreOptions) {
    this.#bus = bus
    this.#idleSeconds = idleSeconds
    this.#maxSessions = maxSessions
    this.#now = now
    this.#sweep = setInterval(() => { this.#dropExpired(MAX_SWEPT) }, SWEEP_MS).unref()
  }

  /** Number of records kept. */
  get size (): number {
    return this.#records.size
  }

  /** Stops the housekeeping. */
  close (): void {
    clearInterval(this.#sweep)
  }

  async create (record: SessionRecord, { perOwner, perPerson }: SessionBounds): Promise<string[]> {
    this.#dropExpired(MAX_SWEPT)
    const [person, owner] = [toPerson(record), ownerKey(record.owner)]
    const ended = [
      ...this.#dropBeyond(this.#owners, owner, perOwner - 1),
      ...this.#dropBeyond(this.#groupsOf(person), person, perPerson - 1)
    ]
    if (ended.length === 0) ended.push(...this.#makeRoom(person))
    if (isAnonymousKey(person) && !this.#records.has(record.id)) this.#anonymous++
    this.#records.set(record.id, copyRecord(record))
    this.#seen(record)
    await Promise.all(ended.map(id => this.#announceEnd(id)))
    return ended
  }

  /** Drops the least recently seen sessions of a group until so many are left. @returns their ids */
  #dropBeyond (groups: Groups<string, string>, key: string, most: number): string[] {
    const dropped: string[] = []
    while (groups.count(key) > Math.max(0, most)) {
      const first = groups.get(key)?.first
      if (first === undefined || !this.#drop(first)) break
      dropped.push(first)
    }
    return dropped
  }

  /**
   * Makes room for one more session of a person or an address. In a full store the least recently seen one of those
   * with the most ends, if they have more than both would then have. Nobody makes room for who has not logged in, but
   * others like them.
   * @returns the ids of what has ended
   */
  #makeRoom (person: string): string[] {
    const isAnonymous = isAnonymousKey(person)
    const isFull = this.#records.size >= this.#maxSessions ||
      (isAnonymous && this.#anonymous >= anonymousShare(this.#maxSessions))
    if (!isFull) return []
    const count = this.#groupsOf(person).count(person)
    const candidates = isAnonymous ? [this.#addresses] : [this.#persons, this.#addresses]
    const [most] = candidates.flatMap(groups => {
      const { largest } = groups
      return largest === undefined ? [] : { groups, largest, size: groups.count(largest) }
    }).sort((a, b) => b.size - a.size)
    if (most !== undefined && most.size > count + 1) return this.#dropBeyond(most.groups, most.largest, most.size - 1)
    throw sessionsFull(isAnonymous)
  }

  #groupsOf (person: string): Groups<string, string> {
    return isAnonymousKey(person) ? this.#addresses : this.#persons
  }

  async get (id: string): Promise<SessionRecord | undefined> {
    const record = this.#live(id)
    return record && copyRecord(record)
  }

  async change (id: string, change: SessionChange, origin: string): Promise<number | undefined> {
    const record = this.#live(id)
    if (record === undefined) return undefined
    applyChange(record, change)
    const version = (record.version ?? 0) + 1
    record.version = version
    await this.#bus?.publish('sessionChanged', { sessionId: id, origin, version })
    return version
  }

  async touch (id: string, seenAt: number): Promise<boolean> {
    const record = this.#live(id)
    if (record === undefined) return false
    record.lastSeenAt = Math.max(record.lastSeenAt, seenAt)
    this.#seen(record)
    return true
  }

  async delete (id: string): Promise<boolean> {
    if (this.#live(id) === undefined || !this.#drop(id)) return false
    await this.#announceEnd(id)
    return true
  }

  async #announceEnd (sessionId: string): Promise<void> {
    await this.#bus?.publish('sessionEnded', { sessionId })
  }

  /** The record if it has not expired; an expired one is dropped. */
  #live (id: string): SessionRecord | undefined {
    const record = this.#records.get(id)
    if (record === undefined || this.#now() / 1000 < this.#endsAt(record)) return record
    this.#drop(id)
    return undefined
  }

  #seen (record: SessionRecord): void {
    this.#ends.set(record.id, this.#endsAt(record))
    const person = toPerson(record)
    this.#groupsOf(person).add(person, record.id)
    this.#owners.add(ownerKey(record.owner), record.id)
  }

  /** Epoch seconds. */
  #endsAt ({ expiresAt, lastSeenAt }: SessionRecord): number {
    return Math.min(expiresAt, lastSeenAt + this.#idleSeconds)
  }

  #drop (id: string): boolean {
    const record = this.#records.get(id)
    if (record === undefined) return false
    const person = toPerson(record)
    this.#records.delete(id)
    this.#ends.delete(id)
    if (isAnonymousKey(person)) this.#anonymous--
    this.#groupsOf(person).delete(person, id)
    this.#owners.delete(ownerKey(record.owner), id)
    return true
  }

  /** Drops what has expired, so many records at most. */
  #dropExpired (most: number): void {
    const now = this.#now() / 1000
    for (let dropped = 0; dropped < most; dropped++) {
      const id = this.#ends.takeUpTo(now)
      if (id === undefined) return
      this.#drop(id)
    }
  }
}

/** Whose sessions are counted with this one. */
function toPerson ({ owner }: { owner: Owner }): string {
  return limitKey(personKey(owner))
}

// what is changed in place is copied; the rest is never written to
function copyRecord (record: SessionRecord): SessionRecord {
  return { ...record, subscriptions: [...record.subscriptions] }
}
