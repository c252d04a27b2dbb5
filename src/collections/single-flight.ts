/** Work that is done once at a time for each key: who asks meanwhile gets the same outcome. */
export class SingleFlight<K, V> {
  readonly #running = new Map<K, Promise<V>>()

  /** @param work begins at once, unless it is running; may throw */
  run (key: K, work: () => Promise<V>): Promise<V> {
    const running = this.#running.get(key)
    if (running !== undefined) return running
    const begun = work().finally(() => { this.#running.delete(key) })
    this.#running.set(key, begun)
    return begun
  }
}
