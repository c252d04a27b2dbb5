import type { FastifyRequest } from 'fastify'
import { AccessDeniedError } from '../../errors.js'

/**
 * Refuses a form that another site has a person's browser post (CSRF).
 * @throws {AccessDeniedError}
 */
export function checkSameOriginForm ({ headers: { origin } }: FastifyRequest, issuer: string): void {
  if (origin !== undefined && origin !== new URL(issuer).origin) {
    throw new AccessDeniedError('This form was not sent by our page.', { detail: `Origin ${origin}` })
  }
}
