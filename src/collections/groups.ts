import { PriorityQueue } from './priority-queue.js'
import { RecencyMap } from './recency-map.js'

/** A group's things, the least recently used first. */
export type Group<T> = Pick<RecencyMap<T, true>, 'size' | 'has'> & { readonly first: T | undefined }

class ThingsOfGroup<T> implements Group<T> {
  readonly things = new RecencyMap<T, true>()

  get size (): number {
    return this.things.size
  }

  get first (): T | undefined {
    return this.things.first?.[0]
  }

  has (thing: T): boolean {
    return this.things.has(thing)
  }
}

/** Things in groups, such as those of each person; each group in the order of use. The largest group is known. */
export class Groups<K, T> {
  readonly #groups = new Map<K, ThingsOfGroup<T>>()
  /** By size, the largest first. */
  readonly #ranking = new PriorityQueue<K>()

  /** Groups that are not empty. */
  get size (): number {
    return this.#groups.size
  }

  /** The key of the largest group. */
  get largest (): K | undefined {
    return this.#ranking.first?.key
  }

  /** A group, as long as there is something in it. */
  get (key: K): Group<T> | undefined {
    return this.#groups.get(key)
  }

  /** How many things a group has. */
  count (key: K): number {
    return this.#groups.get(key)?.size ?? 0
  }

  /** Adds a thing to a group, or moves it to its end. */
  add (key: K, thing: T): void {
    let group = this.#groups.get(key)
    if (group === undefined) this.#groups.set(key, group = new ThingsOfGroup())
    const before = group.size
    group.things.set(thing, true)
    if (group.size > before) this.#ranking.set(key, -group.size)
  }

  delete (key: K, thing: T): boolean {
    const group = this.#groups.get(key)
    if (group?.things.delete(thing) !== true) return false
    if (group.size > 0) {
      this.#ranking.set(key, -group.size)
    } else {
      this.#groups.delete(key)
      this.#ranking.delete(key)
    }
    return true
  }
}
