import { HoldersApart } from '../rules/holders-apart.js'
import { KeptCallLimits, type RunningBuckets, type UsedBuckets } from '../rules/call-limits.js'
import { ExpiringMap, type ExpiringMapOptions } from './expiring-map.js'

/** How much is called at one process. */
export class MemoryCallLimitStore extends KeptCallLimits {
  readonly #maps: ReadonlyArray<{ close (): void }>

  constructor (options: ExpiringMapOptions = {}) {
    const [used, running] = [makeMaps<UsedBuckets>(options), makeMaps<RunningBuckets>(options)]
    super(new HoldersApart(...used), new HoldersApart(...running), options.now)
    this.#maps = [...used, ...running]
  }

  /** Stops the housekeeping. */
  close (): void {
    for (const map of this.#maps) map.close()
  }
}

/** One for people and clients, one for addresses. */
export function makeMaps<V> (options: ExpiringMapOptions): [ExpiringMap<V>, ExpiringMap<V>] {
  return [new ExpiringMap<V>(options), new ExpiringMap<V>(options)]
}
