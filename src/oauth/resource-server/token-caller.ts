import type { CallerInfo } from '../../caller.js'
import { InvalidTokenError } from '../../errors.js'
import { splitScopes } from '../scopes.js'
import { toSubject } from '../upstream/subject.js'
import type { TokenClaims } from './token-kind.js'

// RFC 9068; OpenID Connect (Keycloak, Auth0, Entra 2.0); Entra 1.0; Okta
const CLIENT_CLAIMS = ['client_id', 'azp', 'appid', 'cid']

/**
 * Who bears a token.
 * @throws {InvalidTokenError} if it does not name its subject
 */
export function toCaller (token: string, claims: TokenClaims & { exp?: number }, issuer: string): CallerInfo {
  const { sub, exp, scope, scp } = claims
  const subject = toSubject(sub)
  if (subject === undefined) {
    throw new InvalidTokenError('The access token does not name its subject.', {
      detail: `its sub is ${JSON.stringify(sub)?.slice(0, 100)}`
    })
  }
  return {
    token,
    clientId: findClientId(claims),
    scopes: toScopes(hasText(scope) ? scope : scp),
    ...exp !== undefined && { expiresAt: exp },
    extra: { issuer, subject, claims: { ...claims } }
  }
}

/** The client that a token was issued to; empty if it says none. */
export function findClientId (claims: TokenClaims): string {
  return CLIENT_CLAIMS.map(name => claims[name]).filter(id => typeof id === 'string').find(id => id !== '') ?? ''
}

function hasText (claim: unknown): boolean {
  return claim !== undefined && claim !== null && claim !== ''
}

/** One text with spaces, or a list: `scope` (RFC 9068, RFC 8693), `scp` (Entra and Okta). */
function toScopes (claim: unknown): string[] {
  return splitScopes([claim].flat().filter(scope => typeof scope === 'string').join(' '))
}
