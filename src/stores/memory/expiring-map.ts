import { BoundedMap } from '../../collections/bounded-map.js'
import { PriorityQueue } from '../../collections/priority-queue.js'
import type { ExpiringEntries } from '../rules/expiring-entries.js'

export interface ExpiringMapOptions {
  /** Entries kept; beyond, the oldest go first. Default: 100,000. */
  maxEntries?: number
  /** Milliseconds since the epoch. Default: Date.now. */
  now?: () => number
}

const SWEEP_MS = 1000
// dropped in one turn: some milliseconds
const MAX_SWEPT = 2000
// more than one, so that what has expired goes sooner than new entries come
const SWEPT_BY_SET = 2

/** A bounded map whose entries end at a time of their own. Every step takes logarithmic time at most. */
export class ExpiringMap<V> implements ExpiringEntries<V> {
  readonly #entries: BoundedMap<string, { value: V, expiresAt: number }>
  /** The next to expire first. */
  readonly #ends = new PriorityQueue<string>()
  readonly #now: () => number
  readonly #onRemoved: (value: V) => void
  readonly #sweep: NodeJS.Timeout

  /** @param onRemoved called with every value that is removed, but not with one that another replaces */
  constructor (
    { maxEntries = 100_000, now = Date.now }: ExpiringMapOptions = {},
    onRemoved: (value: V) => void = () => {}
  ) {
    this.#entries = new BoundedMap(maxEntries, ({ value }, key) => {
      this.#ends.delete(key)
      onRemoved(value)
    })
    this.#now = now
    this.#onRemoved = onRemoved
    this.#sweep = setInterval(() => { this.#dropExpired(MAX_SWEPT) }, SWEEP_MS).unref()
  }

  /** Entries kept, expired ones included until they are swept. */
  get size (): number {
    return this.#entries.size
  }

  /** @param expiresAt epoch seconds */
  set (key: string, value: V, expiresAt: number): void {
    this.#dropExpired(SWEPT_BY_SET)
    this.#entries.set(key, { value, expiresAt })
    this.#ends.set(key, expiresAt)
  }

  get (key: string): V | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined || this.#now() / 1000 < entry.expiresAt) return entry?.value
    this.#remove(key)
    return undefined
  }

  /** Removes an entry. @returns its value, unless it had expired */
  take (key: string): V | undefined {
    const value = this.get(key)
    this.#remove(key)
    return value
  }

  /** Drops some of what has expired, as the housekeeping does. */
  dropExpired (): void {
    this.#dropExpired(MAX_SWEPT)
  }

  /** Stops the housekeeping. */
  close (): void {
    clearInterval(this.#sweep)
  }

  /** Drops what has expired, so many entries at most. */
  #dropExpired (most: number): void {
    const now = this.#now() / 1000
    for (let dropped = 0; dropped < most; dropped++) {
      const key = this.#ends.takeUpTo(now)
      if (key === undefined) return
      this.#remove(key)
    }
  }

  #remove (key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined || !this.#entries.delete(key)) return
    this.#ends.delete(key)
    this.#onRemoved(entry.value)
  }
}
