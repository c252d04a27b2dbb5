import { Groups } from '../../collections/groups.js'
import { PriorityQueue } from '../../collections/priority-queue.js'
import { RecencyMap } from '../../collections/recency-map.js'
import { OperatorNeededError } from '../../errors.js'
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

/** Registrations of a single process. Every step takes logarithmic time, however many there are. */
export class MemoryRegistrationStore<T extends Registration> implements RegistrationStore<T> {
  readonly #used = new Map<string, T>()
  /** Oldest first. */
  readonly #unused = new RecencyMap<string, Unused<T>>()
  /** Ids of the same by address. */
  readonly #addresses = new Groups<string, string>()
  /** Ids of all, the next to expire first. */
  readonly #ends = new PriorityQueue<string>()
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
    this.#remove(clientId)
    const bytes = Buffer.byteLength(JSON.stringify(record))
    const evicted = this.#makeRoom(address, bytes)
    this.#unused.set(clientId, { record: structuredClone(record), address, bytes })
    this.#addresses.add(address, clientId)
    this.#ends.set(clientId, record.expiresAt)
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
    this.#used.set(clientId, record)
    this.#ends.set(clientId, record.expiresAt)
  }

  async takeExpired (limit: number): Promise<T[]> {
    const expired: T[] = []
    const now = this.#now() / 1000
    while (expired.length < limit) {
      const clientId = this.#ends.takeUpTo(now)
      const record = clientId === undefined ? undefined : this.#remove(clientId)
      if (record === undefined) break
      expired.push(record)
    }
    return expired
  }

  #makeRoom (address: string, bytes: number): T[] {
    const evicted: T[] = []
    for (;;) {
      const exceeded = this.#budget.exceeded(address, bytes) ??
        (this.#used.size + this.#unused.size >= this.#max ? 'all' : undefined)
      if (exceeded === undefined) return evicted
      const oldest = exceeded === 'address' ? this.#addresses.get(address)?.first : this.#unused.first?.[0]
      const dropped = oldest === undefined ? undefined : this.#remove(oldest)
      if (dropped === undefined) throw noRoom()
      evicted.push(dropped)
    }
  }

  /** Removes a registration, used or not. */
  #remove (clientId: string): T | undefined {
    this.#ends.delete(clientId)
    const used = this.#used.get(clientId)
    this.#used.delete(clientId)
    return this.#drop(clientId) ?? used
  }

  /** Removes a registration from those that are not used. */
  #drop (clientId: string): T | undefined {
    const unused = this.#unused.get(clientId)
    if (unused === undefined) return undefined
    const { record, address, bytes } = unused
    this.#unused.delete(clientId)
    this.#addresses.delete(address, clientId)
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
export function noRoom (): OperatorNeededError {
  return new OperatorNeededError('This server has no room for another client.', {
    detail: 'as many registered clients as may be kept have been used: see maxRegistrations'
  })
}
