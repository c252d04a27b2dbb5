import type { AuthInfo } from '@modelcontextprotocol/server'

/**
 * Who makes a request, as established from its bearer token.
 * The SDK's `AuthInfo` (what tools receive) with the identity that sessions are bound to.
 * `expiresAt` is epoch seconds; `resource` is the RFC 8707 resource the token was issued for.
 * @example
 * ```ts
 * import type { CallerInfo } from 'fastify-mcp-oauth'
 *
 * export const alice: CallerInfo = {
 *   token: 'token-of-alice',
 *   clientId: 'notes-app',
 *   scopes: ['notes:read'],
 *   expiresAt: 1798761600,
 *   extra: { issuer: 'https://login.example.com', subject: 'alice', claims: { email: 'alice@example.com' } }
 * }
 * ```
 */
export interface CallerInfo extends AuthInfo {
  extra: {
    /** Issuer of the subject: the upstream authorization server. */
    issuer: string
    /** The person, as the issuer names them. Unique per issuer only. */
    subject: string
    /** The grant (token family) behind the token; absent for tokens we did not issue. */
    grantId?: string
    /** Identity claims of the person that the upstream told us (`name`, `email`, …). */
    claims?: Record<string, unknown>
    /** Nobody has logged in: see `AnonymousCaller`. */
    anonymous?: true
  }
}

/**
 * Nobody: a request without a token, where the policy has something public. It has no scopes, and its subject is a
 * random one of its session (without sessions: of its request), so what a server keeps by subject is nobody else's.
 * @example
 * ```ts
 * import type { AnonymousCaller, CallerInfo } from 'fastify-mcp-oauth'
 *
 * export function isNobody (caller: CallerInfo): caller is AnonymousCaller {
 *   return caller.extra.anonymous === true
 * }
 * ```
 */
export interface AnonymousCaller extends CallerInfo {
  token: ''
  clientId: 'anonymous'
  scopes: []
  extra: CallerInfo['extra'] & { anonymous: true }
}

/** Issuers of anonymous callers begin so; a hash of an address follows and, in stores, which of several servers. */
export const ANONYMOUS_ISSUER = 'urn:fastify-mcp-oauth:anonymous:'
/** Keys of anonymous callers, by `personKey` or `limitKey`, begin so. */
export const ANONYMOUS_PERSON = JSON.stringify([ANONYMOUS_ISSUER]).slice(0, -2)

/** Ids of their sessions begin so, and those that a server sees of such callers without a session. */
export const ANONYMOUS_ID = 'anonymous.'

/** Whether a session, or a caller without one, is anonymous. @param id that this service has given out */
export function isAnonymousId (id: string): boolean {
  return id.startsWith(ANONYMOUS_ID)
}

/** Whether nobody has logged in. */
export function isAnonymous ({ issuer }: Pick<CallerInfo['extra'], 'issuer'>): boolean {
  return issuer.startsWith(ANONYMOUS_ISSUER)
}

/** Names a person: who issued the subject, and the subject; whatever client, session, era or mode they come by. */
export function personKey ({ issuer, subject }: Pick<CallerInfo['extra'], 'issuer' | 'subject'>): string {
  return JSON.stringify([issuer, subject])
}

/**
 * What limits count by: the person; of anonymous callers, the address that they come from.
 * @param person by `personKey`
 */
export function limitKey (person: string): string {
  if (!isAnonymousKey(person)) return person
  const end = person.indexOf('"', ANONYMOUS_PERSON.length)
  return end === -1 ? person : person.slice(0, end)
}

/** Whether a key, by `personKey` or `limitKey`, is of anonymous callers. */
export function isAnonymousKey (person: string): boolean {
  return person.startsWith(ANONYMOUS_PERSON)
}

/** Of everything, callers who have not logged in may hold half, all together: however many come, people have room. */
export function anonymousShare (inAll: number): number {
  return Math.max(1, Math.floor(inAll / 2))
}

/** Whose a session or a call is: a person's, by one client. */
export interface Owner {
  issuer: string
  subject: string
  clientId: string
}

export function toOwner ({ clientId, extra: { issuer, subject } }: CallerInfo): Owner {
  return { issuer, subject, clientId }
}

/** Names an owner; the same on every replica. */
export function ownerKey ({ issuer, subject, clientId }: Owner): string {
  return JSON.stringify([issuer, subject, clientId])
}

/**
 * Whether a caller is this owner. Compares without making keys: it runs at every request of a session. An anonymous one
 * may come from several addresses.
 */
export function isOwner ({ clientId: client, extra }: CallerInfo, { issuer, subject, clientId }: Owner): boolean {
  return extra.subject === subject && client === clientId &&
    (extra.issuer === issuer || (isAnonymous(extra) && isAnonymous({ issuer })))
}

/**
 * Establishes the caller of a request from its bearer token; at once if it can, because every request waits for it.
 * @param token as it came: nothing is verified yet
 * @param request that it came with; `ip` is the address that it came from, according to the app's `trustProxy`
 * @throws {InvalidTokenError} for a token that is unknown, expired, revoked or meant for another resource
 * @throws {TemporarilyUnavailableError} if the token cannot be checked right now
 * @example
 * ```ts
 * import { InvalidTokenError, type VerifyAccessToken } from 'fastify-mcp-oauth'
 *
 * const users = new Map([['token-of-alice', 'alice']])
 *
 * export const verifyAccessToken: VerifyAccessToken = token => {
 *   const subject = users.get(token)
 *   if (subject === undefined) throw new InvalidTokenError('The access token is unknown.')
 *   const extra = { issuer: 'https://login.example.com', subject }
 *   return { token, clientId: 'notes-app', scopes: ['mcp'], extra }
 * }
 * ```
 */
export type VerifyAccessToken = (token: string, request?: { readonly ip: string }) => CallerInfo | Promise<CallerInfo>
/** A person, as the login server names them. */
export interface Person {
  issuer: string
  subject: string
  /** What to call them. */
  name?: string
}
