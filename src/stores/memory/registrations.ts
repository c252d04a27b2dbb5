import { TemporarilyUnavailableError } from '../../errors.js'
import {
  REGISTRATION_BOUNDS,
  type AddedRegistration,
  type Registration,
  type RegistrationBounds,
  type RegistrationStore
} from '../registrations.js'
import { Budget } from './budget.js'

export interface MemoryRegistrationStoreOptions {
  /** Registrations kept at all, used ones included. Default: 100,000. */
  maxRegistrations?: number
  /** Of those that are not used. */
  bounds?: RegistrationBounds
  /** Milliseconds since the epoch. Default: Date.now. */
  now?: () => number
}

interface Unused<T> {
  record: T
  address: string
  bytes: number
}

/** Registrations of a single process. */
export class MemoryRegistrationStore<T extends Registration> implements RegistrationStore<T> {
  readonly #used = new Map<string, T>()
  /** Oldest first. */
  readonly #unused = new Map<string, Unused<T>>()
  /** The same by address. */
  readonly #addresses = new Map<string, Set<string>>()
  readonly #budget: Budget
  readonly #max: number
  readonly #now: () => number

  constructor (
    { maxRegistrations = 100_000, bounds = REGISTRATION_BOUNDS, now = Date.now }: MemoryRegistrationStoreOptions = {}
  ) {
    this.#max = maxRegistrations
    this.#budget = new Budget(bounds)
    this.#now = now
  }

  async add (record: T, address: string): Promise<AddedRegistration<T>> {
    const { clientId } = record
    const standing = this.#live(clientId)
    if (standing !== undefined) return { standing: structuredClone(standing), evicted: [] }
    this.#used.delete(clientId)
    this.#drop(clientId)
    const bytes = Buffer.byteLength(JSON.stringify(record))
    const evicted = this.#makeRoom(address, bytes)
    this.#unused.set(clientId, { record: structuredClone(record), address, bytes })
    this.#addresses.set(address, (this.#addresses.get(address) ?? new Set()).add(clientId))
    this.#budget.count(address, 1, bytes)
    return { standing: record, evicted }
  }

  async find (clientId: string): Promise<T | undefined> {
    return structuredClone(this.#live(clientId))
  }

  async replace (record: T): Promise<void> {
    const standing = this.#live(record.clientId)
    if (standing === undefined) return
    const { expiresAt, ...rest } = structuredClone(record)
    Object.assign(standing, rest)
  }

  async keep (clientId: string, expiresAt: number): Promise<void> {
    const record = this.#live(clientId)
    if (record === undefined) return
    this.#drop(clientId)
    record.expiresAt = Math.max(record.expiresAt, expiresAt)
    // the next to expire come first, near enough
    this.#used.delete(clientId)
    this.#used.set(clientId, record)
  }

  async takeExpired (limit: number): Promise<T[]> {
    const expired: T[] = []
    for (const { record } of this.#unused.values()) {
      if (expired.length < limit && this.#expired(record)) expired.push(record)
    }
    for (const record of this.#used.values()) if (expired.length < limit && this.#expired(record)) expired.push(record)
    for (const { clientId } of expired) {
      this.#drop(clientId)
      this.#used.delete(clientId)
    }
    return expired
  }

  #makeRoom (address: string, bytes: number): T[] {
    const evicted: T[] = []
    for (;;) {
      const exceeded = this.#budget.exceeded(address, bytes) ??
        (this.#used.size + this.#unused.size >= this.#max ? 'all' : undefined)
      if (exceeded === undefined) return evicted
      const [oldest] = exceeded === 'address' ? this.#addresses.get(address) ?? [] : this.#unused.keys()
      const dropped = oldest === undefined ? undefined : this.#drop(oldest)
      if (dropped === undefined) throw noRoom()
      evicted.push(dropped)
    }
  }

  #drop (clientId: string): T | undefined {
    const unused = this.#unused.get(clientId)
    if (unused === undefined) return undefined
    const { record, address, bytes } = unused
    this.#unused.delete(clientId)
    const own = this.#addresses.get(address)
    own?.delete(clientId)
    if (own?.size === 0) this.#addresses.delete(address)
    this.#budget.count(address, -1, -bytes)
    return record
  }

  #live (clientId: string): T | undefined {
    const record = this.#used.get(clientId) ?? this.#unused.get(clientId)?.record
    return record === undefined || this.#expired(record) ? undefined : record
  }

  #expired ({ expiresAt }: T): boolean {
    return expiresAt <= this.#now() / 1000
  }
}

/** Nobody who is logged in goes for a stranger. */
export function noRoom (): TemporarilyUnavailableError {
  return new TemporarilyUnavailableError('This server has no room for another client now.', { retryAfterSeconds: 3600 })
}
