/** Who has subscribed to which resource of a server that several share. */
export class Subscriptions<Subscriber> {
  readonly #byUri = new Map<string, Set<Subscriber>>()

  has (uri: string): boolean {
    return this.#byUri.has(uri)
  }

  add (uri: string, subscriber: Subscriber): void {
    const subscribers = this.#byUri.get(uri) ?? new Set()
    this.#byUri.set(uri, subscribers.add(subscriber))
  }

  /** @returns whether it was the last one */
  remove (uri: string, subscriber: Subscriber): boolean {
    const subscribers = this.#byUri.get(uri)
    if (subscribers?.delete(subscriber) !== true || subscribers.size > 0) return false
    this.#byUri.delete(uri)
    return true
  }

  /** Takes a subscriber out of all. @returns the resources that nobody subscribes to now */
  leave (subscriber: Subscriber): string[] {
    return [...this.#byUri.keys()].filter(uri => this.remove(uri, subscriber))
  }

  /** Those to be told that a resource has changed: it may be a part of the one that they have subscribed to. */
  * find (uri: string): Iterable<Subscriber> {
    const exact = this.#byUri.get(uri)
    if (exact !== undefined) yield * exact
    else {
      const told = new Set<Subscriber>()
      for (const [whole, subscribers] of this.#byUri) {
        if (uri.startsWith(whole)) for (const subscriber of subscribers) told.add(subscriber)
      }
      yield * told
    }
  }
}
