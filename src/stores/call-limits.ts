import { ANONYMOUS_PERSON } from '../caller.js'
import type { CallLimits } from '../policy/rules.js'

/** The bucket of all that somebody calls; the others have the names of tools. */
export const ALL_CALLS = 'all'
/** The bucket of the tools beyond `MAX_BUCKETS`: callers can make up names. */
export const OTHER_TOOLS = 'others'
/** Buckets of one holder; the tools beyond share one. */
export const MAX_BUCKETS = 100
export const MINUTE_MS = 60_000
export const DAY_MS = 86_400_000
/** When to try again for a place among concurrent calls: most are over within seconds. */
export const PLACE_RETRY_MS = 1000
/** Sums of fractions are not exact. */
export const ROUNDING_MS = 0.001

const PERSON = 'person '

/** Names a person, or an address, as a holder. @param person by `limitKey` */
export function personHolder (person: string): string {
  return PERSON + person
}

/** Whether a holder is an address that callers who have not logged in come from. */
export function isAnonymousHolder (holder: string): boolean {
  return holder.startsWith(PERSON + ANONYMOUS_PERSON)
}

/** Calls that run. */
export interface RunningCalls {
  /** Unique among the buckets of the holder. */
  name: string
  /** Ids of the calls, unique. */
  calls: readonly string[]
}

/** Calls that want to run. */
export interface CallBucket extends RunningCalls {
  /** How many of them count by minute and day: those that continue an earlier call do not. */
  counted: number
  limits: CallLimits
}

/** Which limit has refused calls. */
export interface CallRefusal {
  /** Index of the bucket. */
  bucket: number
  limit: keyof CallLimits
  /** When all of the calls may be let in; undefined: never, as they are too many at once. */
  retryAfterMs: number | undefined
}

/**
 * How much is called, by holders such as a person. Each method is one atomic step, by the store's own clock. What is
 * known at once is returned at once, without a promise.
 */
export interface CallLimitStore {
  /**
   * Takes what calls need of several buckets, or nothing. The places of calls that run are free after `leaseMs`, unless
   * they are renewed or released before.
   * @returns why they may not run; undefined if they may
   */
  take (
    holder: string,
    buckets: readonly CallBucket[],
    leaseMs: number
  ): CallRefusal | undefined | Promise<CallRefusal | undefined>
  /** Takes `take` back: the calls did not run. */
  giveBack (holder: string, buckets: readonly CallBucket[]): void | Promise<void>
  /** The calls still run: their places are theirs for another `leaseMs`. */
  renew (holder: string, running: readonly RunningCalls[], leaseMs: number): void | Promise<void>
  /** The calls are over. */
  release (holder: string, running: readonly RunningCalls[]): void | Promise<void>
}
