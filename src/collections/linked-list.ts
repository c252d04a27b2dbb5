/** A thing's place in a `LinkedList`; in one list at a time. */
export class ListNode<T> {
  before: ListNode<T> | undefined
  after: ListNode<T> | undefined

  constructor (readonly item: T) {}
}

/** Things in a row. Every step takes constant time. */
export class LinkedList<T> {
  #first: ListNode<T> | undefined
  #last: ListNode<T> | undefined
  #size = 0

  get size (): number {
    return this.#size
  }

  get first (): ListNode<T> | undefined {
    return this.#first
  }

  /** Adds a node, which is in no list, to the end. */
  append (node: ListNode<T>): void {
    node.before = this.#last
    node.after = undefined
    if (this.#last === undefined) this.#first = node
    else this.#last.after = node
    this.#last = node
    this.#size++
  }

  /** Removes a node of this list. */
  remove (node: ListNode<T>): void {
    if (node.before === undefined) this.#first = node.after
    else node.before.after = node.after
    if (node.after === undefined) this.#last = node.before
    else node.after.before = node.before
    this.#size--
  }

  /** The things, the first one first. The current one may be removed meanwhile. */
  * [Symbol.iterator] (): Generator<T> {
    for (let node = this.#first; node !== undefined; node = node.after) yield node.item
  }
}
