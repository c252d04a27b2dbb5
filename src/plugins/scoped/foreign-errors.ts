import type { FastifyError } from 'fastify'
import { ServiceError } from '../../errors.js'

/**
 * Throws what a hook of the app around has thrown (its rate limit, its own authentication): the error handler of that app
 * knows what to say. Left are errors of ours, those of reading a body, and bugs.
 */
export function rethrowForeign (error: FastifyError): void {
  if (
    error instanceof ServiceError || error.statusCode === undefined || error.code?.startsWith('FST_ERR_CTP_') === true
  ) return
  throw error
}
