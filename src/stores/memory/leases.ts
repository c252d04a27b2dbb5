import { passesIn, TemporarilyUnavailableError } from '../../errors.js'
import type { LeaseStore } from '../leases.js'
import { ExpiringMap, type ExpiringMapOptions } from './expiring-map.js'

const MAX_LEASES = 250_000

/** Leases of a single process. A full store gives no new ones: to forget one would give it to two holders. */
export class MemoryLeaseStore implements LeaseStore {
  readonly #holders: ExpiringMap<string>
  readonly #max: number
  readonly #now: () => number

  constructor ({ maxEntries = MAX_LEASES, now = Date.now }: ExpiringMapOptions = {}) {
    this.#holders = new ExpiringMap({ maxEntries, now })
    this.#max = maxEntries
    this.#now = now
  }

  async acquire (name: string, holder: string, ttlMs: number): Promise<boolean> {
    const current = this.#holders.get(name)
    if (current !== undefined && current !== holder) return false
    this.#holders.dropExpired()
    if (current === undefined && this.#holders.size >= this.#max) {
      throw new TemporarilyUnavailableError(...passesIn(30, 'Too much is under way.'))
    }
    this.#holders.set(name, holder, (this.#now() + ttlMs) / 1000)
    return true
  }

  async isHeld (name: string): Promise<boolean> {
    return this.#holders.get(name) !== undefined
  }

  async release (name: string, holder: string): Promise<void> {
    if (this.#holders.get(name) === holder) this.#holders.take(name)
  }

  /** Stops the housekeeping. */
  close (): void {
    this.#holders.close()
  }
}
