/** A map that keeps at most so many entries: to set one more removes the one that was set longest ago. */
export class BoundedMap<K, V> extends Map<K, V> {
  readonly #maxEntries: number
  readonly #onEvicted: (value: V, key: K) => void
  /** Continues where it stopped: to begin again would walk over the gap of every entry that was deleted since. */
  #oldestFirst: IterableIterator<[K, V]> | undefined

  /** @param onEvicted called with each value that had to make room, and its key */
  constructor (maxEntries: number, onEvicted: (value: V, key: K) => void = () => {}) {
    super()
    this.#maxEntries = maxEntries
    this.#onEvicted = onEvicted
  }

  override set (key: K, value: V): this {
    this.delete(key)
    super.set(key, value)
    while (this.size > this.#maxEntries) {
      const oldest = this.#nextOldest()
      if (oldest === undefined) break
      this.delete(oldest[0])
      this.#onEvicted(oldest[1], oldest[0])
    }
    return this
  }

  #nextOldest (): [K, V] | undefined {
    this.#oldestFirst ??= this.entries()
    const next = this.#oldestFirst.next()
    if (next.done !== true) return next.value
    // it has met all there was, and a finished iterator sees nothing new
    this.#oldestFirst = this.entries()
    const again = this.#oldestFirst.next()
    return again.done === true ? undefined : again.value
  }
}
