import { BoundedMap } from '../../bounded-map.js'

export interface ExpiringMapOptions {
  /** Entries kept; beyond, the oldest go first. Default: 100,000. */
  maxEntries?: number
  /** Milliseconds since the epoch. Default: Date.now. */
  now?: () => number
}

const SWEEP_MS = 30_000

/** A bounded map whose entries end at a time of their own. */
export class ExpiringMap<V> {
  readonly #entries: BoundedMap<string, { value: V, expiresAt: number }>
  readonly #maxEntries: number
  readonly #now: () => number
  readonly #onRemoved: (value: V) => void
  readonly #sweep: NodeJS.Timeout

  /** @param onRemoved called with every value that is removed, but not with one that another replaces */
  constructor (
    { maxEntries = 100_000, now = Date.now }: ExpiringMapOptions = {},
    onRemoved: (value: V) => void = () => {}
  ) {
    this.#maxEntries = maxEntries
    this.#entries = new BoundedMap(maxEntries, ({ value }) => { onRemoved(value) })
    this.#now = now
    this.#onRemoved = onRemoved
    this.#sweep = setInterval(() => { this.#dropExpired() }, SWEEP_MS).unref()
  }

  /** Entries kept, expired ones included until they are swept. */
  get size (): number {
    return this.#entries.size
  }

  /** @param expiresAt epoch seconds */
  set (key: string, value: V, expiresAt: number): void {
    if (this.#entries.size >= this.#maxEntries && !this.#entries.has(key)) this.#dropExpired()
    this.#entries.set(key, { value, expiresAt })
  }

  get (key: string): V | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined || this.#now() / 1000 < entry.expiresAt) return entry?.value
    this.#remove(key)
    return undefined
  }

  /** The values that have not expired. */
  * values (): Generator<V> {
    const now = this.#now() / 1000
    for (const { value, expiresAt } of this.#entries.values()) if (now < expiresAt) yield value
  }

  /** Removes an entry. @returns its value, unless it had expired */
  take (key: string): V | undefined {
    const value = this.get(key)
    this.#remove(key)
    return value
  }

  /** Stops the housekeeping. */
  close (): void {
    clearInterval(this.#sweep)
  }

  #dropExpired (): void {
    const now = this.#now() / 1000
    for (const [key, { expiresAt }] of this.#entries) if (expiresAt <= now) this.#remove(key)
  }

  #remove (key: string): void {
    const entry = this.#entries.get(key)
    if (entry !== undefined && this.#entries.delete(key)) this.#onRemoved(entry.value)
  }
}
