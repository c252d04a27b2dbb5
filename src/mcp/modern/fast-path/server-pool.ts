import type { ServerContext } from '../../create-server.js'
import type { Log } from '../../../log.js'
import type { ReusableServer } from './reusable-server.js'
import type { Bus } from '../../../stores/bus.js'
import { announceToAll } from '../../server-events/announcements.js'

// what is needed at once is made; what is kept of it is bounded
const MAX_IDLE = 64
// clients choose what they say of themselves
const MAX_KEY = 2000

/** Instances that have answered a request, and wait for the next one, whoever makes it. */
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

/** What a factory learns whose instances serve many callers: nothing of any of them. */
export function contextForAll (log: Log, bus: Bus): ServerContext {
  const refuse = (): never => {
    throw new Error(
      'createServer looks at the caller, but with reuseInstances an instance serves many: take the caller from the request, or leave the option off.'
    )
  }
  return {
    era: 'stateless',
    log,
    get authInfo () {
      return refuse()
    },
    getUpstreamAccessToken: async () => refuse(),
    announce: event => {
      announceToAll(bus, log, event)
    }
  }
}
