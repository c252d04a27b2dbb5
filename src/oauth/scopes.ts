import { InvalidScopeError } from '../errors.js'

/** Our own scopes, unless the options name others. */
export const DEFAULT_SCOPES = ['mcp'] as const

/** Scopes of OpenID Connect: we ask the upstream for them. */
export const OPENID_SCOPES = ['openid', 'profile', 'email', 'offline_access'] as const

// clients request them out of habit, or copy them from OpenID metadata; they have no meaning here
const IGNORED: ReadonlySet<string> = new Set(OPENID_SCOPES)

/** The scopes of a `scope` parameter (RFC 6749 3.3). */
export function splitScopes (scope: string | undefined): string[] {
  return [...new Set((scope ?? '').split(' ').filter(name => name !== ''))]
}

/**
 * The scopes that a client asks for, of those there are. What is unknown is left out while something known remains.
 * @throws {InvalidScopeError} if no known scope is requested
 */
export function requestedScopes (scope: string | undefined, supported: readonly [string, ...string[]]): string[] {
  const asked = splitScopes(scope)
  const known = asked.filter(name => supported.includes(name))
  if (known.length > 0) return known
  if (asked.every(name => IGNORED.has(name))) return [supported[0]]
  throw new InvalidScopeError(`None of the requested scopes is known. Known scopes: ${supported.join(' ')}.`)
}

/**
 * The scopes of a refreshed access token: all that were granted, or fewer (RFC 6749 6).
 * @throws {InvalidScopeError} if others are requested
 */
export function narrowedScopes (scope: string | undefined, granted: readonly string[]): string[] {
  const asked = splitScopes(scope).filter(name => granted.includes(name) || !IGNORED.has(name))
  if (asked.length === 0) return [...granted]
  if (!asked.every(name => granted.includes(name))) {
    throw new InvalidScopeError('A refresh must not ask for more scopes than were granted.')
  }
  return asked
}

/** Those of some scopes of a grant that the person may have by now. */
export function permittedScopes (
  { permittedScopes }: { readonly permittedScopes?: readonly string[] },
  scopes: readonly string[]
): string[] {
  return permittedScopes === undefined ? [...scopes] : scopes.filter(scope => permittedScopes.includes(scope))
}
