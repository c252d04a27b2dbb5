import { randomUUID } from 'node:crypto'
import type { JSONRPCRequest } from '@modelcontextprotocol/server'
import { isAnonymous, limitKey, personKey, type CallerInfo } from '../../caller.js'
import { TooManyRequestsError, type LimitName } from '../../errors.js'
import type { CallerLimits } from '../../policy/caller-limits.js'
import type { Policy } from '../../policy/policy.js'
import { toFolded } from '../../policy/spellings.js'
import {
  ALL_CALLS,
  OTHER_TOOLS,
  personHolder,
  type CallBucket,
  type CallLimitStore,
  type CallRefusal
} from '../../stores/call-limits.js'
import { CallPlaces, type HeldCalls, type PlaceKeeper } from './call-places.js'

export interface CallLimiterOptions {
  policy: Policy
  store: CallLimitStore
  onRefused: (limit: LimitName) => void
  /** How long places of running calls outlive a process that dies. Default: 15,000. */
  leaseMs?: number
}

/** Buckets of one holder, in one step of the store. */
interface Demand {
  holder: string
  /** Whom the buckets are about. */
  who: 'person' | 'client'
  buckets: CallBucket[]
  /** What errors call the buckets of tools. */
  labels?: ReadonlyMap<string, string>
}

interface Call {
  id: string
  /** Undefined: it does not call a tool. */
  tool: string | undefined
}

const LEASE_MS = 15_000
const RENEWALS_PER_LEASE = 3
const MAX_NAME = 128
const COUNTED: ReadonlySet<string> = new Set(['tools/call', 'resources/read', 'prompts/get'])
const LIMIT_NAMES = {
  callsPerMinute: 'calls_per_minute',
  callsPerDay: 'calls_per_day',
  concurrentCalls: 'concurrent_calls'
} as const satisfies Record<CallRefusal['limit'], LimitName>
const MEASURES = {
  callsPerMinute: 'calls a minute',
  callsPerDay: 'calls a day, until midnight UTC',
  concurrentCalls: 'calls at one time'
} as const satisfies Record<CallRefusal['limit'], string>

/**
 * Holds callers to the limits of the policy, on all replicas that share a store. Keys are who has called, as their
 * token says, and the names of tools, of which there are as many as the store allows.
 */
export class CallLimiter implements PlaceKeeper {
  readonly #options: CallLimiterOptions
  readonly #leaseMs: number
  readonly #tag = randomUUID()
  readonly #running = new Set<CallPlaces>()
  #calls = 0
  #renewal: NodeJS.Timeout | undefined

  constructor (options: CallLimiterOptions) {
    this.#options = options
    this.#leaseMs = options.leaseMs ?? LEASE_MS
  }

  /**
   * Takes what the requests of one POST need, or nothing.
   * @param isContinued whether they continue a call that was counted
   * @returns the places of calls that run, to be released as they end; undefined if their number is not limited. At
   * once if the store can, without a promise
   * @throws {TooManyRequestsError} @throws {TemporarilyUnavailableError} or rejects with it
   */
  take (
    caller: CallerInfo,
    requests: readonly JSONRPCRequest[],
    isContinued: boolean
  ): CallPlaces | undefined | Promise<CallPlaces | undefined> {
    const limits = this.#options.policy.limitsOf(caller)
    if (limits === undefined) return undefined
    const calls = new Map<JSONRPCRequest['id'], Call>()
    for (const { id, method, params } of requests) {
      if (!COUNTED.has(method)) continue
      const tool = method === 'tools/call' && typeof params?.name === 'string' ? params.name : undefined
      calls.set(id, { id: `${this.#tag}.${++this.#calls}`, tool })
    }
    if (calls.size === 0) return undefined
    const demands = makeDemands(caller, limits, [...calls.values()], isContinued)
    const taken = this.#takeFrom(demands, 0)
    const hold = () => this.#hold(calls, demands)
    return taken instanceof Promise ? taken.then(hold) : hold()
  }

  /** The places have changed hands: a call is over. */
  release (held: readonly HeldCalls[]): void {
    for (const { holder, running } of held) {
      // if the store is away, they are free after their lease
      toPromise(this.#options.store.release(holder, running))?.catch(() => {})
    }
  }

  /** All calls of these places are over. */
  forget (places: CallPlaces): void {
    this.#running.delete(places)
    if (this.#running.size > 0) return
    clearInterval(this.#renewal)
    this.#renewal = undefined
  }

  /** Renews nothing any longer. */
  close (): void {
    clearInterval(this.#renewal)
  }

  #takeFrom (demands: readonly Demand[], index: number): void | Promise<void> {
    const demand = demands[index]
    if (demand === undefined) return undefined
    const next = (refusal: CallRefusal | undefined) => {
      if (refusal === undefined) return this.#takeFrom(demands, index + 1)
      const error = toError(demand, refusal)
      this.#options.onRefused(error.limit)
      throw error
    }
    const undo = (error: unknown): never => {
      this.#giveBack(demands.slice(0, index))
      throw error
    }
    try {
      const refusal = this.#options.store.take(demand.holder, demand.buckets, this.#leaseMs)
      return refusal instanceof Promise ? refusal.then(next).catch(undo) : next(refusal)
    } catch (error) {
      return undo(error)
    }
  }

  #giveBack (demands: readonly Demand[]): void {
    for (const { holder, buckets } of demands) {
      toPromise(this.#options.store.giveBack(holder, buckets))?.catch(() => {})
    }
  }

  #hold (calls: ReadonlyMap<JSONRPCRequest['id'], Call>, demands: readonly Demand[]): CallPlaces | undefined {
    const held = demands.map(({ holder, buckets }) => ({
      holder,
      running: buckets.filter(({ limits }) => limits.concurrentCalls !== undefined)
    })).filter(({ running }) => running.length > 0)
    if (held.length === 0) return undefined
    const places = new CallPlaces(this, new Map([...calls].map(([id, call]) => [id, call.id])), held)
    this.#running.add(places)
    this.#renewal ??= setInterval(() => { this.#renew() }, this.#leaseMs / RENEWALS_PER_LEASE).unref()
    return places
  }

  #renew (): void {
    for (const places of this.#running) {
      for (const { holder, running } of places.held) {
        toPromise(this.#options.store.renew(holder, running, this.#leaseMs))?.catch(() => {})
      }
    }
  }
}

/** The person first: those who reach their own limits take nothing of their client's. */
function makeDemands (
  caller: CallerInfo,
  limits: CallerLimits,
  calls: readonly Call[],
  isContinued: boolean
): Demand[] {
  const makeBucket = (name: string, of: readonly Call[], limited: CallBucket['limits']): CallBucket => ({
    name,
    calls: of.map(({ id }) => id),
    counted: isContinued ? 0 : of.length,
    limits: limited
  })
  const ofPerson = limits.all === undefined ? [] : [makeBucket(ALL_CALLS, calls, limits.all)]
  const labels = new Map<string, string>()
  for (const [folded, of] of groupByTool(calls)) {
    const [{ tool = folded } = {}] = of
    const limited = limits.ofTool(tool)
    if (limited === undefined) continue
    const name = folded.length > MAX_NAME ? OTHER_TOOLS : `tool ${folded}`
    labels.set(name, name === OTHER_TOOLS ? ' of this tool' : ` of the tool ${tool}`)
    ofPerson.push(makeBucket(name, of, limited))
  }
  // who has not logged in has no client
  const { ofClient: clientLimits } = limits
  const ofClient = clientLimits === undefined || isAnonymous(caller.extra)
    ? []
    : [makeBucket(ALL_CALLS, calls, clientLimits)]
  const demands: Demand[] = [
    { holder: personHolder(limitKey(personKey(caller.extra))), who: 'person', buckets: ofPerson, labels },
    { holder: `client ${caller.clientId}`, who: 'client', buckets: ofClient }
  ]
  return demands.filter(({ buckets }) => buckets.length > 0)
}

/** By the name that a careless server may look a tool up as: another spelling is not another tool. */
function groupByTool (calls: readonly Call[]): Map<string, Call[]> {
  const groups = new Map<string, Call[]>()
  for (const call of calls) {
    if (call.tool === undefined) continue
    const folded = toFolded(call.tool)
    const group = groups.get(folded)
    if (group === undefined) groups.set(folded, [call])
    else group.push(call)
  }
  return groups
}

function toError (
  { who, buckets, labels = new Map() }: Demand,
  { bucket, limit, retryAfterMs }: CallRefusal
): TooManyRequestsError {
  const { name = ALL_CALLS, limits = {}, calls = [] } = buckets[bucket] ?? {}
  const whose = who === 'person' ? 'One person' : 'One client, for all people together,'
  const what = labels.get(name) ?? ''
  const tooMany = retryAfterMs === undefined && calls.length > 1 ? `: a batch of ${calls.length} is too large` : ''
  return new TooManyRequestsError(
    `${whose} may make ${limits[limit] ?? 0} ${MEASURES[limit]}${what}${tooMany}.`,
    { limit: LIMIT_NAMES[limit], ...retryAfterMs !== undefined && { retryAfterMs } }
  )
}

function toPromise (done: void | Promise<void>): Promise<void> | undefined {
  return done instanceof Promise ? done : undefined
}
