import type { FastifyRequest } from 'fastify'
import { AccessDeniedError } from '../../errors.js'

/**
 * Refuses a form that another site made a person's browser send (CSRF).
 * @throws {AccessDeniedError}
 */
export function checkSameOriginForm ({ headers: { origin } }: FastifyRequest, issuer: string): void {
  if (origin !== undefined && origin !== new URL(issuer).origin) {
    throw new AccessDeniedError('This form was not sent from a page of this server.', { detail: `Origin ${origin}` })
  }
}
