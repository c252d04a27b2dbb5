import { passesIn, TemporarilyUnavailableError } from '../../errors.js'
import { outlivesHolder, type LeaseStore } from '../leases.js'
import { ExpiringMap, type ExpiringMapOptions } from './expiring-map.js'

const MAX_LEASES = 250_000

interface Held {
  holders: ExpiringMap<string>
  now: () => number
}

/** Leases of a single process. A full store gives no new ones: to forget one would give it to two holders. */
export class MemoryLeaseStore implements LeaseStore {
  readonly #working: Held
  /** What was done ends by the clock that says whether it could be done again. */
  readonly #lasting: Held
  readonly #max: number

  /** @param options.now default: for who works, a clock that is never set; for what was done, `Date.now` */
  constructor ({ maxEntries = MAX_LEASES, now }: ExpiringMapOptions = {}) {
    const hold = (now: () => number) => ({ holders: new ExpiringMap<string>({ maxEntries, now }), now })
    this.#working = hold(now ?? (() => performance.now()))
    this.#lasting = hold(now ?? Date.now)
    this.#max = maxEntries
  }

  async acquire (name: string, holder: string, ttlMs: number): Promise<boolean> {
    const { holders, now } = this.#find(name)
    const current = holders.get(name)
    if (current !== undefined && current !== holder) return false
    holders.dropExpired()
    if (current === undefined && this.#working.holders.size + this.#lasting.holders.size >= this.#max) {
      throw new TemporarilyUnavailableError(...passesIn(30, 'Too much is under way.'))
    }
    holders.set(name, holder, (now() + ttlMs) / 1000)
    return true
  }

  async isHeld (name: string): Promise<boolean> {
    return this.#find(name).holders.get(name) !== undefined
  }

  async release (name: string, holder: string): Promise<void> {
    const { holders } = this.#find(name)
    if (holders.get(name) === holder) holders.take(name)
  }

  /** Stops the housekeeping. */
  close (): void {
    for (const { holders } of [this.#working, this.#lasting]) holders.close()
  }

  #find (name: string): Held {
    return outlivesHolder(name) ? this.#lasting : this.#working
  }
}
