import {
  MAX_DELETION_ATTEMPTS,
  MAX_DELETION_PAUSE_SECONDS,
  MAX_UPSTREAM_DELETIONS,
  type UpstreamDeletion,
  type UpstreamDeletionQueue
} from '../upstream-deletions.js'

/** Deletions at the upstream of a single process. */
export class MemoryUpstreamDeletionQueue implements UpstreamDeletionQueue {
  readonly #waiting = new Map<string, { deletion: UpstreamDeletion, attempts: number, dueAt: number }>()
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
      else this.#waiting.set(sealed, { deletion: { clientId, sealed }, attempts: 0, dueAt: 0 })
    }
    return refused
  }

  async claim (limit: number, leaseSeconds: number): Promise<UpstreamDeletion[]> {
    const now = this.#now() / 1000
    const due = [...this.#waiting.values()].filter(({ dueAt }) => dueAt <= now).slice(0, limit)
    for (const waiting of due) {
      waiting.dueAt = now + Math.min(leaseSeconds * 2 ** waiting.attempts++, MAX_DELETION_PAUSE_SECONDS)
      if (waiting.attempts >= MAX_DELETION_ATTEMPTS) this.#waiting.delete(waiting.deletion.sealed)
    }
    return due.map(({ deletion }) => ({ ...deletion }))
  }

  async done ({ sealed }: UpstreamDeletion): Promise<void> {
    this.#waiting.delete(sealed)
  }
}
