import { personKey, type Owner } from '../../caller.js'
import { SessionsFullError } from '../../errors.js'
import {
  applyChange,
  MAX_SESSIONS,
  type SessionBounds,
  type SessionChange,
  type SessionRecord,
  type SessionStore
} from '../sessions.js'

export interface MemorySessionStoreOptions {
  /** Life of a session that nobody touches. */
  idleSeconds: number
  /** Sessions kept at all. Default: 100,000. */
  maxSessions?: number
  /** Milliseconds since the epoch. Default: Date.now. */
  now?: () => number
}

const SWEEP_MS = 60_000

/** Session records of a single process. */
export class MemorySessionStore implements SessionStore {
  // least recently seen first
  readonly #records = new Map<string, SessionRecord>()
  /** Ids of each person's sessions, the least recently seen first. */
  readonly #byPerson = new Map<string, Set<string>>()
  readonly #idleSeconds: number
  readonly #maxSessions: number
  readonly #now: () => number
  readonly #sweep: NodeJS.Timeout

  constructor ({ idleSeconds, maxSessions = MAX_SESSIONS, now = Date.now }: MemorySessionStoreOptions) {
    this.#idleSeconds = idleSeconds
    this.#maxSessions = maxSessions
    this.#now = now
    this.#sweep = setInterval(() => { this.#dropExpired() }, SWEEP_MS).unref()
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
    const ids = [...this.#byPerson.get(personKey(record.owner)) ?? []].filter(id => this.#live(id) !== undefined)
    const owned = ids.filter(id => this.#records.get(id)?.owner.clientId === record.owner.clientId)
    const ended = owned.slice(0, Math.max(0, owned.length - perOwner + 1))
    const others = ids.filter(id => !ended.includes(id))
    ended.push(...others.slice(0, Math.max(0, others.length - perPerson + 1)))
    if (ended.length === 0) ended.push(...this.#roomFor(ids.length))
    for (const id of ended) this.#drop(id)
    this.#records.set(record.id, copyRecord(record))
    this.#idsOf(record.owner).add(record.id)
    return ended
  }

  /**
   * What ends for one more session of somebody who has `count`. In a full store that is the least recently seen one of
   * the person with the most, if they have more than both would then have.
   */
  #roomFor (count: number): string[] {
    if (this.#records.size >= this.#maxSessions) this.#dropExpired()
    if (this.#records.size < this.#maxSessions) return []
    let most: ReadonlySet<string> = new Set()
    for (const ids of this.#byPerson.values()) if (ids.size > most.size) most = ids
    if (most.size > count + 1) return [...most].slice(0, 1)
    throw new SessionsFullError('This server has no room for another session now.', { retryAfterMs: 60_000 })
  }

  async get (id: string): Promise<SessionRecord | undefined> {
    const record = this.#live(id)
    return record && copyRecord(record)
  }

  async change (id: string, change: SessionChange): Promise<boolean> {
    const record = this.#live(id)
    if (record === undefined) return false
    applyChange(record, change)
    return true
  }

  async touch (id: string, seenAt: number): Promise<boolean> {
    const record = this.#live(id)
    if (record === undefined) return false
    record.lastSeenAt = Math.max(record.lastSeenAt, seenAt)
    this.#records.delete(id)
    this.#records.set(id, record)
    const ids = this.#idsOf(record.owner)
    ids.delete(id)
    ids.add(id)
    return true
  }

  async delete (id: string): Promise<boolean> {
    return this.#live(id) !== undefined && this.#drop(id)
  }

  /** The record if it has not expired; an expired one is dropped. */
  #live (id: string): SessionRecord | undefined {
    const record = this.#records.get(id)
    if (record === undefined || !this.#expired(record)) return record
    this.#drop(id)
    return undefined
  }

  #expired (record: SessionRecord): boolean {
    const now = this.#now() / 1000
    return now >= record.expiresAt || now >= record.lastSeenAt + this.#idleSeconds
  }

  #drop (id: string): boolean {
    const record = this.#records.get(id)
    if (record === undefined) return false
    this.#records.delete(id)
    const ids = this.#idsOf(record.owner)
    ids.delete(id)
    if (ids.size === 0) this.#byPerson.delete(personKey(record.owner))
    return true
  }

  #dropExpired (): void {
    for (const id of this.#records.keys()) this.#live(id)
  }

  #idsOf (owner: Owner): Set<string> {
    const key = personKey(owner)
    let ids = this.#byPerson.get(key)
    if (ids === undefined) this.#byPerson.set(key, ids = new Set())
    return ids
  }
}

// what is changed in place is copied; the rest is never written to
function copyRecord (record: SessionRecord): SessionRecord {
  return { ...record, subscriptions: [...record.subscriptions] }
}
