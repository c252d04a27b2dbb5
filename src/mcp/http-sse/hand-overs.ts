import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { personKey } from '../../caller.js'
import { ShuttingDownError, TemporarilyUnavailableError } from '../../errors.js'
import type { Log } from '../../log.js'
import type { Bus, PostOutcome } from '../../stores/bus.js'
import { leaseNames, type LeaseStore } from '../../stores/leases.js'
import type { Admission } from '../admission/admission.js'
import type { Replica } from '../replica.js'
import type { HandedPost, HandedPostSeal } from './handed-post.js'
import { toError } from './refusal.js'

export interface HandOversOptions {
  bus: Bus
  leases: LeaseStore
  replica: Replica
  seal: HandedPostSeal
  admission: Admission
  log: Log
}

/**
 * What became of a post. `dead`: the replica has died, and the stream with it; `silent`: it does not respond, and will
 * not take the post up; `unknown`: it does not respond, and may have taken it up; `closing`: this process is.
 */
type Settled = PostOutcome | { kind: 'dead' | 'silent' | 'unknown' | 'closing' }

// a live replica takes a post up at once, unless it is cut off from the others
const TAKEN_MS = 2000
// making a server instance, or finding out what scopes a call needs, may take time
const SETTLED_MS = 30_000
/** How long a replica's word that it has taken a post up is kept. */
export const TAKEN_KEPT_MS = 15_000
// longer than messages between replicas are kept
const GIVEN_UP_KEPT_MS = 600_000
const DRAIN_POLL_MS = 20

/** Posts of HTTP+SSE clients that are on their way from this replica to those that hold their streams. */
export class HandOvers {
  readonly #options: HandOversOptions
  readonly #waiting = new Map<string, (settled: Settled) => void>()
  readonly #unsubscribe: () => void

  constructor (options: HandOversOptions) {
    const { bus } = options
    this.#options = options
    this.#unsubscribe = bus.subscribe('postSettled', ({ handOverId, outcome }) => {
      this.#waiting.get(handOverId)?.(outcome)
    })
  }

  /**
   * Hands a post to the replica that holds the session's stream.
   * @returns whether the session's server has it; false if that replica has died, and so the session has ended
   * @throws what the other replica refuses it with
   * @throws {TemporarilyUnavailableError} if the other replica does not respond
   * @throws {TooManyRequestsError} @throws {ServerFullError} @throws {ShuttingDownError}
   */
  async handOver (replicaId: string, post: Omit<HandedPost, 'handOverId'>): Promise<boolean> {
    const { admission, replica } = this.#options
    if (!await replica.isAlive(replicaId)) return false
    const handOverId = randomUUID()
    const text = JSON.stringify({ handOverId, ...post })
    const leases = admission.takeHandOver(personKey(post.caller.extra), Buffer.byteLength(text))
    try {
      return isTaken(await this.#sendAndWait(replicaId, handOverId, text))
    } finally {
      for (const lease of leases) lease.release()
    }
  }

  /** Waits until nothing is on its way, or `ms` have passed. */
  async drain (ms: number): Promise<void> {
    const deadline = Date.now() + ms
    while (this.#waiting.size > 0 && Date.now() < deadline) await delay(DRAIN_POLL_MS)
  }

  /** Gives up what is on its way. */
  close (): void {
    this.#unsubscribe()
    for (const settle of this.#waiting.values()) settle({ kind: 'closing' })
  }

  async #sendAndWait (replicaId: string, handOverId: string, text: string): Promise<Settled> {
    const { bus, replica, seal } = this.#options
    const sealed = await seal.seal(text)
    let settle: (settled: Settled) => void = () => {}
    const settled = new Promise<Settled>(resolve => { settle = resolve })
    this.#waiting.set(handOverId, settle)
    const unwatch = replica.watch(replicaId, () => { settle({ kind: 'dead' }) })
    try {
      const sentAt = performance.now()
      await bus.send(replicaId, 'messagePosted', { replicaId, handOverId, origin: replica.id, sealed })
      return await within(TAKEN_MS, settled) ?? await this.#giveUp(replicaId, handOverId, sentAt) ??
        await within(SETTLED_MS, settled) ?? { kind: 'unknown' }
    } catch (error) {
      // it may have been sent
      if (error instanceof TemporarilyUnavailableError) return { kind: 'unknown' }
      throw error
    } finally {
      unwatch()
      this.#waiting.delete(handOverId)
    }
  }

  /** Makes sure that a post is not taken up from now on. @returns undefined if it has been taken up already */
  async #giveUp (replicaId: string, handOverId: string, sentAt: number): Promise<Settled | undefined> {
    const { leases, replica } = this.#options
    if (!await replica.isAlive(replicaId)) return { kind: 'dead' }
    if (!await leases.acquire(leaseNames.handOver(handOverId), replica.id, GIVEN_UP_KEPT_MS)) return undefined
    // after a long pause, that it was taken up may be forgotten
    return { kind: performance.now() - sentAt < TAKEN_KEPT_MS / 2 ? 'silent' : 'unknown' }
  }
}

/** @returns undefined if `settled` takes longer than `ms` */
async function within (ms: number, settled: Promise<Settled>): Promise<Settled | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>(resolve => { timer = setTimeout(() => { resolve(undefined) }, ms) })
  return await Promise.race([settled, late]).finally(() => { clearTimeout(timer) })
}

function isTaken (settled: Settled): boolean {
  switch (settled.kind) {
    case 'accepted':
      return true
    case 'dead':
      return false
    case 'refused':
      throw toError(settled.refusal)
    case 'failed':
      throw new Error('The replica that holds the stream of this session could not process the message: see its log.')
    case 'silent':
      throw unresponsive('The message was not processed.')
    case 'unknown':
      throw unresponsive('The message may have been processed.')
    case 'closing':
      throw new ShuttingDownError('This server is shutting down.', { retryAfterSeconds: 1 })
  }
}

function unresponsive (consequence: string): TemporarilyUnavailableError {
  return new TemporarilyUnavailableError(
    `The server process that holds the stream of this session does not respond. ${consequence}`,
    { retryAfterSeconds: 1 }
  )
}
