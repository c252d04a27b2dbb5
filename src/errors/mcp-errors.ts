import { jsonRpcCodes } from '../json-rpc-codes.js'
import { ServiceError, type ErrorOptionsWithDetail } from './service-error.js'

interface McpErrorOptions extends ErrorOptionsWithDetail {
  /** Id of the request that the error responds to. Default: unknown. */
  requestId?: string | number
}

/**
 * An error of the MCP endpoints: an HTTP status and a JSON-RPC error.
 * @example
 * ```ts
 * import Fastify from 'fastify'
 * import { McpRequestError } from 'fastify-mcp-oauth'
 *
 * const app = Fastify({ logger: true })
 * app.addHook('onError', async (request, _reply, error) => {
 *   if (error instanceof McpRequestError) request.log.info({ code: error.code, requestId: error.requestId }, 'refused')
 * })
 * ```
 */
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
/** The hosted server did not begin: it cannot be reached, or responds to `initialize` with an error. */
export class InitializeFailedError extends McpRequestError {
  readonly code = 'initialize_failed'
  readonly statusCode = 502

  /** The same error, as the response to a request with this id. */
  inResponseTo (requestId: string | number): InitializeFailedError {
    const { message, retryAfterSeconds } = this
    const retry = retryAfterSeconds === undefined ? {} : { retryAfterSeconds }
    return new InitializeFailedError(message, { requestId, ...retry })
  }
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
/** The policy does not allow the call, and says so (`refusal: 'forbidden'`). */
export class ForbiddenCallError extends McpRequestError {
  readonly code = 'forbidden_call'
  readonly statusCode = 403
  override readonly jsonRpcCode = jsonRpcCodes.forbidden
  override readonly reason = 'denied_by_policy'
}
/**
 * Names of the limits, in refusals.
 * @example
 * ```ts
 * import type { LimitName, McpObserver } from 'fastify-mcp-oauth'
 *
 * export const refusals = new Map<LimitName, number>()
 *
 * export const mcpObserver: McpObserver = {
 *   refused: limit => { refusals.set(limit, (refusals.get(limit) ?? 0) + 1) }
 * }
 * ```
 */
export type LimitName =
  | 'requests_in_flight' | 'tool_calls' | 'instances' | 'streams' | 'subscriptions' | 'subscription_bytes' | 'uri_bytes'
  | 'open_responses' | 'request_bytes' | 'sessions' | 'calls_per_minute' | 'calls_per_day' | 'concurrent_calls'
  | 'hosted_processes'

interface LimitErrorOptions extends ErrorOptionsWithDetail {
  limit: LimitName
  /** Milliseconds after which trying again makes sense; absent if it never does. */
  retryAfterMs?: number
}

/** A request that a limit has refused before anything ran. Its JSON-RPC error has `data: { limit, retryAfterMs }`. */
export abstract class LimitError extends McpRequestError {
  /** Which limit it was. */
  readonly limit: LimitName
  /** Milliseconds after which trying again makes sense; undefined if it never does. */
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
/**
 * There is no room for another session.
 * @example
 * ```ts
 * import { SessionsFullError } from 'fastify-mcp-oauth'
 *
 * // For a store of sessions: the client gets 503, and may try again.
 * export function assertRoom (sessions: ReadonlyMap<string, unknown>): void {
 *   if (sessions.size < 10_000) return
 *   throw new SessionsFullError('This server has no room for another session now.', { retryAfterMs: 60_000 })
 * }
 * ```
 */
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
