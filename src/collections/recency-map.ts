import { LinkedList, ListNode } from './linked-list.js'

type Entry<K, V> = readonly [key: K, value: V]

/**
 * A map in the order of use: what was set longest ago comes first. Every step takes constant time. (In a `Map`, each
 * look at the first entry walks over the gaps of those that were deleted before it.)
 */
export class RecencyMap<K, V> {
  readonly #nodes = new Map<K, ListNode<Entry<K, V>>>()
  readonly #list = new LinkedList<Entry<K, V>>()

  get size (): number {
    return this.#nodes.size
  }

  /** The entry that was set longest ago. */
  get first (): Entry<K, V> | undefined {
    return this.#list.first?.item
  }

  has (key: K): boolean {
    return this.#nodes.has(key)
  }

  get (key: K): V | undefined {
    return this.#nodes.get(key)?.item[1]
  }

  /** Sets an entry, which is the last from now on. */
  set (key: K, value: V): this {
    this.delete(key)
    const node = new ListNode([key, value] as const)
    this.#nodes.set(key, node)
    this.#list.append(node)
    return this
  }

  delete (key: K): boolean {
    const node = this.#nodes.get(key)
    if (node === undefined) return false
    this.#list.remove(node)
    return this.#nodes.delete(key)
  }

  /** The entries, the first one first. The current one may be deleted meanwhile. */
  [Symbol.iterator] (): Iterator<Entry<K, V>> {
    return this.#list[Symbol.iterator]()
  }
}
