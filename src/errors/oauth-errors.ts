import { ServiceError, type ErrorOptionsWithDetail } from './service-error.js'

/**
 * An error of the OAuth endpoints: `{"error": code, "error_description": message}` (RFC 6749 5.2).
 * @example
 * ```ts
 * import Fastify from 'fastify'
 * import { OAuthError } from 'fastify-mcp-oauth'
 *
 * const app = Fastify({ logger: true })
 * app.addHook('onError', async (request, _reply, error) => {
 *   if (error instanceof OAuthError) request.log.warn({ error: error.code, reason: error.reason }, 'a login failed')
 * })
 * ```
 */
export abstract class OAuthError extends ServiceError {
  readonly statusCode: number = 400
}

/** RFC 6749 5.2: a parameter is missing, unknown, repeated or malformed. */
export class InvalidRequestError extends OAuthError { readonly code = 'invalid_request' }
/** A request to an OAuth endpoint that is larger than any can be (RFC 9110 15.5.14). */
export class PayloadTooLargeError extends OAuthError {
  readonly code = 'invalid_request'
  override readonly statusCode = 413
}
/** The body of a request is compressed, or encoded otherwise (RFC 9110 15.5.16). */
export class EncodedBodyError extends OAuthError {
  readonly code = 'invalid_request'
  override readonly statusCode = 415
}
/** The endpoint does not take this method (RFC 9110 15.5.6); `Allow` names those it takes. */
export class WrongMethodError extends OAuthError {
  readonly code = 'invalid_request'
  override readonly statusCode = 405
}
/** RFC 6749 5.2: client authentication failed, or the client is unknown. */
export class InvalidClientError extends OAuthError {
  readonly code = 'invalid_client'
  override readonly statusCode = 401
}
/**
 * RFC 6749 5.2: the code or refresh token is unknown, expired, used, revoked, or somebody else's. From
 * `getUpstreamAccessToken`: the login upstream has ended.
 * @example
 * ```ts
 * import { InvalidGrantError, type Broker, type CallerInfo } from 'fastify-mcp-oauth'
 *
 * // The person's access token at the login server; undefined if they have to log in again.
 * export async function findToken (broker: Broker, caller: CallerInfo): Promise<string | undefined> {
 *   return await broker.getUpstreamAccessToken(caller).catch((error: unknown) => {
 *     if (error instanceof InvalidGrantError) return undefined
 *     throw error
 *   })
 * }
 * ```
 */
export class InvalidGrantError extends OAuthError { readonly code = 'invalid_grant' }
/** RFC 6749 5.2: the client may not use this grant type. */
export class UnauthorizedClientError extends OAuthError { readonly code = 'unauthorized_client' }
/** RFC 6749 5.2. */
export class UnsupportedGrantTypeError extends OAuthError { readonly code = 'unsupported_grant_type' }
/** RFC 6749 4.1.2.1. */
export class UnsupportedResponseTypeError extends OAuthError { readonly code = 'unsupported_response_type' }
/** RFC 6749 5.2: the scope is unknown, or more than was granted. */
export class InvalidScopeError extends OAuthError { readonly code = 'invalid_scope' }
/** RFC 6749 4.1.2.1: the person, or the upstream, said no. */
export class AccessDeniedError extends OAuthError {
  readonly code = 'access_denied'
  override readonly statusCode = 403
}
/** OpenID Connect Core 3.1.2.6: the person must log in, and the client allows no page (`prompt=none`). */
export class LoginRequiredError extends OAuthError { readonly code = 'login_required' }
/** OpenID Connect Core 3.1.2.6: the person must be asked for their consent, likewise. */
export class ConsentRequiredError extends OAuthError { readonly code = 'consent_required' }
/** OpenID Connect Core 3.1.2.6: the login server must show the person something, likewise. */
export class InteractionRequiredError extends OAuthError { readonly code = 'interaction_required' }
/** OpenID Connect Core 3.1.2.6: the person must choose an account, likewise. */
export class AccountSelectionRequiredError extends OAuthError { readonly code = 'account_selection_required' }
/**
 * RFC 6749 4.1.2.1: something failed that neither the client nor the person can fix, such as a response of the upstream
 * that cannot be used.
 * @example
 * ```ts
 * import { UpstreamError, type BrokerObserver } from 'fastify-mcp-oauth'
 *
 * export const reportUpstream: BrokerObserver = ({ error }) => {
 *   if (error instanceof UpstreamError) console.error('The login server:', error.message, error.detail)
 * }
 * ```
 */
export class UpstreamError extends OAuthError {
  readonly code = 'server_error'
  override readonly statusCode = 502
}
/**
 * RFC 6749 4.1.2.1: the upstream or the store cannot be reached at the moment.
 * @example
 * ```ts
 * import { TemporarilyUnavailableError } from 'fastify-mcp-oauth'
 *
 * // For verifyAccessToken: the client is asked to try again, and keeps its token.
 * export async function lookUp (token: string): Promise<Response> {
 *   return await fetch('https://users.example.com/tokens/' + encodeURIComponent(token)).catch((error: Error) => {
 *     const options = { detail: error.message, retryAfterSeconds: 5 }
 *     throw new TemporarilyUnavailableError('Logins cannot be checked at the moment.', options)
 *   })
 * }
 * ```
 */
export class TemporarilyUnavailableError extends OAuthError {
  readonly code = 'temporarily_unavailable'
  override readonly statusCode = 503
}
/**
 * Something that this service needs fails, and will until its operator acts: 503 without `Retry-After`, and a line in
 * the log at level error. Else like an outage: it costs nobody their login.
 */
export class OperatorNeededError extends TemporarilyUnavailableError {
  override readonly code = 'temporarily_unavailable'

  constructor (message: string, options: Omit<ErrorOptionsWithDetail, 'retryAfterSeconds'> = {}) {
    super(`${message} The operator of this service has to look into it.`, options)
  }
}
/** This process is overloaded. Also at MCP endpoints, before the request is read. */
export class OverloadedError extends TemporarilyUnavailableError { override readonly code = 'temporarily_unavailable' }
/** RFC 8707 2: the resource is not ours. */
export class InvalidTargetError extends OAuthError { readonly code = 'invalid_target' }
/** RFC 7591 3.2.2. */
export class InvalidRedirectUriError extends OAuthError { readonly code = 'invalid_redirect_uri' }
/** RFC 7591 3.2.2. */
export class InvalidClientMetadataError extends OAuthError { readonly code = 'invalid_client_metadata' }
/**
 * Too many requests of one address, client or person (RFC 6585 4).
 * @example
 * ```ts
 * import { RateLimitedError } from 'fastify-mcp-oauth'
 *
 * const misses = new Map<string, number>()
 *
 * // For verifyAccessToken: called if a token is unknown.
 * export function countMiss (ip: string): void {
 *   const count = (misses.get(ip) ?? 0) + 1
 *   misses.set(ip, count)
 *   if (count > 100) throw new RateLimitedError('Too many unknown tokens. Try again later.', { retryAfterSeconds: 60 })
 * }
 * ```
 */
export class RateLimitedError extends OAuthError {
  readonly code = 'rate_limited'
  override readonly statusCode = 429
}
/**
 * RFC 6750 3.1: the bearer token is unknown, expired, revoked or for another resource.
 * @example
 * ```ts
 * import { InvalidTokenError } from 'fastify-mcp-oauth'
 *
 * // For verifyAccessToken. The client gets the message; the detail is only logged.
 * export function assertCurrent (expiresAt: number): void {
 *   if (expiresAt * 1000 > Date.now()) return
 *   throw new InvalidTokenError('The access token has expired.', { detail: 'expired at ' + expiresAt })
 * }
 * ```
 */
export class InvalidTokenError extends OAuthError {
  readonly code = 'invalid_token'
  override readonly statusCode = 401
}
/**
 * A request without a token asks for what is not public. Its challenge has no error code (RFC 6750 3.1), and names
 * `requiredScopes` besides the base scope.
 * @example
 * ```ts
 * import { TokenRequiredError, type CallerInfo } from 'fastify-mcp-oauth'
 *
 * export function assertSomebody ({ extra }: CallerInfo): void {
 *   if (extra.anonymous === true) throw new TokenRequiredError(['notes:read'])
 * }
 * ```
 */
export class TokenRequiredError extends InvalidTokenError {
  override readonly code = 'invalid_token'
  /** The scopes that the call needs. */
  readonly requiredScopes: readonly string[]

  constructor (requiredScopes: readonly string[] = [], options: ErrorOptionsWithDetail = {}) {
    super('This needs a login.', options)
    this.requiredScopes = requiredScopes
  }
}
/**
 * RFC 6750 3.1: the token lacks scopes; `requiredScopes` names those to ask for.
 * @example
 * ```ts
 * import { InsufficientScopeError, type CallerInfo } from 'fastify-mcp-oauth'
 *
 * // For verifyAccessToken: every call needs one of these scopes.
 * export function assertReader ({ scopes }: CallerInfo): void {
 *   if (scopes.includes('notes:read') || scopes.includes('notes:write')) return
 *   throw new InsufficientScopeError(['notes:read'])
 * }
 * ```
 */
export class InsufficientScopeError extends OAuthError {
  readonly code = 'insufficient_scope'
  override readonly statusCode = 403
  /** The scopes that the call needs. */
  readonly requiredScopes: readonly string[]

  /** @param options `description` replaces the usual text, in the characters of RFC 6750 3 */
  constructor (
    requiredScopes: readonly string[],
    { description, ...options }: ErrorOptionsWithDetail & { description?: string } = {}
  ) {
    super(description ?? 'The access token lacks scopes that this call needs.', options)
    this.requiredScopes = requiredScopes
  }
}
