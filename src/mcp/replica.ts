import { randomBytes } from 'node:crypto'
import { leaseNames, type LeaseStore } from '../stores/leases.js'
import type { Log } from '../log.js'

/** Length of a replica's id, with which the ids of the streams that it writes begin. */
export const REPLICA_ID_LENGTH = 8

const TTL_MS = 4000
const RENEW_MS = 1000

/** This process among its replicas. Each holds a lease, which a dead one cannot renew. */
export class Replica {
  /** Unique to this process. */
  readonly id = randomBytes(REPLICA_ID_LENGTH * 3 / 4).toString('base64url')
  readonly #leases: LeaseStore
  readonly #log: Log
  readonly #timer: NodeJS.Timeout
  #counter = 0
  /** Milliseconds since the epoch: when the lease was last renewed, and since when without a gap. */
  #steadySince = Date.now()
  #renewedAt = Date.now()

  constructor (leases: LeaseStore, log: Log) {
    this.#leases = leases
    this.#log = log
    this.#timer = setInterval(() => { this.#renew() }, RENEW_MS).unref()
    this.#renew()
  }

  /** Makes an id, unique across replicas; it begins with the replica's. */
  newId (): string {
    return `${this.id}${(this.#counter++).toString(36)}`
  }

  /** Whether a replica is alive, or was seconds ago. True if unknown, as leases could not be renewed for a while. */
  async isAlive (replicaId: string): Promise<boolean> {
    const now = Date.now()
    if (replicaId === this.id || now - this.#renewedAt > TTL_MS || now - this.#steadySince < TTL_MS) return true
    return await this.#leases.isHeld(leaseNames.replica(replicaId))
  }

  /** Calls `onDead` once a replica is known to have died. @returns a function that ends the watch */
  watch (replicaId: string, onDead: () => void): () => void {
    const timer = setInterval(() => {
      // if the store cannot be asked, the replica counts as alive
      this.isAlive(replicaId).then(alive => { if (!alive) onDead() }, () => {})
    }, RENEW_MS).unref()
    return () => { clearInterval(timer) }
  }

  /** Releases the lease. Never rejects. */
  async close (): Promise<void> {
    clearInterval(this.#timer)
    await this.#leases.release(leaseNames.replica(this.id), this.id).catch((err: unknown) => {
      this.#log.warn({ err }, 'the lease of this replica could not be released')
    })
  }

  #renew (): void {
    this.#leases.acquire(leaseNames.replica(this.id), this.id, TTL_MS).then(() => {
      this.#renewed(Date.now())
    }).catch((err: unknown) => {
      this.#log.warn({ err }, 'the lease of this replica could not be renewed')
    })
  }

  #renewed (now: number): void {
    if (now - this.#renewedAt > TTL_MS) this.#steadySince = now
    this.#renewedAt = now
  }
}
