import { RATE_COUNTERS, RATE_WINDOW_MS, type Counted, type RateCounters } from '../rate-counters.js'

export interface MemoryRateCountersOptions {
  /** Milliseconds since the epoch. Default: Date.now. */
  now?: () => number
}

/** The counters of one process: half a megabyte, from the first that is counted. */
export class MemoryRateCounters implements RateCounters {
  readonly #now: () => number
  #counters: Uint32Array | undefined
  #endsAt = 0

  constructor ({ now = Date.now }: MemoryRateCountersOptions = {}) {
    this.#now = now
  }

  async add (index: number, amount: 1 | -1): Promise<Counted> {
    return this.count(index, amount)
  }

  /** `add`, at once. */
  count (index: number, amount: 1 | -1): Counted {
    const now = this.#now()
    const counters = this.#counters ??= new Uint32Array(RATE_COUNTERS)
    if (now >= this.#endsAt || now < this.#endsAt - RATE_WINDOW_MS) {
      counters.fill(0)
      this.#endsAt = now + RATE_WINDOW_MS
    }
    const count = Math.max(0, (counters[index] ?? 0) + amount)
    counters[index] = count
    return { count, resetMs: this.#endsAt - now }
  }
}
