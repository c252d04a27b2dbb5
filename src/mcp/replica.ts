import { randomBytes } from 'node:crypto'
import { BoundedMap } from '../collections/bounded-map.js'
import { inSlices } from '../collections/in-slices.js'
import { leaseNames, type LeaseStore } from '../stores/leases.js'
import type { Bus } from '../stores/bus.js'
import type { Log } from '../log.js'

/** Length of a replica's id, with which the ids of the streams that it writes begin. */
export const REPLICA_ID_LENGTH = 8

// what `newId` makes, and a dot: so the ids begin that `ServerTransport` gives out
const GIVEN_OUT = new RegExp(`^([\\w-]{${REPLICA_ID_LENGTH}})[0-9a-z]+\\.`)

const TTL_MS = 4000
const RENEW_MS = 750
/** Renewals that are further apart than this say that this process, or its way to the store, stood still. */
const STEADY_MS = 2000
/** How long a lease must be seen to be gone. A store that has lost it gets it again sooner from who lives. */
const GONE_MS = 2 * RENEW_MS
const LOOK_MS = 250
// each may take some commands of the store
const TELLING = { size: 100, pauseMs: 5 }
const MAX_SUSPECTS = 1000
// a replica's id, a counter and a dot
const MAX_PREFIX = REPLICA_ID_LENGTH + 16

export interface ReplicaOptions {
  leases: LeaseStore
  bus: Bus
  log: Log
  /** Milliseconds of a clock that never goes back. Default: that of the process. */
  now?: () => number
}

/** The replica that gave out a request id or progress token; undefined if none can have. */
export function findReplicaOf (id: unknown): string | undefined {
  return typeof id === 'string' ? GIVEN_OUT.exec(id.slice(0, MAX_PREFIX))?.[1] : undefined
}

/** This process among its replicas. Each holds a lease, which a dead one cannot renew. */
export class Replica {
  /** Unique to this process. */
  readonly id = randomBytes(REPLICA_ID_LENGTH * 3 / 4).toString('base64url')
  readonly #leases: LeaseStore
  readonly #log: Log
  readonly #now: () => number
  readonly #timer: NodeJS.Timeout
  readonly #stopListening: () => void
  #counter = 0
  /** When the last renewal that succeeded was sent; and since when none was late. */
  #renewedAt = -Infinity
  #steadySince = Infinity
  readonly #watched = new Map<string, Set<{ onDead: () => void }>>()
  /** Of those that are watched, the ones that a look is under way for. */
  readonly #asked = new Set<string>()
  #looking: NodeJS.Timeout | undefined
  /** Replicas that hold no lease, and since when that is seen. */
  readonly #suspects = new BoundedMap<string, number>(MAX_SUSPECTS)

  constructor ({ leases, bus, log, now = () => performance.now() }: ReplicaOptions) {
    this.#leases = leases
    this.#log = log
    this.#now = now
    this.#stopListening = bus.listenAs(this.id)
    this.#timer = setInterval(() => { this.#renew() }, RENEW_MS).unref()
    this.#renew()
  }

  /**
   * Whether no other replica can have seen this one's lease expire. If not, what it does may already have been answered
   * for it.
   */
  get isCertainlyAlive (): boolean {
    return this.#now() - this.#renewedAt < TTL_MS
  }

  /** Makes an id, unique across replicas; it begins with the replica's. */
  newId (): string {
    return `${this.id}${(this.#counter++).toString(36)}`
  }

  /**
   * Whether a replica is alive, or may be: it is dead once this process, which has seen the store without a gap for as
   * long as a lease lasts, sees for two seconds that it holds none.
   */
  async isAlive (replicaId: string): Promise<boolean> {
    if (replicaId === this.id) return true
    const askedAt = this.#now()
    const isHeld = await this.#leases.isHeld(leaseNames.replica(replicaId))
    // a reply that was long under way says nothing of now
    if (isHeld || !this.#hasSteadyView(askedAt)) {
      this.#suspects.delete(replicaId)
      return true
    }
    const since = this.#suspects.get(replicaId) ?? askedAt
    if (!this.#suspects.has(replicaId)) this.#suspects.set(replicaId, since)
    return askedAt - Math.max(since, this.#steadySince) < GONE_MS
  }

  /**
   * Calls `onDead` once a replica is known to have died, and again until the watch is ended: what it does may fail.
   * @returns a function that ends the watch
   */
  watch (replicaId: string, onDead: () => void): () => void {
    const watchers = this.#watched.get(replicaId) ?? new Set()
    const watcher = { onDead }
    this.#watched.set(replicaId, watchers.add(watcher))
    this.#looking ??= setInterval(() => { this.#look() }, LOOK_MS).unref()
    return () => {
      watchers.delete(watcher)
      if (watchers.size === 0 && this.#watched.get(replicaId) === watchers) this.#watched.delete(replicaId)
      if (this.#watched.size === 0) this.#stopLooking()
    }
  }

  /** Receives nothing more, and releases the lease. Never rejects. */
  async close (): Promise<void> {
    clearInterval(this.#timer)
    this.#stopLooking()
    this.#stopListening()
    await this.#leases.release(leaseNames.replica(this.id), this.id).catch((err: unknown) => {
      this.#log.warn({ err }, 'the lease of this replica could not be released')
    })
  }

  /** Whether the store was seen without a gap for as long as a lease lasts: who lives has renewed theirs meanwhile. */
  #hasSteadyView (askedAt: number): boolean {
    const now = this.#now()
    return now - askedAt < STEADY_MS && now - this.#renewedAt < STEADY_MS && now - this.#steadySince >= TTL_MS
  }

  /** Asks for each replica that is watched once, however many watch it. */
  #look (): void {
    for (const [replicaId, watchers] of this.#watched) {
      if (this.#asked.has(replicaId)) continue
      this.#asked.add(replicaId)
      this.isAlive(replicaId).then(async alive => {
        if (!alive) await inSlices(watchers, ({ onDead }) => { onDead() }, TELLING)
      // if the store cannot be asked, the replica counts as alive
      }).catch(() => {}).finally(() => { this.#asked.delete(replicaId) })
    }
  }

  #stopLooking (): void {
    clearInterval(this.#looking)
    this.#looking = undefined
  }

  #renew (): void {
    const sentAt = this.#now()
    this.#leases.acquire(leaseNames.replica(this.id), this.id, TTL_MS).then(() => {
      this.#renewed(sentAt)
    }).catch((err: unknown) => {
      this.#log.warn({ err }, 'the lease of this replica could not be renewed')
    })
  }

  #renewed (sentAt: number): void {
    const now = this.#now()
    if (now - sentAt >= STEADY_MS || now - this.#renewedAt >= STEADY_MS) this.#steadySince = now
    this.#renewedAt = Math.max(this.#renewedAt, sentAt)
  }
}
