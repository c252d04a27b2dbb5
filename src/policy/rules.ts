/**
 * Which people a rule is about, by what the login server says of them. Of `emails`, `emailDomains` and `subjects`, one
 * must hold; `groups` and `claims` must hold besides. A rule that names nothing is about everybody.
 * @example
 * ```ts
 * import type { PeopleRule } from 'fastify-mcp-oauth'
 *
 * export const staff: PeopleRule = { emailDomains: ['example.com'], groups: ['mcp-users'] }
 * ```
 */
export interface PeopleRule {
  /** Addresses, in any case. They count only if the login server has verified them (`email_verified`). */
  emails?: readonly string[]
  /** Domains of addresses, in any case, as Unicode or in Punycode; without subdomains. Verified, as `emails`. */
  emailDomains?: readonly string[]
  /** Subjects, exactly as the login server writes them. */
  subjects?: readonly string[]
  /** Groups, exactly; one of them is enough. */
  groups?: readonly string[]
  /** Claims that must be so, all of them. */
  claims?: readonly ClaimRule[]
}

/**
 * One claim, by its name or, inside an object, its path with dots (`realm_access.roles`).
 * @example
 * ```ts
 * import type { ClaimRule } from 'fastify-mcp-oauth'
 *
 * export const rules: ClaimRule[] = [
 *   { claim: 'hd', is: 'example.com' },
 *   { claim: 'realm_access.roles', contains: 'mcp' }
 * ]
 * ```
 */
export type ClaimRule =
  /** The claim has exactly this value. */
  | { claim: string, is: string | number | boolean }
  /** The claim is a list that contains this value, or a text of words separated by spaces, one of which is this. */
  | { claim: string, contains: string }

/**
 * Tools, prompts and resources, by name or pattern: `*` stands for any characters, and a `!` before a pattern takes
 * back what those before it name, in whatever spelling. Resources are named by URI, or by the URI template under which
 * they are listed.
 * @example
 * ```ts
 * import type { PrimitivePatterns } from 'fastify-mcp-oauth'
 *
 * export const readers: PrimitivePatterns = { tools: ['notes_*', '!notes_delete'], resources: ['note://*'] }
 * ```
 */
export interface PrimitivePatterns {
  /** By name. */
  tools?: readonly string[]
  /** By URI, or by the URI template under which they are listed. */
  resources?: readonly string[]
  /** By name. */
  prompts?: readonly string[]
}

/**
 * What people with a role may do: the tools, resources and prompts that it names, and no others. Who has several roles
 * may do what any of them allows.
 * @example
 * ```ts
 * import type { RoleRules } from 'fastify-mcp-oauth'
 *
 * export const editors: RoleRules = { people: { groups: ['editors'] }, scopes: ['mcp', 'notes:write'], tools: ['*'] }
 * ```
 */
export interface RoleRules extends PrimitivePatterns {
  /** Who has the role. Absent: everybody who may log in. */
  people?: PeopleRule
  /** Scopes that they may have. Absent: all. */
  scopes?: readonly string[]
  /** How much they may use it: each limit that it names counts instead of that which is said for all. */
  limits?: LimitRules
}

/**
 * How much one person may use the service. 0: nothing; absent: no limit.
 * @example
 * ```ts
 * import type { LimitRules } from 'fastify-mcp-oauth'
 *
 * export const limits: LimitRules = {
 *   callsPerMinute: 120,
 *   tools: { 'report_*': { callsPerDay: 20, concurrentCalls: 1 } }
 * }
 * ```
 */
export interface LimitRules extends CallLimits {
  /** By name or pattern of the tool: limits of each tool alone. The first pattern that fits counts. */
  tools?: Readonly<Record<string, CallLimits>>
}

/**
 * Limits of calls. A call is a `tools/call`, a `resources/read` or a `prompts/get`.
 * @example
 * ```ts
 * import type { CallLimits } from 'fastify-mcp-oauth'
 *
 * export const limits: CallLimits = { callsPerMinute: 60, callsPerDay: 1000, concurrentCalls: 4 }
 * ```
 */
export interface CallLimits {
  /** A token bucket that holds a minute's calls, and fills evenly. */
  callsPerMinute?: number
  /** From midnight to midnight UTC. */
  callsPerDay?: number
  /** At one time, on all replicas. */
  concurrentCalls?: number
}

/**
 * Which clients may be used.
 * @example
 * ```ts
 * import type { ClientRules } from 'fastify-mcp-oauth'
 *
 * export const clients: ClientRules = { registration: 'open', allowed: ['claude.ai', '*.example.com', 'cursor:'] }
 * ```
 */
export interface ClientRules {
  /**
   * Which clients may register (RFC 7591): all; those with an initial access token (`initialAccessTokens`); none.
   * Default: `open`.
   */
  registration?: 'open' | 'token' | 'off'
  /**
   * Clients by id; by the host of their metadata document; or by where their redirect URIs lead: a host
   * (`app.example.com`, `*.example.com` for all names under a domain), a program on the person's machine (`loopback`),
   * or an app by its scheme (`cursor:`). Absent: all.
   */
  allowed?: readonly string[]
}

/**
 * Who may do what here: the contents of a policy file, or the same in code (`policy` of `mcpService`).
 * @example
 * ```ts
 * import type { PolicyRules } from 'fastify-mcp-oauth'
 *
 * export const policy: PolicyRules = {
 *   login: { emailDomains: ['example.com'] },
 *   roles: {
 *     reader: { tools: ['list_*', 'get_*'] },
 *     editor: { people: { groups: ['editors'] }, tools: ['*'] }
 *   },
 *   scopes: { 'notes:write': { tools: ['delete_*'] } },
 *   public: { tools: ['search'] }
 * }
 * ```
 */
export interface PolicyRules {
  /** Who may log in; of several rules, all must hold. Absent: everybody whom the login server lets in. */
  login?: PeopleRule | readonly PeopleRule[]
  /** Which clients may be used. Absent: all. */
  clients?: ClientRules
  /** Whether an address counts as verified although the login server does not say so. Default: false. */
  trustEmails?: boolean
  /** What people may do, by the name of a role. Absent: everybody may do everything. Nobody logs in without a role. */
  roles?: Readonly<Record<string, RoleRules>>
  /** What needs a scope, by scope. What several name needs all of them. */
  scopes?: Readonly<Record<string, PrimitivePatterns>>
  /** What may be listed and used without logging in. */
  public?: PrimitivePatterns
  /**
   * The response to a call of something that the person may not use: that there is no such thing, or 403. Default:
   * `unknown`.
   */
  refusal?: 'unknown' | 'forbidden'
  /** How much one person may use the service. Of what roles limit, the highest number counts instead. */
  limits?: LimitRules
  /** How much one client may use it, for all of its people together. */
  clientLimits?: CallLimits
}
