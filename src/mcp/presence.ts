import type { LeaseStore } from '../stores/leases.js'
import type { Log } from './create-server.js'

const TTL_MS = 4000
const RENEW_MS = 1000

/** Tells the replicas which of them live: each holds a lease, and one that dies cannot renew it. */
export class Presence {
  readonly #leases: LeaseStore
  readonly #replicaId: string
  readonly #log: Log
  readonly #timer: NodeJS.Timeout

  constructor (leases: LeaseStore, replicaId: string, log: Log) {
    this.#leases = leases
    this.#replicaId = replicaId
    this.#log = log
    this.#timer = setInterval(() => { this.#renew() }, RENEW_MS).unref()
    this.#renew()
  }

  /** Whether a replica lives, or has within the last seconds. */
  async isAlive (replicaId: string): Promise<boolean> {
    return replicaId === this.#replicaId || await this.#leases.isHeld(nameOf(replicaId))
  }

  async close (): Promise<void> {
    clearInterval(this.#timer)
    await this.#leases.release(nameOf(this.#replicaId), this.#replicaId)
  }

  #renew (): void {
    this.#leases.acquire(nameOf(this.#replicaId), this.#replicaId, TTL_MS).catch((err: unknown) => {
      this.#log.warn({ err }, 'the lease of this replica could not be renewed')
    })
  }
}

function nameOf (replicaId: string): string {
  return `replica:${replicaId}`
}
