import { KeptCallLimits, type RunningBuckets, type UsedBuckets } from '../rules/call-limits.js'
import { ExpiringMap, type ExpiringMapOptions } from './expiring-map.js'

/** How much is called at one process. */
export class MemoryCallLimitStore extends KeptCallLimits {
  readonly #maps: ReadonlyArray<{ close (): void }>

  constructor (options: ExpiringMapOptions = {}) {
    const used = new ExpiringMap<UsedBuckets>(options)
    const running = new ExpiringMap<RunningBuckets>(options)
    super(used, running, options.now)
    this.#maps = [used, running]
  }

  /** Stops the housekeeping. */
  close (): void {
    for (const map of this.#maps) map.close()
  }
}
