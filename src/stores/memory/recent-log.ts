import type { RecentLog, RecentLogBounds } from '../attempts.js'

export interface MemoryRecentLogOptions extends RecentLogBounds {
  /** Milliseconds since the epoch. Default: Date.now. */
  now?: () => number
}

/** The last entries of a single process. */
export class MemoryRecentLog<T> implements RecentLog<T> {
  /** The oldest first. */
  #entries: Array<{ entry: T, expiresAtMs: number }> = []
  readonly #max: number
  readonly #maxAgeMs: number
  readonly #now: () => number

  constructor ({ maxEntries, maxAgeSeconds, now = Date.now }: MemoryRecentLogOptions) {
    this.#max = maxEntries
    this.#maxAgeMs = maxAgeSeconds * 1000
    this.#now = now
  }

  async append (entry: T): Promise<void> {
    this.#entries.push({ entry: structuredClone(entry), expiresAtMs: this.#now() + this.#maxAgeMs })
    // a few at once: each time one, all others would be moved
    if (this.#entries.length > this.#max * 1.1) this.#entries = this.#live()
  }

  async read (): Promise<T[]> {
    this.#entries = this.#live()
    return structuredClone(this.#entries.map(({ entry }) => entry))
  }

  #live () {
    return this.#entries.slice(-this.#max).filter(({ expiresAtMs }) => expiresAtMs > this.#now())
  }
}
