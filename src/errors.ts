import { oneLine } from './displayed-text.js'
import { jsonRpcCodes } from './json-rpc-codes.js'

/**
 * Every error class and code of this service; docs/errors.md lists them all (a test compares the two).
 * The `message` is public: clients get it. The `detail` is private: it is only logged.
 */

/** Why a step of a login failed, if its `code` is not enough. For operators: it is never sent. */
export type FailureReason =
  | 'unknown_client'
  | 'wrong_client_secret'
  | 'redirect_uri_mismatch'
  | 'login_over'
  | 'other_browser'
  | 'denied_by_person'
  | 'denied_by_service'
  | 'denied_upstream'
  | 'upstream_unreachable'
  | 'upstream_refused_scopes'
  | 'upstream_refused_client'
  | 'upstream_refused_code'
  | 'upstream_answer_unusable'
  | 'document_gone'
  | 'document_unreachable'
  | 'unknown_code'
  | 'code_of_another_client'
  | 'code_used_twice'
  | 'refresh_token_used_twice'
  | 'wrong_verifier'
  | 'other_resource'

interface ErrorOptionsWithDetail extends ErrorOptions {
  /** The reason in full, for the log only. */
  detail?: string
  reason?: FailureReason
  /** Seconds after which trying again makes sense (`Retry-After`). */
  retryAfterSeconds?: number
}

/** An error whose message may be shown to the other side. */
export abstract class ServiceError extends Error {
  abstract readonly code: string
  abstract readonly statusCode: number
  readonly detail: string | undefined
  readonly reason: FailureReason | undefined
  readonly retryAfterSeconds: number | undefined

  constructor (message: string, options: ErrorOptionsWithDetail = {}) {
    super(message, options)
    this.name = new.target.name
    // it may contain text of others: the login server, a client, any caller
    this.detail = options.detail === undefined ? undefined : oneLine(options.detail)
    this.reason = options.reason
    this.retryAfterSeconds = options.retryAfterSeconds
  }
}

/** A configuration that cannot be used: stops the start with one line. */
export class ConfigError extends ServiceError {
  readonly code = 'config_invalid'
  readonly statusCode = 500
}

/** An error of the OAuth endpoints: `{"error": code, "error_description": message}` (RFC 6749 5.2). */
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
/** RFC 6749 5.2: the code or refresh token is unknown, expired, used, revoked, or somebody else's. */
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
/** RFC 6749 4.1.2.1: something failed that neither the client nor the person can fix. */
export class UpstreamError extends OAuthError {
  readonly code = 'server_error'
  override readonly statusCode = 502
}
/** RFC 6749 4.1.2.1: the upstream or the store cannot be reached at the moment. */
export class TemporarilyUnavailableError extends OAuthError {
  readonly code = 'temporarily_unavailable'
  override readonly statusCode = 503
}
/** This process is overloaded. Also at MCP endpoints, before the request is read. */
export class OverloadedError extends TemporarilyUnavailableError { override readonly code = 'temporarily_unavailable' }
/** RFC 8707 2: the resource is not ours. */
export class InvalidTargetError extends OAuthError { readonly code = 'invalid_target' }
/** RFC 7591 3.2.2. */
export class InvalidRedirectUriError extends OAuthError { readonly code = 'invalid_redirect_uri' }
/** RFC 7591 3.2.2. */
export class InvalidClientMetadataError extends OAuthError { readonly code = 'invalid_client_metadata' }
/** Too many requests of one address, client or person (RFC 6585 4). */
export class RateLimitedError extends OAuthError {
  readonly code = 'rate_limited'
  override readonly statusCode = 429
}
/** RFC 6750 3.1: the bearer token is unknown, expired, revoked or for another resource. */
export class InvalidTokenError extends OAuthError {
  readonly code = 'invalid_token'
  override readonly statusCode = 401
}
/** RFC 6750 3.1: the token lacks scopes; `requiredScopes` names those to ask for. */
export class InsufficientScopeError extends OAuthError {
  readonly code = 'insufficient_scope'
  override readonly statusCode = 403
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

interface McpErrorOptions extends ErrorOptionsWithDetail {
  /** Id of the request that the error responds to. Default: unknown. */
  requestId?: string | number
}

/** An error of the MCP endpoints: an HTTP status and a JSON-RPC error. */
export abstract class McpRequestError extends ServiceError {
  /** The JSON-RPC 2.0 error code in the body. */
  readonly jsonRpcCode: number = jsonRpcCodes.serverError
  /** Of the request that it responds to; null if unknown. */
  readonly requestId: string | number | null

  constructor (message: string, options: McpErrorOptions = {}) {
    super(message, options)
    this.requestId = options.requestId ?? null
  }
}
/** JSON-RPC 2.0: the body is not valid JSON. */
export class ParseError extends McpRequestError {
  readonly code = 'parse_error'
  readonly statusCode = 400
  override readonly jsonRpcCode = jsonRpcCodes.parseError
}
/** JSON-RPC 2.0: the body is JSON, but not a message that is accepted here. */
export class InvalidMessageError extends McpRequestError {
  readonly code = 'invalid_message'
  readonly statusCode = 400
  override readonly jsonRpcCode = jsonRpcCodes.invalidRequest
}
/** JSON-RPC 2.0: the parameters are not what the method takes; the message names the members. */
export class InvalidParamsError extends McpRequestError {
  readonly code = 'invalid_params'
  readonly statusCode = 400
  override readonly jsonRpcCode = jsonRpcCodes.invalidParams
}
/** JSON-RPC 2.0: the parameters of `initialize` are not what MCP asks for. */
export class InvalidInitializeError extends McpRequestError {
  readonly code = 'invalid_initialize'
  readonly statusCode = 400
  override readonly jsonRpcCode = jsonRpcCodes.invalidParams
}
/** A request that needs a session came without a session id (MCP 2025-11-25 Transports, Session Management). */
export class SessionIdRequiredError extends McpRequestError {
  readonly code = 'session_id_required'
  readonly statusCode = 400
}
/** The session is unknown, has ended, or is somebody else's: the client starts a new one (MCP 2025-11-25, as above). */
export class SessionNotFoundError extends McpRequestError {
  readonly code = 'session_not_found'
  readonly statusCode = 404
  override readonly jsonRpcCode = jsonRpcCodes.sessionNotFound
}
/** `MCP-Protocol-Version` names a revision that is not served here. */
export class UnsupportedProtocolVersionError extends McpRequestError {
  readonly code = 'unsupported_protocol_version'
  readonly statusCode = 400
}
/** `Last-Event-ID` was not sent by this service. */
export class InvalidEventIdError extends McpRequestError {
  readonly code = 'invalid_event_id'
  readonly statusCode = 400
}
/** `Accept` excludes a type that the response may have. */
export class NotAcceptableError extends McpRequestError {
  readonly code = 'not_acceptable'
  readonly statusCode = 406
}
/** The body is not declared as JSON. */
export class UnsupportedMediaTypeError extends McpRequestError {
  readonly code = 'unsupported_media_type'
  readonly statusCode = 415
}
/** The body is larger than the limit. */
export class BodyTooLargeError extends McpRequestError {
  readonly code = 'body_too_large'
  readonly statusCode = 413
}
/** The endpoint does not take this verb; `Allow` names those it takes. */
export class MethodNotAllowedError extends McpRequestError {
  readonly code = 'method_not_allowed'
  readonly statusCode = 405
}
/** `Origin` or `Host` is not one that may call (DNS rebinding, MCP 2025-11-25 Transports, Security Warning). */
export class ForbiddenOriginError extends McpRequestError {
  readonly code = 'forbidden_origin'
  readonly statusCode = 403
}
/** Names of the limits, in refusals. */
export type LimitName =
  | 'requests_in_flight' | 'tool_calls' | 'instances' | 'streams' | 'subscriptions' | 'subscription_bytes' | 'uri_bytes'
  | 'open_responses' | 'request_bytes' | 'sessions'

interface LimitErrorOptions extends ErrorOptionsWithDetail {
  limit: LimitName
  /** Milliseconds after which trying again makes sense; absent if it never does. */
  retryAfterMs?: number
}

/** A request that a limit has refused before anything ran. Its JSON-RPC error has `data: { limit, retryAfterMs }`. */
export abstract class LimitError extends McpRequestError {
  readonly limit: LimitName
  readonly retryAfterMs: number | undefined

  constructor (message: string, { limit, retryAfterMs, ...options }: LimitErrorOptions) {
    super(message, {
      ...options,
      ...retryAfterMs !== undefined && { retryAfterSeconds: Math.ceil(retryAfterMs / 1000) }
    })
    this.limit = limit
    this.retryAfterMs = retryAfterMs
  }
}
/** A person holds, or asks for, more of something than one person may (RFC 6585 4). */
export class TooManyRequestsError extends LimitError {
  readonly code = 'too_many_requests'
  readonly statusCode = 429
}
/** This process has no room for what the request needs, for any caller. */
export class ServerFullError extends LimitError {
  readonly code = 'server_full'
  readonly statusCode = 503
}
/** There is no room for another session. */
export class SessionsFullError extends LimitError {
  readonly code = 'sessions_full'
  readonly statusCode = 503

  constructor (message: string, options: ErrorOptionsWithDetail & { retryAfterMs?: number } = {}) {
    super(message, { ...options, limit: 'sessions' })
  }
}
/** The process is closing: the client tries again, and reaches another. */
export class ShuttingDownError extends McpRequestError {
  readonly code = 'shutting_down'
  readonly statusCode = 503
}
