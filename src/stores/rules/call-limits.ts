import {
  ALL_CALLS,
  DAY_MS,
  MAX_BUCKETS,
  MINUTE_MS,
  OTHER_TOOLS,
  PLACE_RETRY_MS,
  ROUNDING_MS,
  type CallBucket,
  type CallLimitStore,
  type CallRefusal,
  type RunningCalls
} from '../call-limits.js'
import type { ExpiringEntries } from './expiring-entries.js'

/** What was called. All times are milliseconds since the epoch. */
export interface UsedCalls {
  /** When the bucket of the minute is full again (GCRA). */
  fullAt: number
  /** When the day of `today` ends. */
  dayEnd: number
  today: number
}

/** What a holder has used of each bucket that counts yet. */
export type UsedBuckets = Map<string, UsedCalls>

/** By bucket: when the place of each call that runs ends by itself. */
export type RunningBuckets = Map<string, Map<string, number>>

type Refusal = Omit<CallRefusal, 'bucket'>

/** How much is called. The steps are those of the scripts for Redis. */
export class KeptCallLimits implements CallLimitStore {
  readonly #used: ExpiringEntries<UsedBuckets>
  readonly #running: ExpiringEntries<RunningBuckets>
  readonly #now: () => number

  /** @param now milliseconds since the epoch */
  constructor (
    used: ExpiringEntries<UsedBuckets>,
    running: ExpiringEntries<RunningBuckets>,
    now: () => number = Date.now
  ) {
    this.#used = used
    this.#running = running
    this.#now = now
  }

  take (holder: string, buckets: readonly CallBucket[], leaseMs: number): CallRefusal | undefined {
    const now = this.#now()
    const before: UsedBuckets = this.#used.get(holder) ?? new Map<string, UsedCalls>()
    const running = this.#running.get(holder)
    const taken: UsedBuckets = new Map()
    let refusal: CallRefusal | undefined
    for (const [index, bucket] of buckets.entries()) {
      const name = toKnownName(bucket.name, before, taken, now)
      const used = taken.get(name) ?? readUsed(before.get(name), now)
      const refused = findRefusal(bucket, used, countPlaces(running, bucket.name, now), now)
      if (refused === undefined) taken.set(name, addUse(used, bucket))
      else if (refusal === undefined || isLonger(refused, refusal)) refusal = { bucket: index, ...refused }
    }
    if (refusal !== undefined) return refusal
    // if it cannot be kept, nothing is taken
    this.#keep(holder, before, [...taken].filter(([, used]) => counts(used, now)))
    this.#addPlaces(holder, buckets.filter(({ limits }) => limits.concurrentCalls !== undefined), now + leaseMs)
    return undefined
  }

  giveBack (holder: string, buckets: readonly CallBucket[]): void {
    this.release(holder, buckets)
    const held = this.#used.get(holder)
    if (held === undefined) return
    const changed: UsedBuckets = new Map()
    for (const { name, counted, limits: { callsPerMinute = 0, callsPerDay } } of buckets) {
      const known = held.has(name) ? name : OTHER_TOOLS
      const used = changed.get(known) ?? held.get(known)
      if (used === undefined) continue
      changed.set(known, {
        ...used,
        fullAt: callsPerMinute > 0 ? used.fullAt - counted * MINUTE_MS / callsPerMinute : used.fullAt,
        today: callsPerDay === undefined ? used.today : Math.max(0, used.today - counted)
      })
    }
    this.#keep(holder, held, changed)
  }

  renew (holder: string, running: readonly RunningCalls[], leaseMs: number): void {
    this.#addPlaces(holder, running, this.#now() + leaseMs)
  }

  release (holder: string, running: readonly RunningCalls[]): void {
    const held = this.#running.get(holder)
    for (const { name, calls } of running) {
      const places = held?.get(name)
      for (const call of calls) places?.delete(call)
      if (places?.size === 0) held?.delete(name)
    }
  }

  #keep (holder: string, before: UsedBuckets, changed: Iterable<[string, UsedCalls]>): void {
    const after = [...changed]
    if (after.length === 0) return
    for (const [name, used] of after) before.set(name, used)
    this.#used.set(holder, before, findEnd(before) / 1000)
  }

  #addPlaces (holder: string, running: readonly RunningCalls[], endsAt: number): void {
    const added = running.filter(({ calls }) => calls.length > 0)
    if (added.length === 0) return
    const held: RunningBuckets = this.#running.get(holder) ?? new Map<string, Map<string, number>>()
    for (const { name, calls } of added) {
      const places = held.get(name) ?? new Map<string, number>()
      held.set(name, places)
      for (const call of calls) places.set(call, endsAt)
    }
    this.#running.set(holder, held, endsAt / 1000)
  }
}

function counts ({ fullAt, dayEnd, today }: UsedCalls, now: number): boolean {
  return fullAt > now || (today > 0 && dayEnd > now)
}

/** When nothing of it counts any longer. */
function findEnd (buckets: UsedBuckets): number {
  let end = 0
  for (const { fullAt, dayEnd, today } of buckets.values()) end = Math.max(end, fullAt, today === 0 ? 0 : dayEnd)
  return end
}

/** The name under which a bucket is kept. */
function toKnownName (name: string, used: UsedBuckets, taken: ReadonlyMap<string, UsedCalls>, now: number): string {
  if (name === ALL_CALLS || used.has(name) || taken.has(name)) return name
  if (used.size + taken.size < MAX_BUCKETS) return name
  for (const [other, known] of used) if (!counts(known, now)) used.delete(other)
  return used.size + taken.size < MAX_BUCKETS ? name : OTHER_TOOLS
}

function readUsed (used: UsedCalls | undefined, now: number): UsedCalls {
  const isToday = used !== undefined && used.dayEnd > now
  return {
    // never later than an empty one, though the clock was set back
    fullAt: Math.min(Math.max(used?.fullAt ?? 0, now), now + MINUTE_MS),
    dayEnd: now - now % DAY_MS + DAY_MS,
    today: isToday ? used.today : 0
  }
}

/** The limit that lasts longest, of those that refuse. */
function findRefusal (
  { calls, counted, limits }: CallBucket,
  { fullAt, dayEnd, today }: UsedCalls,
  running: number,
  now: number
): Refusal | undefined {
  const { callsPerMinute = Infinity, callsPerDay = Infinity, concurrentCalls = Infinity } = limits
  const waitMs = Math.ceil(fullAt - now + counted * MINUTE_MS / callsPerMinute - MINUTE_MS - ROUNDING_MS)
  const found: Array<Refusal | undefined> = [
    counted > 0 && waitMs > 0 ? refuse('callsPerMinute', waitMs, counted <= callsPerMinute) : undefined,
    counted > 0 && today + counted > callsPerDay
      ? refuse('callsPerDay', dayEnd - now, counted <= callsPerDay)
      : undefined,
    running + calls.length > concurrentCalls
      ? refuse('concurrentCalls', PLACE_RETRY_MS, calls.length <= concurrentCalls)
      : undefined
  ]
  return found.reduce((longest, next) => next && (!longest || isLonger(next, longest)) ? next : longest)
}

function refuse (limit: CallRefusal['limit'], waitMs: number, isPossible: boolean): Refusal {
  return { limit, retryAfterMs: isPossible ? waitMs : undefined }
}

function isLonger (
  { retryAfterMs: wait = Infinity }: Pick<CallRefusal, 'retryAfterMs'>,
  { retryAfterMs: than = Infinity }: Pick<CallRefusal, 'retryAfterMs'>
): boolean {
  return wait > than
}

function addUse (
  { fullAt, dayEnd, today }: UsedCalls,
  { counted, limits: { callsPerMinute = 0, callsPerDay } }: CallBucket
): UsedCalls {
  return {
    fullAt: callsPerMinute > 0 ? fullAt + counted * MINUTE_MS / callsPerMinute : fullAt,
    dayEnd,
    today: callsPerDay === undefined ? today : today + counted
  }
}

/** How many calls run, less those whose time is over. */
function countPlaces (running: RunningBuckets | undefined, name: string, now: number): number {
  const places = running?.get(name)
  if (places === undefined) return 0
  for (const [call, endsAt] of places) if (endsAt <= now) places.delete(call)
  return places.size
}
