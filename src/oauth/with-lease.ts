import { setTimeout as delay } from 'node:timers/promises'
import { passesIn, TemporarilyUnavailableError } from '../errors.js'
import type { LeaseStore } from '../stores/leases.js'
import { newId } from './secrets.js'

export interface LeasedWork<R> {
  leases: LeaseStore
  /** Name of the lease. */
  name: string
  /** Time that the work may take, and that others wait for it. */
  timeoutMs: number
  /** Does the work; only one replica at a time runs it. */
  work: () => Promise<R>
  /** Finds the result of a holder elsewhere; undefined: not yet. Throws if there will be none. */
  findResult: () => Promise<R | undefined>
  /** What callers are told if the work takes longer. */
  slowMessage: string
}

const POLL_MS = 50
const RETRY_SECONDS = 5

/**
 * Does work that only one replica may do at a time, or waits for the result of the replica that does it.
 * @throws {TemporarilyUnavailableError} if it takes too long
 */
export async function withLease<R> ({
  leases,
  name,
  timeoutMs,
  work,
  findResult,
  slowMessage
}: LeasedWork<R>): Promise<R> {
  const holder = newId()
  for (let waitedMs = 0; waitedMs < timeoutMs; waitedMs += POLL_MS) {
    if (await leases.acquire(name, holder, timeoutMs)) {
      try {
        return await work()
      } finally {
        await leases.release(name, holder)
      }
    }
    await delay(POLL_MS)
    const result = await findResult()
    if (result !== undefined) return result
  }
  throw new TemporarilyUnavailableError(...passesIn(RETRY_SECONDS, slowMessage))
}

/** Longest time of one step at the upstream: discovery by either document, then the request. */
export function upstreamStepMs ({ timeoutSeconds }: { timeoutSeconds: number }): number {
  return (3 * timeoutSeconds + 5) * 1000
}
