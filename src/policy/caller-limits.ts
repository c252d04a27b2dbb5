import { Patterns } from './patterns.js'
import { toNameSpellings } from './spellings.js'
import type { CallLimits, LimitRules } from './rules.js'

const KINDS = ['callsPerMinute', 'callsPerDay', 'concurrentCalls'] as const

interface ToolLimits {
  patterns: Patterns
  limits: CallLimits
}

/**
 * How much one caller may call. Each limit is by itself: the highest that one of the caller's roles names, or else that
 * which is said for all.
 */
export class CallerLimits {
  /** Of all calls of the person; undefined: none. */
  readonly all: CallLimits | undefined
  /** Of all calls by the client, for all people together; undefined: none. */
  readonly ofClient: CallLimits | undefined
  readonly #ofRoles: ReadonlyArray<readonly ToolLimits[]>
  readonly #general: readonly ToolLimits[]

  /** @param roles of those of the caller's roles that have some */
  constructor (roles: readonly LimitRules[], general: LimitRules = {}, ofClient?: CallLimits) {
    this.all = merge(roles, general)
    this.ofClient = ofClient && merge([], ofClient)
    this.#ofRoles = roles.map(toToolLimits)
    this.#general = toToolLimits(general)
  }

  /** Limits of one tool alone; undefined: none. */
  ofTool (name: string): CallLimits | undefined {
    const spellings = toNameSpellings(name)
    const find = (rules: readonly ToolLimits[]) =>
      rules.find(({ patterns }) => patterns.findMatchOfAny(spellings) !== undefined)?.limits
    return merge(this.#ofRoles.flatMap(rules => find(rules) ?? []), find(this.#general))
  }

  /** Whether nothing is limited. */
  get isEmpty (): boolean {
    const tools = [...this.#general, ...this.#ofRoles.flat()]
    return this.all === undefined && this.ofClient === undefined && tools.length === 0
  }
}

function toToolLimits ({ tools = {} }: LimitRules): ToolLimits[] {
  return Object.entries(tools).map(([pattern, limits]) =>
    ({ patterns: new Patterns([pattern], undefined, true), limits }))
}

function merge (own: readonly CallLimits[], general: CallLimits = {}): CallLimits | undefined {
  const merged: CallLimits = {}
  for (const kind of KINDS) {
    const named = own.flatMap(limits => limits[kind] ?? [])
    const limit = named.length > 0 ? Math.max(...named) : general[kind]
    if (limit !== undefined) merged[kind] = limit
  }
  return Object.keys(merged).length > 0 ? merged : undefined
}
