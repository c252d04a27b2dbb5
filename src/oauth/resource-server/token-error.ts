import { errors as jose } from 'jose'
import {
  InvalidTokenError,
  OAuthError,
  OperatorNeededError,
  passesIn,
  TemporarilyUnavailableError
} from '../../errors.js'
import type { Outage } from '../../errors/outage.js'
import { upstreamError } from '../upstream/upstream-errors.js'

const RETRY_SECONDS = 5
const UNVERIFIED = 'The access token cannot be verified just now.'
// invalid keys or invalid JSON: the issuer's fault
const FAULTS_OF_THE_ISSUER = ['ERR_JOSE_GENERIC', 'ERR_JWKS_INVALID']

/** What a failed verification means for the client: the token is invalid, or nobody can say now whether it is. */
export function toTokenError (error: unknown): OAuthError {
  if (error instanceof OAuthError) return error
  if (error instanceof jose.JWKSTimeout) return unverified('passing', error.message, error)
  if (error instanceof jose.JOSEError && !FAULTS_OF_THE_ISSUER.includes(error.code)) {
    return new InvalidTokenError('The access token is invalid, has expired, or is for another resource.', {
      detail: error.message,
      cause: error
    })
  }
  // else its keys or its introspection response cannot be used, or it refuses our client
  const failure = upstreamError(error)
  const isPassing = failure instanceof TemporarilyUnavailableError && !(failure instanceof OperatorNeededError)
  return unverified(isPassing ? 'passing' : 'lasting', failure.detail ?? failure.message, error)
}

/** The token may be valid: its issuer has an outage. */
export function unverified (outage: Outage, detail: string, cause?: unknown): TemporarilyUnavailableError {
  return outage === 'passing'
    ? new TemporarilyUnavailableError(...passesIn(RETRY_SECONDS, UNVERIFIED, { detail, cause }))
    : new OperatorNeededError('Access tokens cannot be verified.', { detail, cause })
}
