import { SessionsFullError } from '../../errors.js'
import { applyChange, type SessionChange, type SessionOwner, type SessionRecord, type SessionStore } from '../sessions.js'

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
  readonly #byOwner = new Map<string, Set<string>>()
  readonly #idleSeconds: number
  readonly #maxSessions: number
  readonly #now: () => number
  readonly #sweep: NodeJS.Timeout

  constructor ({ idleSeconds, maxSessions = 100_000, now = Date.now }: MemorySessionStoreOptions) {
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

  async create (record: SessionRecord, maxPerOwner: number): Promise<string[]> {
    const ids = this.#byOwner.get(ownerKey(record.owner)) ?? new Set()
    for (const id of ids) this.#live(id)
    if (this.#records.size >= this.#maxSessions && ids.size < maxPerOwner) this.#dropExpired()
    if (this.#records.size >= this.#maxSessions && ids.size < maxPerOwner) {
      throw new SessionsFullError('This server has no room for another session now.', { retryAfterMs: 60_000 })
    }
    // the owner's ids stand in the order they were last seen
    const ended = [...ids].slice(0, Math.max(0, ids.size - maxPerOwner + 1))
    for (const id of ended) this.#drop(id)
    this.#records.set(record.id, copyOf(record))
    this.#idsOf(record.owner).add(record.id)
    return ended
  }

  async get (id: string): Promise<SessionRecord | undefined> {
    const record = this.#live(id)
    return record && copyOf(record)
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
    if (ids.size === 0) this.#byOwner.delete(ownerKey(record.owner))
    return true
  }

  #dropExpired (): void {
    for (const id of this.#records.keys()) this.#live(id)
  }

  #idsOf (owner: SessionOwner): Set<string> {
    const key = ownerKey(owner)
    let ids = this.#byOwner.get(key)
    if (ids === undefined) this.#byOwner.set(key, ids = new Set())
    return ids
  }
}

function ownerKey (owner: SessionOwner): string {
  return JSON.stringify([owner.issuer, owner.subject, owner.clientId])
}

// what is changed in place is copied; the rest is never written to
function copyOf (record: SessionRecord): SessionRecord {
  return { ...record, subscriptions: [...record.subscriptions] }
}
