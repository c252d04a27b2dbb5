import {
  InsufficientScopeError,
  LimitError,
  TokenRequiredError,
  McpRequestError,
  ServerFullError,
  ServiceError,
  ShuttingDownError,
  TooManyRequestsError
} from '../../errors.js'
import { jsonRpcCodes } from '../../json-rpc-codes.js'
import type { PostRefusal } from '../../stores/bus.js'
import { limitData } from '../transport/refusal-responses.js'

/** Code of the refusals of a process that ends: it takes nothing more, and has not processed what it refuses. */
export const SHUTTING_DOWN = new ShuttingDownError('').code

/** An error with which another replica has refused a post. */
class RefusedElsewhere extends McpRequestError {
  readonly code: string
  readonly statusCode: number
  override readonly jsonRpcCode: number

  constructor ({ message, code, statusCode, jsonRpcCode, requestId, retryAfterSeconds }: PostRefusal) {
    super(message, {
      ...requestId !== undefined && requestId !== null && { requestId },
      ...retryAfterSeconds !== undefined && { retryAfterSeconds }
    })
    this.code = code
    this.statusCode = statusCode
    this.jsonRpcCode = jsonRpcCode
  }
}

/** What another replica needs to respond with an error. @returns undefined if the error is our own fault */
export function toRefusal (error: unknown): PostRefusal | undefined {
  if (!(error instanceof ServiceError)) return undefined
  const { code, statusCode, message, retryAfterSeconds } = error
  return {
    code,
    statusCode,
    message,
    jsonRpcCode: error instanceof McpRequestError ? error.jsonRpcCode : jsonRpcCodes.serverError,
    ...error instanceof McpRequestError && { requestId: error.requestId },
    ...retryAfterSeconds !== undefined && { retryAfterSeconds },
    ...error instanceof LimitError && limitData(error),
    ...(error instanceof InsufficientScopeError || error instanceof TokenRequiredError) && {
      requiredScopes: error.requiredScopes
    }
  }
}

/** The error that a refusal stands for, as far as a response shows it. */
export function toError (refusal: PostRefusal): Error {
  const { statusCode, message, limit, retryAfterMs, requiredScopes } = refusal
  if (requiredScopes !== undefined && statusCode === 401) return new TokenRequiredError(requiredScopes)
  if (requiredScopes !== undefined) return new InsufficientScopeError(requiredScopes, { description: message })
  if (limit === undefined) return new RefusedElsewhere(refusal)
  const options = { limit, ...retryAfterMs !== undefined && { retryAfterMs } }
  return statusCode === 429 ? new TooManyRequestsError(message, options) : new ServerFullError(message, options)
}
