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
import { ExpiringMap, type ExpiringMapOptions } from './expiring-map.js'

/** What was called. All times are milliseconds since the epoch. */
interface Used {
  /** When the bucket of the minute is full again (GCRA). */
  fullAt: number
  /** When the day of `today` ends. */
  dayEnd: number
  today: number
}

interface Held {
  used: Map<string, Used>
  /** By bucket: when the place of each call ends by itself. */
  running: Map<string, Map<string, number>>
  /** When nothing of it counts any longer. */
  endsAt: number
}

type Refusal = Omit<CallRefusal, 'bucket'>

/** How much is called at one process. The steps are those of the scripts for Redis. */
export class MemoryCallLimitStore implements CallLimitStore {
  readonly #holders: ExpiringMap<Held>
  readonly #now: () => number

  constructor ({ now = Date.now, ...options }: ExpiringMapOptions = {}) {
    this.#holders = new ExpiringMap({ ...options, now })
    this.#now = now
  }

  take (holder: string, buckets: readonly CallBucket[], leaseMs: number): CallRefusal | undefined {
    const now = this.#now()
    const held = this.#find(holder)
    const used = new Map<string, Used>()
    let refusal: CallRefusal | undefined
    for (const [index, bucket] of buckets.entries()) {
      const name = toKnownName(bucket.name, held, used, now)
      const before = used.get(name) ?? readUsed(held.used.get(name), now)
      const refused = findRefusal(bucket, before, countPlaces(held, bucket.name, now), now)
      if (refused === undefined) used.set(name, addUse(before, bucket))
      else if (refusal === undefined || isLonger(refused, refusal)) refusal = { bucket: index, ...refused }
    }
    if (refusal !== undefined) return refusal
    for (const [name, after] of used) if (counts(after, now)) keep(held, name, after)
    for (const bucket of buckets) {
      if (bucket.limits.concurrentCalls !== undefined) addPlaces(held, bucket, now + leaseMs)
    }
    this.#holders.set(holder, held, held.endsAt / 1000)
    return undefined
  }

  giveBack (holder: string, buckets: readonly CallBucket[]): void {
    const held = this.#holders.get(holder)
    if (held === undefined) return
    for (const { name, counted, limits: { callsPerMinute = 0, callsPerDay } } of buckets) {
      const used = held.used.get(name) ?? held.used.get(OTHER_TOOLS)
      if (used === undefined) continue
      if (callsPerMinute > 0) used.fullAt -= counted * MINUTE_MS / callsPerMinute
      if (callsPerDay !== undefined) used.today = Math.max(0, used.today - counted)
    }
    this.release(holder, buckets)
  }

  renew (holder: string, running: readonly RunningCalls[], leaseMs: number): void {
    const held = this.#find(holder)
    for (const bucket of running) addPlaces(held, bucket, this.#now() + leaseMs)
    this.#holders.set(holder, held, held.endsAt / 1000)
  }

  release (holder: string, running: readonly RunningCalls[]): void {
    const held = this.#holders.get(holder)
    for (const { name, calls } of running) {
      const places = held?.running.get(name)
      for (const call of calls) places?.delete(call)
      if (places?.size === 0) held?.running.delete(name)
    }
  }

  /** Stops the housekeeping. */
  close (): void {
    this.#holders.close()
  }

  #find (holder: string): Held {
    return this.#holders.get(holder) ?? { used: new Map(), running: new Map(), endsAt: this.#now() }
  }
}

function counts ({ fullAt, dayEnd, today }: Used, now: number): boolean {
  return fullAt > now || (today > 0 && dayEnd > now)
}

function keep (held: Held, name: string, used: Used): void {
  held.used.set(name, used)
  held.endsAt = Math.max(held.endsAt, used.fullAt, used.today === 0 ? 0 : used.dayEnd)
}

/** The name under which a bucket is kept. */
function toKnownName (name: string, { used }: Held, taken: ReadonlyMap<string, Used>, now: number): string {
  if (name === ALL_CALLS || used.has(name) || taken.has(name)) return name
  if (used.size + taken.size < MAX_BUCKETS) return name
  for (const [other, known] of used) if (!counts(known, now)) used.delete(other)
  return used.size + taken.size < MAX_BUCKETS ? name : OTHER_TOOLS
}

function readUsed (used: Used | undefined, now: number): Used {
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
  { fullAt, dayEnd, today }: Used,
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
  { fullAt, dayEnd, today }: Used,
  { counted, limits: { callsPerMinute = 0, callsPerDay } }: CallBucket
): Used {
  return {
    fullAt: callsPerMinute > 0 ? fullAt + counted * MINUTE_MS / callsPerMinute : fullAt,
    dayEnd,
    today: callsPerDay === undefined ? today : today + counted
  }
}

/** How many calls run, less those whose time is over. */
function countPlaces ({ running }: Held, name: string, now: number): number {
  const places = running.get(name)
  if (places === undefined) return 0
  for (const [call, endsAt] of places) if (endsAt <= now) places.delete(call)
  return places.size
}

function addPlaces (held: Held, { name, calls }: RunningCalls, endsAt: number): void {
  if (calls.length === 0) return
  const places = held.running.get(name) ?? new Map<string, number>()
  held.running.set(name, places)
  for (const call of calls) places.set(call, endsAt)
  held.endsAt = Math.max(held.endsAt, endsAt)
}
