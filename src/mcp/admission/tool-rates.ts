import { isAnonymousKey } from '../../caller.js'
import { RecencyMap } from '../../collections/recency-map.js'
import { TooManyRequestsError } from '../../errors.js'

const MINUTE_MS = 60_000
const ROUNDING_MS = 0.001
// the rest of a person's tools share one bucket: a caller can make up names
const MAX_TOOLS_PER_PERSON = 100
const MAX_NAME = 128
const OTHER_TOOLS = ''
// the rest of the persons share buckets, until others' are full again: no bucket is forgotten before that. As many
// addresses, of callers who have not logged in
const MAX_PERSONS = 50_000
const OTHER_PERSONS = ''

/** By person, then by tool. */
type Buckets = RecencyMap<string, Map<string, number>>

/**
 * Limits how often each person calls each tool: a token bucket for each pair, which holds a minute's calls and fills
 * evenly. A bucket is stored as the time at which it will be full again (GCRA); a full one is not stored.
 */
export class ToolRates {
  readonly #perMinute: number
  readonly #now: () => number
  /** When a bucket is full again, in milliseconds: person -> tool -> time. The latest caller comes last. */
  readonly #fullAt: Buckets = new RecencyMap()
  /** The same of addresses: however many these are, they share no bucket with people. */
  readonly #ofAddresses: Buckets = new RecencyMap()

  /** @param perMinute 0: no limit */
  constructor (perMinute: number, now: () => number = () => performance.now()) {
    this.#perMinute = perMinute
    this.#now = now
  }

  /** Persons whose buckets are kept. */
  get persons (): number {
    return this.#fullAt.size + this.#ofAddresses.size
  }

  /**
   * Takes one token for each call, or none.
   * @param tools names of the tools that are called
   * @throws {TooManyRequestsError} if one of the buckets has too few
   */
  take (person: string, tools: readonly string[]): void {
    if (this.#perMinute === 0 || tools.length === 0) return
    const now = this.#now()
    const buckets = this.#findBuckets(person, now)
    const taken = new Map<string, number>()
    for (const tool of tools) {
      const name = bucketName(tool, buckets, taken)
      taken.set(name, (taken.get(name) ?? 0) + 1)
    }
    for (const [name, count] of taken) this.#check(name, count, (buckets.get(name) ?? now) - now)
    for (const [name, count] of taken) {
      buckets.set(name, Math.max(buckets.get(name) ?? now, now) + count * this.#intervalMs)
    }
  }

  /** @param untilFullMs how long it takes until the bucket is full again */
  #check (name: string, count: number, untilFullMs: number): void {
    const waitMs = Math.ceil(Math.max(0, untilFullMs) + count * this.#intervalMs - MINUTE_MS - ROUNDING_MS)
    if (waitMs <= 0) return
    const tool = name === OTHER_TOOLS ? 'this tool' : `the tool ${name}`
    if (count > this.#perMinute) {
      throw new TooManyRequestsError(
        `One person may call ${tool} ${this.#perMinute} times a minute: a batch of ${count} calls is too large.`,
        { limit: 'tool_calls' }
      )
    }
    throw new TooManyRequestsError(`One person may call ${tool} ${this.#perMinute} times a minute.`, {
      limit: 'tool_calls',
      retryAfterMs: waitMs
    })
  }

  get #intervalMs (): number {
    return MINUTE_MS / this.#perMinute
  }

  #findBuckets (person: string, now: number): Map<string, number> {
    const all = isAnonymousKey(person) ? this.#ofAddresses : this.#fullAt
    let key = person
    let buckets = all.get(key)
    if (buckets === undefined && all.size >= MAX_PERSONS) {
      forgetFull(all, now)
      if (all.size >= MAX_PERSONS) buckets = all.get(key = OTHER_PERSONS)
    }
    buckets ??= new Map()
    for (const [tool, fullAt] of buckets) if (fullAt <= now) buckets.delete(tool)
    all.set(key, buckets)
    return buckets
  }
}

/** Forgets those who have not called for a minute: their buckets are full. */
function forgetFull (all: Buckets, now: number): void {
  for (const [person, buckets] of all) {
    if ([...buckets.values()].some(fullAt => fullAt > now)) return
    all.delete(person)
  }
}

function bucketName (tool: string, buckets: ReadonlyMap<string, number>, taken: ReadonlyMap<string, number>): string {
  if (buckets.has(tool) || taken.has(tool)) return tool
  return tool.length <= MAX_NAME && buckets.size + taken.size < MAX_TOOLS_PER_PERSON ? tool : OTHER_TOOLS
}
