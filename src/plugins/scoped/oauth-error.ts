import type { FastifyError } from 'fastify'
import { OAuthError, PayloadTooLargeError, InvalidRequestError } from '../../errors.js'

/** An error in terms of OAuth; undefined if the fault is ours. */
export function toOAuthError (error: FastifyError): OAuthError | undefined {
  if (error instanceof OAuthError) return error
  const status = error.statusCode ?? 500
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new PayloadTooLargeError('The body is too large.')
  return status >= 400 && status < 500
    ? new InvalidRequestError('The request could not be read.', { detail: error.message })
    : undefined
}
