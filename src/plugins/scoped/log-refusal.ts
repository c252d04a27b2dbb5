import type { FastifyRequest } from 'fastify'
import { OperatorNeededError, type FailureReason, type ServiceError } from '../../errors.js'
import { auditRefusal } from './audited.js'

/** The login server refuses this service, or gives it what cannot be used: as long as that lasts, nobody can log in. */
const FOR_OPERATORS: ReadonlySet<FailureReason | undefined> = new Set<FailureReason>([
  'upstream_needs_operator',
  'upstream_refused_client',
  'upstream_refused_scopes',
  'upstream_answer_unusable',
  'tenant_unknown'
])

/** Logs why a request was refused, as an error if only the operator can help; the record of refusals gets it, too. */
export function logRefusal (request: FastifyRequest, error: ServiceError, text: string): void {
  const { log } = request
  auditRefusal(request, error)
  const { code, reason, detail } = error
  const fields = { code, ...reason !== undefined && { reason }, detail }
  if (error instanceof OperatorNeededError || FOR_OPERATORS.has(reason)) log.error(fields, text)
  else log.info(fields, text)
}
