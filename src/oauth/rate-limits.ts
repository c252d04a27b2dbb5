import { createHmac } from 'node:crypto'
import { passesIn, RateLimitedError, TemporarilyUnavailableError } from '../errors.js'
import { MemoryRateCounters } from '../stores/memory/rate-counters.js'
import { RATE_COUNTERS, type Counted, type RateCounters } from '../stores/rate-counters.js'

/** Requests of one endpoint in a minute: of an address that proves nothing, and of a person. */
export const DEFAULT_REQUESTS_PER_MINUTE = 300

/** What is counted, and for whom. `recognised`: an address whose requests contain something that we made. */
export type RateKey = readonly [
  what: string,
  kind: 'address' | 'recognised' | 'client' | 'person' | 'everybody',
  ...who: string[]
]

export interface RateLimitsOptions {
  /** 32 bytes, the same in every replica: without it, nobody can predict which keys share a counter. */
  secret: Uint8Array
  /** Counters that replicas share. Absent: only those of this process. */
  shared?: RateCounters
  now?: () => number
}

/**
 * Counts what callers do, by whatever key, in a fixed room: keys share counters by a hash that nobody outside can
 * compute.
 * This process's own counters are asked first, so that a flood of requests does not flood the store with commands.
 */
export class RateLimits {
  readonly #secret: Uint8Array
  readonly #own: MemoryRateCounters
  readonly #shared: RateCounters | undefined

  constructor ({ secret, shared, now = Date.now }: RateLimitsOptions) {
    this.#secret = secret
    this.#own = new MemoryRateCounters({ now })
    this.#shared = shared
  }

  /** Counts one more. @returns how many there were in this window, with this one */
  async add (key: RateKey, max: number): Promise<Counted> {
    const index = this.#indexOf(key)
    const own = this.#own.count(index, 1)
    if (this.#shared === undefined || own.count > max) return own
    try {
      return await this.#shared.add(index, 1)
    } catch (error) {
      // without the store each process counts for itself
      if (error instanceof TemporarilyUnavailableError) return own
      throw error
    }
  }

  /** Counts one more. @throws {RateLimitedError} if there were `max` in this window */
  async count (key: RateKey, max: number): Promise<void> {
    const { count, resetMs } = await this.add(key, max)
    if (count > max) throw rateLimited(resetMs)
  }

  /** `count`, in this process only, and synchronous. */
  countHere (key: RateKey, max: number): void {
    const { count, resetMs } = this.#own.count(this.#indexOf(key), 1)
    if (count > max) throw rateLimited(resetMs)
  }

  /** `takeBack`, in this process only. */
  takeBackHere (key: RateKey): void {
    this.#own.count(this.#indexOf(key), -1)
  }

  /** Takes one back: the request has proven that it does not count for this key. */
  async takeBack (key: RateKey): Promise<void> {
    const index = this.#indexOf(key)
    this.#own.count(index, -1)
    await this.#shared?.add(index, -1).catch((error: unknown) => {
      if (!(error instanceof TemporarilyUnavailableError)) throw error
    })
  }

  #indexOf (key: RateKey): number {
    return createHmac('sha256', this.#secret).update(JSON.stringify(key)).digest().readUInt32BE(0) % RATE_COUNTERS
  }
}

/** Too many requests in this window, which ends in `resetMs`. */
function rateLimited (resetMs: number): RateLimitedError {
  return new RateLimitedError(...passesIn(Math.max(1, Math.ceil(resetMs / 1000)), 'Too many requests.'))
}
