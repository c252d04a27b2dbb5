interface Entry<K> {
  readonly key: K
  priority: number
  index: number
}

/**
 * Keys in the order of a number, the lowest first; that of a key may change. A binary heap whose entries know their
 * places: each change takes logarithmic time.
 */
export class PriorityQueue<K> {
  readonly #heap: Array<Entry<K>> = []
  readonly #entries = new Map<K, Entry<K>>()

  get size (): number {
    return this.#heap.length
  }

  /** The key with the lowest number. */
  get first (): { readonly key: K, readonly priority: number } | undefined {
    return this.#heap[0]
  }

  /** Adds a key, or changes its number. */
  set (key: K, priority: number): void {
    let entry = this.#entries.get(key)
    if (entry === undefined) {
      entry = { key, priority, index: this.#heap.length }
      this.#entries.set(key, entry)
      this.#heap.push(entry)
    }
    entry.priority = priority
    this.#settle(entry)
  }

  delete (key: K): boolean {
    const entry = this.#entries.get(key)
    if (entry === undefined) return false
    this.#entries.delete(key)
    const last = this.#heap.pop()
    if (last !== undefined && last !== entry) {
      this.#place(last, entry.index)
      this.#settle(last)
    }
    return true
  }

  /** Removes the first key if its number is not above `most`. @returns the key */
  takeUpTo (most: number): K | undefined {
    const { first } = this
    if (first === undefined || first.priority > most) return undefined
    this.delete(first.key)
    return first.key
  }

  /** The keys whose numbers are not above `most`, in no order; it takes time in proportion to theirs alone. */
  keysUpTo (most: number): K[] {
    const found: K[] = []
    const indexes = [0]
    for (let index = indexes.pop(); index !== undefined; index = indexes.pop()) {
      const entry = this.#heap[index]
      if (entry === undefined || entry.priority > most) continue
      found.push(entry.key)
      indexes.push(2 * index + 1, 2 * index + 2)
    }
    return found
  }

  /** Moves an entry up or down until those above it are lower and those below it are higher. */
  #settle (entry: Entry<K>): void {
    for (;;) {
      const above = this.#heap[(entry.index - 1) >> 1]
      if (entry.index === 0 || above === undefined || above.priority <= entry.priority) break
      this.#swap(above, entry)
    }
    for (;;) {
      const left = this.#heap[2 * entry.index + 1]
      const right = this.#heap[2 * entry.index + 2]
      const below = right !== undefined && left !== undefined && right.priority < left.priority ? right : left
      if (below === undefined || below.priority >= entry.priority) return
      this.#swap(entry, below)
    }
  }

  #swap (above: Entry<K>, below: Entry<K>): void {
    const { index } = above
    this.#place(above, below.index)
    this.#place(below, index)
  }

  #place (entry: Entry<K>, index: number): void {
    entry.index = index
    this.#heap[index] = entry
  }
}
