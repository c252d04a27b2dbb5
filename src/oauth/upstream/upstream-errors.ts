import {
  AuthorizationResponseError,
  ClientError,
  ResponseBodyError,
  WWWAuthenticateChallengeError
} from 'openid-client'
import {
  AccessDeniedError,
  InvalidGrantError,
  OAuthError,
  OperatorNeededError,
  passesIn,
  TemporarilyUnavailableError,
  UpstreamError
} from '../../errors.js'
import { meansClient } from './token-response.js'
import { findOutageOfConnection, findOutageOfStatus, type Outage } from '../../errors/outage.js'

const RETRY_SECONDS = 5

/**
 * What an error of a call to the upstream means for our client. Only an outage is `temporarily_unavailable`; whether it
 * passes by itself is told apart.
 */
export function upstreamError (error: unknown): OAuthError {
  if (error instanceof OAuthError) return error
  // openid-client wraps what our own fetch throws
  if (error instanceof ClientError && error.cause instanceof OAuthError) return error.cause
  const detail = describe(error)
  if (error instanceof ResponseBodyError || error instanceof AuthorizationResponseError) {
    return toOAuthError(error.error, error instanceof ResponseBodyError ? error.status : 400, detail)
  }
  const outage = findOutage(error)
  if (outage !== undefined) return OUTAGES[outage](detail, error)
  if (findStatus(error) === 401) return refused(detail)
  return unusable(detail, error)
}

/** The upstream sent a response that must not be used. */
export function unusable (detail: string, cause?: unknown): UpstreamError {
  return new UpstreamError('The login server gave a response that cannot be used.', {
    detail,
    cause,
    reason: 'upstream_answer_unusable'
  })
}

/** Throws what an error of a call to the upstream means for our client. */
export function fail (error: unknown): never {
  throw upstreamError(error)
}

/** Throws what an error means that was found in what the browser brought, before the upstream was asked. */
export function failCallback (error: unknown): never {
  const meant = upstreamError(error)
  if (meant.reason !== 'upstream_answer_unusable') throw meant
  throw new UpstreamError(meant.message, {
    cause: meant,
    reason: 'callback_unusable',
    ...meant.detail !== undefined && { detail: meant.detail }
  })
}

/**
 * Throws what an error of a refresh means: whatever only the person can put right is `invalid_grant`, so that clients
 * send them to log in again. All others leave the grant alone.
 */
export function failRefresh (error: unknown): never {
  const meant = upstreamError(error)
  if (!(meant instanceof AccessDeniedError || meant instanceof InvalidGrantError)) throw meant
  throw new InvalidGrantError('The login at the login server has ended. Log in again.', {
    cause: meant,
    reason: 'upstream_login_ended',
    ...meant.detail !== undefined && { detail: meant.detail }
  })
}

/**
 * Throws what an error means of asking for the claims of a login that stands: that the upstream no longer accepts its
 * token is `invalid_grant`, as at a refresh.
 */
export function failReread (error: unknown): never {
  const meant = upstreamError(error)
  if (meant instanceof TemporarilyUnavailableError) throw meant
  const { detail = meant.message } = meant
  const response = findResponse(error)
  if (response !== undefined && isThrottled(response)) throw unreachable(detail, error)
  if (response === undefined || !isTokenRefused(response, error)) throw unusable(detail, error)
  throw new InvalidGrantError('The login at the login server has ended. Log in again.', {
    cause: error,
    reason: 'upstream_login_ended',
    detail
  })
}

/** GitHub's way, and that of others, to say that somebody asks too often. */
function isThrottled ({ status, headers }: Response): boolean {
  return status === 403 && (headers.has('retry-after') || headers.get('x-ratelimit-remaining') === '0')
}

/** Whether a token is no longer good; not if it has never been good for this. */
function isTokenRefused ({ status, headers }: Response, error: unknown): boolean {
  const code = error instanceof ResponseBodyError ? error.error : ''
  const said = `${code} ${headers.get('www-authenticate')}`
  return (status === 401 || status === 403 || /\binvalid_token\b/.test(said)) && !/\binsufficient_scope\b/.test(said)
}

/** Whether an error of a token request says that the upstream does not know our client, or not with its secret. */
export function refusesClient (error: unknown): boolean {
  return error instanceof ResponseBodyError && meansClient(error.status, error.error)
}

type Translation = (detail: string) => OAuthError

const denied: Translation = detail =>
  new AccessDeniedError('The login server refused, or the login was cancelled.', { detail, reason: 'denied_upstream' })
const ended: Translation = detail =>
  new InvalidGrantError('The login at the login server has ended.', { detail, reason: 'upstream_refused_code' })
const unreachable = (detail: string, cause?: unknown) =>
  new TemporarilyUnavailableError(
    ...passesIn(RETRY_SECONDS, 'The login server cannot be reached.', { detail, cause, reason: 'upstream_unreachable' })
  )
const OUTAGES: Record<Outage, (detail: string, cause?: unknown) => OAuthError> = {
  passing: unreachable,
  lasting: (detail, cause) =>
    new OperatorNeededError('The login server cannot be reached.', {
      detail,
      cause,
      reason: 'upstream_needs_operator'
    })
}

const refused: Translation = detail =>
  new UpstreamError('The login server refused this service.', { detail, reason: 'upstream_refused_client' })

const TRANSLATIONS: ReadonlyMap<string, Translation> = new Map([
  ['access_denied', denied],
  // OpenID Connect Core 3.1.2.6; Entra says the same of a refresh
  ['login_required', denied],
  ['consent_required', denied],
  ['interaction_required', denied],
  ['account_selection_required', denied],
  // OpenID Connect Unmet Authentication Requirements; RFC 9470; Auth0's; Google's, of a Workspace
  ['unmet_authentication_requirements', denied],
  ['insufficient_user_authentication', denied],
  ['mfa_required', denied],
  // LinkedIn's and Apple's, at the callback
  ['user_cancelled_login', denied],
  ['user_cancelled_authorize', denied],
  ['admin_policy_enforced', denied],
  ['invalid_grant', ended],
  // GitHub's
  ['bad_verification_code', ended],
  ['bad_refresh_token', ended],
  // of servers that have a code of their own for each kind of token
  ['invalid_refresh_token', ended],
  ['expired_token', ended],
  ['token_expired', ended],
  ['token_revoked', ended],
  // the client did not choose the scopes, and cannot change them
  ['invalid_scope', detail =>
    new UpstreamError('The login server refused the scopes that this service asks for.', {
      detail,
      reason: 'upstream_refused_scopes'
    })],
  ['temporarily_unavailable', unreachable]
])

/** What an OAuth error code of the upstream means for our client. */
function toOAuthError (code: string, status: number, detail: string): OAuthError {
  const outage = findOutageOfStatus(status)
  if (outage !== undefined) return OUTAGES[outage](detail)
  // Auth0 says access_denied of a wrong client secret, and 401 is about the client (RFC 6749 5.2)
  if (status === 401 && code === 'access_denied') return refused(detail)
  return (TRANSLATIONS.get(code) ?? refused)(detail)
}

/** How the upstream fails, if an error is an outage at all. */
function findOutage (error: unknown): Outage | undefined {
  const status = findStatus(error)
  if (status !== undefined) return findOutageOfStatus(status)
  // what fetch itself throws, and our own time limit
  if (
    (error instanceof ClientError && error.code === 'OAUTH_TIMEOUT') ||
    (error instanceof DOMException && error.name === 'TimeoutError')
  ) return 'passing'
  // undici: no connection, and one that was cut in the middle of the body
  if (error instanceof TypeError && (error.message === 'fetch failed' || error.message === 'terminated')) {
    return findOutageOfConnection(error.cause) ?? 'passing'
  }
  return error instanceof Error && error.cause !== undefined ? findOutage(error.cause) : undefined
}

function findStatus (error: unknown): number | undefined {
  return error instanceof ResponseBodyError ? undefined : findResponse(error)?.status
}

function findResponse (error: unknown): Response | undefined {
  if (error instanceof Response) return error
  if (error instanceof WWWAuthenticateChallengeError || error instanceof ResponseBodyError) return error.response
  return error instanceof ClientError && error.cause instanceof Response ? error.cause : undefined
}

function describe (error: unknown): string {
  if (error instanceof ResponseBodyError || error instanceof AuthorizationResponseError) {
    return `${error.error}: ${error.error_description ?? 'no description'}`
  }
  if (error instanceof Response) return `${error.url} responded with ${error.status}`
  if (!(error instanceof Error)) return String(error)
  const status = findStatus(error)
  const cause = error.cause instanceof Error ? `: ${describe(error.cause)}` : ''
  return `${error.message}${status === undefined ? '' : ` (HTTP ${status})`}${cause}`
}
