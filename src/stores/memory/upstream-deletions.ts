import { PriorityQueue } from '../../collections/priority-queue.js'
import {
  MAX_DELETION_ATTEMPTS,
  MAX_DELETION_PAUSE_SECONDS,
  MAX_UPSTREAM_DELETIONS,
  type UpstreamDeletion,
  type UpstreamDeletionQueue
} from '../upstream-deletions.js'

interface Waiting {
  deletion: UpstreamDeletion
  attempts: number
}

/** Deletions at the upstream of a single process. */
export class MemoryUpstreamDeletionQueue implements UpstreamDeletionQueue {
  readonly #waiting = new Map<string, Waiting>()
  /** The next one first. */
  readonly #due = new PriorityQueue<string>()
  readonly #max: number
  readonly #now: () => number

  /** @param options.now milliseconds since the epoch; default: Date.now */
  constructor ({ max = MAX_UPSTREAM_DELETIONS, now = Date.now }: { max?: number, now?: () => number } = {}) {
    this.#max = max
    this.#now = now
  }

  async add (deletions: readonly UpstreamDeletion[]): Promise<number> {
    let refused = 0
    for (const { clientId, sealed } of deletions) {
      if (this.#waiting.size >= this.#max) refused++
      else this.#wait(sealed, { deletion: { clientId, sealed }, attempts: 0 }, 0)
    }
    return refused
  }

  async claim (limit: number, leaseSeconds: number): Promise<UpstreamDeletion[]> {
    const now = this.#now() / 1000
    const claimed: Waiting[] = []
    while (claimed.length < limit) {
      const sealed = this.#due.takeUpTo(now)
      const waiting = sealed === undefined ? undefined : this.#waiting.get(sealed)
      if (waiting === undefined) break
      claimed.push(waiting)
    }
    for (const waiting of claimed) {
      const { sealed } = waiting.deletion
      const pause = Math.min(leaseSeconds * 2 ** waiting.attempts++, MAX_DELETION_PAUSE_SECONDS)
      if (waiting.attempts >= MAX_DELETION_ATTEMPTS) this.#waiting.delete(sealed)
      else this.#due.set(sealed, now + pause)
    }
    return claimed.map(({ deletion }) => ({ ...deletion }))
  }

  async done ({ sealed }: UpstreamDeletion): Promise<void> {
    this.#waiting.delete(sealed)
    this.#due.delete(sealed)
  }

  #wait (sealed: string, waiting: Waiting, dueAt: number): void {
    this.#waiting.set(sealed, waiting)
    this.#due.set(sealed, dueAt)
  }
}
