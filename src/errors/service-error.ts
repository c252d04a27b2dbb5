import { oneLine } from '../displayed-text.js'

/**
 * Why a step of a login failed, if its `code` is not enough. For operators: it is never sent.
 * @example
 * ```ts
 * import { ServiceError, type FailureReason } from 'fastify-mcp-oauth'
 *
 * const alarming = new Set<FailureReason | undefined>(['refresh_token_used_twice', 'upstream_refused_client'])
 *
 * export function isAlarming (error: unknown): boolean {
 *   return error instanceof ServiceError && alarming.has(error.reason)
 * }
 * ```
 */
export type FailureReason =
  | 'unknown_client'
  | 'wrong_client_secret'
  | 'missing_client_assertion'
  | 'invalid_client_assertion'
  | 'client_assertion_used_twice'
  | 'client_keys_unusable'
  | 'client_keys_unreachable'
  | 'redirect_uri_mismatch'
  | 'login_over'
  | 'other_browser'
  | 'denied_by_person'
  | 'denied_by_service'
  | 'denied_by_policy'
  | 'client_not_allowed'
  | 'registration_refused'
  | 'denied_upstream'
  | 'tenant_not_allowed'
  | 'tenant_unknown'
  | 'upstream_unreachable'
  | 'upstream_needs_operator'
  | 'upstream_refused_scopes'
  | 'upstream_refused_client'
  | 'upstream_refused_code'
  | 'upstream_login_ended'
  | 'upstream_answer_unusable'
  | 'callback_unusable'
  | 'document_gone'
  | 'document_unreachable'
  | 'document_unusable'
  | 'documents_off'
  | 'unknown_code'
  | 'code_of_another_client'
  | 'code_used_twice'
  | 'refresh_token_used_twice'
  | 'wrong_verifier'
  | 'other_resource'

export interface ErrorOptionsWithDetail extends ErrorOptions {
  /** The reason in full, for the log only. */
  detail?: string
  reason?: FailureReason
  /** Seconds after which trying again makes sense (`Retry-After`). */
  retryAfterSeconds?: number
}

/**
 * An error whose `message` may be shown to the other side; its `detail` is for the log only. `code` names its kind
 * (docs/errors.md), `statusCode` is the HTTP status. With `retryAfterSeconds`, trying again later makes sense
 * (`Retry-After`, RFC 9110 10.2.3).
 * @example
 * ```ts
 * import Fastify from 'fastify'
 * import { ServiceError } from 'fastify-mcp-oauth'
 *
 * const app = Fastify({ logger: true })
 * app.addHook('onError', async (request, _reply, error) => {
 *   if (error instanceof ServiceError) request.log.warn({ code: error.code, detail: error.detail }, error.message)
 * })
 * ```
 */
export abstract class ServiceError extends Error {
  /** Names the kind of error: a member of the response. */
  abstract readonly code: string
  /** Of the HTTP response. */
  abstract readonly statusCode: number
  /** The reason in full, in one line, for the log only. */
  readonly detail: string | undefined
  /** Why a step of a login failed, if `code` is not enough; for operators only. */
  readonly reason: FailureReason | undefined
  /** Seconds after which trying again makes sense (`Retry-After`). */
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

/**
 * A configuration that cannot be used: stops the start. Its message is one line that names the option, its value
 * (unless it is a secret), and what is allowed.
 * @example
 * ```ts
 * import Fastify from 'fastify'
 * import { ConfigError, mcpService } from 'fastify-mcp-oauth'
 * import { options } from './options.js'
 *
 * try {
 *   await Fastify().register(mcpService, options)
 * } catch (error) {
 *   if (!(error instanceof ConfigError)) throw error
 *   console.error(error.message)
 *   process.exitCode = 1
 * }
 * ```
 */
export class ConfigError extends ServiceError {
  readonly code = 'config_invalid'
  readonly statusCode = 500
}
