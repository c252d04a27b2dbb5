/** A map that keeps at most so many entries: to set one more removes the one that was set longest ago. */
export class BoundedMap<K, V> extends Map<K, V> {
  readonly #maxEntries: number
  readonly #onEvicted: (value: V) => void

  /** @param onEvicted called with each value that had to make room */
  constructor (maxEntries: number, onEvicted: (value: V) => void = () => {}) {
    super()
    this.#maxEntries = maxEntries
    this.#onEvicted = onEvicted
  }

  override set (key: K, value: V): this {
    this.delete(key)
    super.set(key, value)
    for (const [oldest, evicted] of this) {
      if (this.size <= this.#maxEntries) break
      this.delete(oldest)
      this.#onEvicted(evicted)
    }
    return this
  }
}
