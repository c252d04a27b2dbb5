import type { FastifyRequest } from 'fastify'
import { AccessDeniedError } from '../../errors.js'
import { canonicalOrigin } from '../../validation/authorities.js'

/**
 * Refuses a form that another site made a person's browser send (CSRF).
 * @throws {AccessDeniedError}
 */
export function checkSameOriginForm ({ headers: { origin } }: FastifyRequest, issuer: string): void {
  const own = new URL(issuer).origin
  if (origin !== undefined && origin !== own && canonicalOrigin(origin) !== canonicalOrigin(own)) {
    throw new AccessDeniedError('This form was not sent from a page of this server.', { detail: `Origin ${origin}` })
  }
}
