import type { AuthInfo } from '@modelcontextprotocol/server'

/**
 * Who makes a request, as established from its bearer token.
 * The SDK's `AuthInfo` (what tools receive) with the identity that sessions are bound to.
 * `expiresAt` is epoch seconds; `resource` is the RFC 8707 resource the token was issued for.
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
  }
}

/** Names a person: who issued the subject, and the subject; whatever client, session, era or mode they come by. */
export function personKey ({ issuer, subject }: Pick<CallerInfo['extra'], 'issuer' | 'subject'>): string {
  return JSON.stringify([issuer, subject])
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

/** Whether a caller is this owner. Compares without making keys: it runs at every request of a session. */
export function isOwner (caller: CallerInfo, { issuer, subject, clientId }: Owner): boolean {
  return caller.extra.subject === subject && caller.clientId === clientId && caller.extra.issuer === issuer
}

/**
 * Establishes the caller of a request from its bearer token; at once where it can, as every request waits for it.
 * @param request that it came with; `ip` is where from, as `TRUST_PROXY` has it
 * @throws {InvalidTokenError} for a token that is unknown, expired, revoked or meant for another resource.
 * @throws {TemporarilyUnavailableError} when the token cannot be checked right now.
 */
export type VerifyAccessToken = (token: string, request?: { readonly ip: string }) => CallerInfo | Promise<CallerInfo>
/** A person, as the login server names them. */
export interface Person {
  issuer: string
  subject: string
  /** What to call them. */
  name?: string
}
