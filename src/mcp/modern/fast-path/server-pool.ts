import type { ReusableServer } from './reusable-server.js'

// what is needed at once is made; what is kept of it is bounded
const MAX_IDLE = 64
// clients choose what they say about themselves
const MAX_KEY = 2000

/** Servers that have responded to a request, and wait for the next one. */
export class ServerPool {
  /** By whom they may serve; the one that was used last, last. */
  readonly #instances = new Map<string, ReusableServer[]>()
  #size = 0

  /** An instance that nobody else has until it is put back. */
  take (key: string): ReusableServer | undefined {
    const instances = this.#instances.get(key)
    if (instances === undefined) return undefined
    let instance: ReusableServer | undefined
    do {
      instance = instances.pop()
      this.#size--
    } while (instance?.isOpen === false && instances.length > 0)
    if (instances.length === 0) this.#instances.delete(key)
    return instance?.isOpen === true ? instance : undefined
  }

  put (key: string, instance: ReusableServer): void {
    if (!instance.isOpen) return
    if (key.length > MAX_KEY) {
      instance.close()
      return
    }
    const instances = this.#instances.get(key) ?? []
    instances.push(instance)
    this.#instances.delete(key)
    this.#instances.set(key, instances)
    if (++this.#size > MAX_IDLE) this.#dropOldest()
  }

  close (): void {
    for (const instances of this.#instances.values()) for (const instance of instances) instance.close()
    this.#instances.clear()
    this.#size = 0
  }

  #dropOldest (): void {
    const [first] = this.#instances
    if (first === undefined) return
    const [key, instances] = first
    instances.shift()?.close()
    if (instances.length === 0) this.#instances.delete(key)
    this.#size--
  }
}
