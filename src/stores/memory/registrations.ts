import { TemporarilyUnavailableError } from '../../errors.js'
import type { Registration, RegistrationStore } from '../registrations.js'

export interface MemoryRegistrationStoreOptions {
  /** Registrations kept at all; beyond, the oldest that led to nothing goes first. Default: 100,000. */
  maxRegistrations?: number
  /** Milliseconds since the epoch. Default: Date.now. */
  now?: () => number
}

/** Registrations of a single process. */
export class MemoryRegistrationStore<T extends Registration> implements RegistrationStore<T> {
  readonly #kept = new Map<string, T>()
  /** Oldest first. */
  readonly #unused = new Map<string, T>()
  readonly #max: number
  readonly #now: () => number

  constructor ({ maxRegistrations = 100_000, now = Date.now }: MemoryRegistrationStoreOptions = {}) {
    this.#max = maxRegistrations
    this.#now = now
  }

  async add (record: T): Promise<T> {
    const standing = this.#live(record.clientId)
    if (standing !== undefined) return structuredClone(standing)
    this.#unused.delete(record.clientId)
    if (this.#kept.size + this.#unused.size >= this.#max) {
      const [oldest] = this.#unused.keys()
      if (oldest === undefined) throw new TemporarilyUnavailableError('This server has no room for another client now.', { retryAfterSeconds: 3600 })
      this.#unused.delete(oldest)
    }
    const clients = record.expiresAt === undefined ? this.#kept : this.#unused
    clients.set(record.clientId, structuredClone(record))
    return record
  }

  async find (clientId: string): Promise<T | undefined> {
    return structuredClone(this.#live(clientId))
  }

  async replace (record: T): Promise<void> {
    const registrations = this.#kept.has(record.clientId) ? this.#kept : this.#unused
    const standing = registrations.get(record.clientId)
    if (standing === undefined || this.#expired(standing)) return
    const { expiresAt, ...rest } = structuredClone(record)
    registrations.set(record.clientId, Object.assign(standing, rest))
  }

  async keep (clientId: string): Promise<void> {
    const record = this.#unused.get(clientId)
    if (record === undefined || this.#expired(record)) return
    this.#unused.delete(clientId)
    delete record.expiresAt
    this.#kept.set(clientId, record)
  }

  async takeExpired (limit: number): Promise<T[]> {
    const expired: T[] = []
    for (const record of this.#unused.values()) {
      if (expired.length >= limit) break
      if (this.#expired(record)) expired.push(record)
    }
    for (const { clientId } of expired) this.#unused.delete(clientId)
    return expired
  }

  #live (clientId: string): T | undefined {
    const record = this.#kept.get(clientId) ?? this.#unused.get(clientId)
    return record === undefined || this.#expired(record) ? undefined : record
  }

  #expired ({ expiresAt }: T): boolean {
    return expiresAt !== undefined && expiresAt <= this.#now() / 1000
  }
}
