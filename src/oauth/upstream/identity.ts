import { AccessDeniedError } from '../../errors.js'
import { toSubject } from './subject.js'
import { unusable } from './upstream-errors.js'

/** Who logged in. */
export interface Identity {
  issuer: string
  /** Absent if the upstream does not say. */
  subject?: string
  claims: Record<string, unknown>
}

/** What the upstream says about who logged in. */
interface Told {
  issuer: string
  /** By its userinfo endpoint, or the one that was configured. */
  userinfo: Record<string, unknown>
  idToken: Record<string, unknown> | undefined
  /** The claim that names the person. */
  subjectClaim: string
}

// claims about the ID token, not about the person
const PROTOCOL_CLAIMS = new Set([
  'iss',
  'aud',
  'azp',
  'exp',
  'iat',
  'nbf',
  'jti',
  'nonce',
  'at_hash',
  'c_hash',
  's_hash',
  'sid',
  'auth_time'
])

/**
 * Who logged in, according to the upstream.
 * @throws {AccessDeniedError} if it does not identify the person @throws {UpstreamError} if it contradicts itself
 */
export function readIdentity ({ issuer, userinfo, idToken, subjectClaim }: Told): Identity {
  // OpenID Connect Core 5.3.2: userinfo of another person must not be used
  if (idToken?.sub !== undefined && userinfo.sub !== undefined && userinfo.sub !== idToken.sub) {
    throw unusable('the userinfo has another sub than the ID token')
  }
  const claims = { ...userinfo, ...idToken }
  const subject = claims[subjectClaim]
  const known = toSubject(subject)
  // without an identity, each login is a new person; an identity that can name nobody is refused
  if (known === undefined && (subjectClaim !== 'sub' || subject !== undefined)) {
    const why = subject === undefined ? 'is missing' : `cannot be a subject: ${JSON.stringify(subject).slice(0, 100)}`
    throw new AccessDeniedError('The login server did not say who you are.', {
      detail: `the claim ${subjectClaim} ${why}`
    })
  }
  return {
    issuer,
    ...known !== undefined && { subject: known },
    claims: {
      ...Object.fromEntries(Object.entries(claims).filter(([name]) => !PROTOCOL_CLAIMS.has(name))),
      ...known !== undefined && { sub: known }
    }
  }
}

/**
 * Refuses an ID token that was issued to another client (OpenID Connect Core 3.1.3.7), whatever its audiences.
 * @throws {UpstreamError}
 */
export function checkAuthorizedParty (idToken: Readonly<Record<string, unknown>> | undefined, clientId: string): void {
  if (idToken?.azp !== undefined && idToken.azp !== clientId) {
    throw unusable(`the azp of the ID token is ${JSON.stringify(idToken.azp).slice(0, 100)}`)
  }
}
