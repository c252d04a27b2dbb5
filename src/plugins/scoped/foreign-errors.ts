import type { FastifyError } from 'fastify'
import { ServiceError } from '../../errors.js'

/**
 * Rethrows an error that a hook of the app around has thrown (its rate limit, its authentication), for that app's error
 * handler. Our errors, errors of reading a body, and bugs are left.
 */
export function rethrowForeign (error: FastifyError): void {
  if (
    error instanceof ServiceError || error.statusCode === undefined || error.code?.startsWith('FST_ERR_CTP_') === true
  ) return
  throw error
}
