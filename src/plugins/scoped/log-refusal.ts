import type { FastifyBaseLogger } from 'fastify'
import { OperatorNeededError, type ServiceError } from '../../errors.js'

/** Logs why a request was refused, as an error if only the operator can help. */
export function logRefusal (log: FastifyBaseLogger, error: ServiceError, text: string): void {
  const fields = { code: error.code, detail: error.detail }
  if (error instanceof OperatorNeededError) log.error(fields, text)
  else log.info(fields, text)
}
