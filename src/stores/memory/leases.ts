import type { LeaseStore } from '../leases.js'

/** Leases of a single process. */
export class MemoryLeaseStore implements LeaseStore {
  readonly #leases = new Map<string, { holder: string, expiresAtMs: number }>()
  readonly #now: () => number

  /** @param options.now milliseconds since the epoch; default: Date.now */
  constructor ({ now = Date.now }: { now?: () => number } = {}) {
    this.#now = now
  }

  async acquire (name: string, holder: string, ttlMs: number): Promise<boolean> {
    const lease = this.#leases.get(name)
    if (lease !== undefined && lease.holder !== holder && lease.expiresAtMs > this.#now()) return false
    this.#leases.set(name, { holder, expiresAtMs: this.#now() + ttlMs })
    return true
  }

  async isHeld (name: string): Promise<boolean> {
    return (this.#leases.get(name)?.expiresAtMs ?? 0) > this.#now()
  }

  async release (name: string, holder: string): Promise<void> {
    if (this.#leases.get(name)?.holder === holder) this.#leases.delete(name)
  }
}
