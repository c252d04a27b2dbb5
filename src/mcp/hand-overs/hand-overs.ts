import { randomUUID } from 'node:crypto'
import { personKey } from '../../caller.js'
import { waitWhile } from '../../collections/wait-while.js'
import { ShuttingDownError, TemporarilyUnavailableError } from '../../errors.js'
import type { Log } from '../../log.js'
import type { Bus, PostOutcome } from '../../stores/bus.js'
import { leaseNames, type LeaseStore } from '../../stores/leases.js'
import type { Admission } from '../admission/admission.js'
import type { Replica } from '../replica.js'
import type { HandedPost, HandedPostSeal } from './handed-post.js'
import { SHUTTING_DOWN, toError } from './refusal.js'

export interface HandOversOptions {
  bus: Bus
  leases: LeaseStore
  replica: Replica
  seal: HandedPostSeal
  admission: Admission
  log: Log
}

/** A post that is handed over. */
export interface HandOver {
  post: Omit<HandedPost, 'handOverId'>
  patience: Patience
  /** Done once the post has its place among those on their way, before it is sent. */
  prepare?: () => Promise<void>
}

/** How long a post is waited for. */
export interface Patience {
  /** Milliseconds until a post is taken up: a live replica does so at once, unless it is cut off from the others. */
  takenMs: number
  /** Milliseconds until a post that was taken up is settled. */
  settledMs: number
  /** Milliseconds that a replica which shuts down has to be gone: for posts that then go elsewhere. */
  leavingMs: number
}

/**
 * What became of a post. `accepted`: the session's server has it; `dead`: the replica has died, and has not taken it
 * up; `interrupted`: it has died, and may have.
 */
export type HandedEnd = 'accepted' | 'dead' | 'interrupted'

/**
 * What is known of a post. `silent`: the replica does not respond, and will not take it up; `unknown`: it does not
 * respond, and may have taken it up; `closing`: this process is.
 */
type Settled = PostOutcome | { kind: 'dead' | 'interrupted' | 'silent' | 'unknown' | 'closing' }

/** How long a replica's word that it has taken a post up is kept. */
export const TAKEN_KEPT_MS = 15_000
// longer than messages between replicas are kept
const GIVEN_UP_KEPT_MS = 600_000

/** Posts that are on their way from this replica to those where their sessions run. */
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
   * Hands a post to the replica where its session runs.
   * @throws what the other replica refuses it with
   * @throws {TemporarilyUnavailableError} if the other replica does not respond
   * @throws {TooManyRequestsError} @throws {ServerFullError} @throws {ShuttingDownError}
   */
  async handOver (replicaId: string, { post, patience, prepare }: HandOver): Promise<HandedEnd> {
    const { admission, replica } = this.#options
    if (!await replica.isAlive(replicaId)) return 'dead'
    const handOverId = randomUUID()
    const text = JSON.stringify({ handOverId, ...post })
    const leases = admission.takeHandOver(personKey(post.caller.extra), Buffer.byteLength(text))
    try {
      await prepare?.()
      return toEnd(await this.#sendAndWait(replicaId, handOverId, text, patience))
    } finally {
      for (const lease of leases) lease.release()
    }
  }

  /** Waits until nothing is on its way, or `ms` have passed. */
  async drain (ms: number): Promise<void> {
    await waitWhile(() => this.#waiting.size > 0, ms)
  }

  /** Gives up what is on its way. */
  close (): void {
    this.#unsubscribe()
    for (const settle of this.#waiting.values()) settle({ kind: 'closing' })
  }

  async #sendAndWait (
    replicaId: string,
    handOverId: string,
    text: string,
    patience: Patience
  ): Promise<Settled> {
    const { bus, replica, seal } = this.#options
    const sealed = await seal.seal(text)
    const settled = this.#expect(handOverId)
    const unwatch = replica.watch(replicaId, () => { this.#waiting.get(handOverId)?.({ kind: 'dead' }) })
    try {
      const sentAt = performance.now()
      await bus.send(replicaId, 'messagePosted', { replicaId, handOverId, origin: replica.id, sealed })
      const known = await within(patience.takenMs, settled) ??
        (await replica.isAlive(replicaId) ? undefined : { kind: 'dead' as const })
      if (isLeaving(known)) return await within(patience.leavingMs, this.#expect(handOverId)) ?? known
      return known === undefined || known.kind === 'dead'
        ? await this.#giveUp({ handOverId, sentAt, settled, patience, isDead: known !== undefined })
        : known
    } catch (error) {
      // it may have been sent
      if (error instanceof TemporarilyUnavailableError) return { kind: 'unknown' }
      throw error
    } finally {
      unwatch()
      this.#waiting.delete(handOverId)
    }
  }

  /** What is said of a post from now on. */
  #expect (handOverId: string): Promise<Settled> {
    return new Promise(resolve => { this.#waiting.set(handOverId, resolve) })
  }

  /** Makes sure that a post is not taken up from now on. If it has been taken up already, it is waited for. */
  async #giveUp ({ handOverId, sentAt, settled, patience, isDead }: Untaken): Promise<Settled> {
    const { leases, replica } = this.#options
    if (!await leases.acquire(leaseNames.handOver(handOverId), replica.id, GIVEN_UP_KEPT_MS)) {
      if (isDead) return { kind: 'interrupted' }
      const late = await within(patience.settledMs, settled) ?? { kind: 'unknown' }
      return late.kind === 'dead' ? { kind: 'interrupted' } : late
    }
    // after a long pause, that it was taken up may be forgotten
    if (performance.now() - sentAt >= TAKEN_KEPT_MS / 2) return { kind: isDead ? 'interrupted' : 'unknown' }
    return { kind: isDead ? 'dead' : 'silent' }
  }
}

/** A post that, as far as is known, was not taken up. */
interface Untaken {
  handOverId: string
  /** Milliseconds, by `performance.now`. */
  sentAt: number
  settled: Promise<Settled>
  patience: Patience
  /** Whether the replica that it was sent to has died. */
  isDead: boolean
}

/** Whether a replica takes nothing more, because it shuts down. */
function isLeaving (settled: Settled | undefined): settled is PostOutcome {
  return settled?.kind === 'refused' && settled.refusal.code === SHUTTING_DOWN
}

/** @returns undefined if `settled` takes longer than `ms` */
async function within (ms: number, settled: Promise<Settled>): Promise<Settled | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>(resolve => { timer = setTimeout(() => { resolve(undefined) }, ms) })
  return await Promise.race([settled, late]).finally(() => { clearTimeout(timer) })
}

function toEnd (settled: Settled): HandedEnd {
  switch (settled.kind) {
    case 'accepted':
    case 'dead':
    case 'interrupted':
      return settled.kind
    case 'refused':
      throw toError(settled.refusal)
    case 'failed':
      throw new Error('The replica where this session runs could not process the message: see its log.')
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
    `The server process where this session runs does not respond. ${consequence}`,
    { retryAfterSeconds: 1 }
  )
}
