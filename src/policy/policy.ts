import { isAnonymous, type CallerInfo } from '../caller.js'
import { Access, PRIMITIVE_KINDS, PrimitiveSet, type HeldRole, type Primitive } from './access.js'
import { CallerLimits } from './caller-limits.js'
import { matchesClient, type JudgedClient } from './clients.js'
import { findClaimNames, matchAll, matchPerson, type Claims, type MatchOptions } from './people.js'
import type { LimitRules, PeopleRule, PolicyRules } from './rules.js'

/**
 * Whether somebody may log in, or stay logged in. `why` is for operators.
 * @example
 * ```ts
 * import { Policy, type LoginDecision } from 'fastify-mcp-oauth'
 *
 * const policy = new Policy({ login: { groups: ['staff'] } })
 * export const decision: LoginDecision = policy.decideLogin({ sub: 'alice', groups: ['staff'] }, ['mcp'])
 * ```
 */
export type LoginDecision =
  /** `scopes`: those that they may have, of those they asked for. */
  | { allow: true, roles: readonly string[], scopes: readonly string[], why: string }
  | { allow: false, why: string }

interface Role extends HeldRole {
  people: PeopleRule
  limits: LimitRules | undefined
}

interface Compiled {
  rules: PolicyRules
  /** All must hold. */
  login: readonly PeopleRule[]
  roles: readonly Role[] | undefined
  scoped: ReadonlyMap<string, PrimitiveSet>
  publicSet: PrimitiveSet
  claimNames: ReadonlySet<string>
  /** By claims, which are one object for as long as a token is known. */
  rolesOf: WeakMap<Claims, readonly Role[]>
  /** By callers, which are one object for as long as a token is known. */
  accesses: WeakMap<object, Access>
  /** By callers. */
  decisions: WeakMap<object, LoginDecision>
  /** Whether anybody's calls are limited. */
  limitsCalls: boolean
  /** By claims. */
  limits: WeakMap<Claims, CallerLimits>
}

const NOBODY = {}

const subjectClaims = new WeakMap<object, Claims>()

/**
 * Who may log in, use what, and how much: nothing else decides it. The broker asks at each login and refresh,
 * the transports at each list and call. The rules may be replaced while it is in use.
 * @example
 * ```ts
 * import { Policy } from 'fastify-mcp-oauth'
 *
 * export const policy = new Policy({ login: { emailDomains: ['example.com'] } })
 * ```
 */
export class Policy {
  #compiled: Compiled
  readonly #listeners = new Set<() => void>()

  constructor (rules: PolicyRules) {
    this.#compiled = compile(rules)
  }

  /** The rules that are in force. */
  get rules (): PolicyRules {
    return this.#compiled.rules
  }

  /** Puts other rules in force, at once for every caller. */
  replace (rules: PolicyRules): void {
    this.#compiled = compile(rules)
    for (const listener of this.#listeners) listener()
  }

  /** Calls a function after each `replace`. @returns what ends that */
  onReplaced (listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => { this.#listeners.delete(listener) }
  }

  /** Whether there is a rule about who may log in: if not, nobody has to be asked about. */
  get hasLoginRules (): boolean {
    const { login, roles } = this.#compiled
    return login.length > 0 || roles !== undefined
  }

  /** Whether a rule about who may log in needs more than the subject, which never changes. */
  get needsClaims (): boolean {
    return this.claimNames.size > 0
  }

  /** The names of the claims that the rules about people look at, besides the subject. */
  get claimNames (): ReadonlySet<string> {
    return this.#compiled.claimNames
  }

  /** Whether anything may be used without a login. */
  get hasPublic (): boolean {
    return PRIMITIVE_KINDS.some(kind => this.#compiled.publicSet.namesAny(kind))
  }

  /** Whether something may be used without a login, or needs scopes: clients should be told which. */
  get tellsApart (): boolean {
    return this.hasPublic || this.#compiled.scoped.size > 0
  }

  /** Whether a person may log in, or stay logged in at a refresh, and with which scopes. */
  decideLogin (claims: Claims, requestedScopes: readonly string[]): LoginDecision {
    const { login, roles } = this.#compiled
    const match = matchAll(login, claims, this.#options)
    if (!match.holds) return { allow: false, why: `login.${match.why}` }
    if (roles === undefined) return { allow: true, roles: [], scopes: requestedScopes, why: `login.${match.why}` }
    const held = this.#rolesOf(claims)
    if (held.length === 0) return { allow: false, why: 'roles: the person has none' }
    const access = new Access({ ...this.#compiled, roles: held, scopes: [] })
    return {
      allow: true,
      roles: access.roles,
      scopes: requestedScopes.filter(scope => access.mayHave(scope)),
      why: `roles: ${access.roles.join(', ')}`
    }
  }

  /** Whether a client may be used. */
  allowsClient (client: JudgedClient): boolean {
    const { allowed } = this.rules.clients ?? {}
    return allowed === undefined || matchesClient(allowed, client)
  }

  /** Whether somebody may call whose token others have issued. */
  decideCaller (caller: Pick<CallerInfo, 'scopes' | 'extra'>): LoginDecision {
    const { decisions } = this.#compiled
    let decision = decisions.get(caller)
    if (decision === undefined) decisions.set(caller, decision = this.decideLogin(claimsOf(caller), caller.scopes))
    return decision
  }

  /** What a caller may use. @param asking undefined, or an anonymous caller: nobody has logged in */
  accessOf (asking: Pick<CallerInfo, 'scopes' | 'extra'> | undefined): Access {
    const { roles, accesses } = this.#compiled
    const caller = asking === undefined || isAnonymous(asking.extra) ? undefined : asking
    let access = accesses.get(caller ?? NOBODY)
    if (access === undefined) {
      const held = caller === undefined ? roles : roles && this.#rolesOf(claimsOf(caller))
      access = new Access({ ...this.#compiled, roles: held, scopes: caller?.scopes })
      accesses.set(caller ?? NOBODY, access)
    }
    return access
  }

  /** Whether anybody may know of it: all, unless roles or what is public say who may use what; then what is public. */
  isShownToAll (primitive: Primitive): boolean {
    const { roles, public: open } = this.rules
    return (roles === undefined && open === undefined) || this.accessOf(undefined).judge(primitive).kind === 'allowed'
  }

  /** How much a caller may call, in all and of each tool; undefined: there is no limit. */
  limitsOf (caller: Pick<CallerInfo, 'extra'>): CallerLimits | undefined {
    const { rules, limitsCalls, limits } = this.#compiled
    if (!limitsCalls) return undefined
    const claims = claimsOf(caller)
    let known = limits.get(claims)
    if (known === undefined) {
      const roles = isAnonymous(caller.extra) ? [] : this.#rolesOf(claims)
      const own = roles.flatMap(role => role.limits ?? [])
      known = new CallerLimits(own, rules.limits, rules.clientLimits)
      limits.set(claims, known)
    }
    return known.isEmpty ? undefined : known
  }

  get #options (): MatchOptions {
    return { trustEmails: this.#compiled.rules.trustEmails ?? false }
  }

  #rolesOf (claims: Claims): readonly Role[] {
    const { roles = [], rolesOf } = this.#compiled
    let held = rolesOf.get(claims)
    if (held === undefined) {
      held = roles.filter(({ people }) => matchPerson(people, claims, this.#options).holds)
      rolesOf.set(claims, held)
    }
    return held
  }
}

/** The claims of a caller, as one object for as long as its token is known. */
function claimsOf ({ extra }: Pick<CallerInfo, 'extra'>): Claims {
  let claims = subjectClaims.get(extra)
  if (claims === undefined) subjectClaims.set(extra, claims = { ...extra.claims, sub: extra.subject })
  return claims
}

function compile (rules: PolicyRules): Compiled {
  const login = [rules.login ?? []].flat()
  const people = [...login, ...Object.values(rules.roles ?? {}).map(({ people = {} }) => people)]
  return {
    rules,
    login,
    claimNames: new Set(people.flatMap(rule => findClaimNames(rule, { trustEmails: rules.trustEmails ?? false }))),
    roles: rules.roles && Object.entries(rules.roles).map(([name, { people = {}, scopes, limits, ...patterns }]) => ({
      name,
      people,
      limits,
      scopes: scopes && new Set(scopes),
      primitives: new PrimitiveSet(patterns)
    })),
    scoped: new Map(
      Object.entries(rules.scopes ?? {}).map(([scope, patterns]) => [scope, new PrimitiveSet(patterns, true)])
    ),
    publicSet: new PrimitiveSet(rules.public ?? {}),
    rolesOf: new WeakMap(),
    accesses: new WeakMap(),
    decisions: new WeakMap(),
    limitsCalls: rules.limits !== undefined || rules.clientLimits !== undefined ||
      Object.values(rules.roles ?? {}).some(({ limits }) => limits !== undefined),
    limits: new WeakMap()
  }
}
