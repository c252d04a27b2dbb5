import type { FastifyReply, FastifyRequest } from 'fastify'
import type { NextStep } from '../../oauth/authorize/next-step.js'
import { logRefusal } from '../../plugins/scoped/log-refusal.js'
import { consentPage, otherAccountPage, refusalPage, type ConsentPageOptions } from '../../pages/consent.js'
import { deniedPage } from '../../pages/denied.js'

export interface AuthorizeOptions {
  /** Our issuer. */
  issuer: string
  texts: ConsentPageOptions['texts']
}

/** Sends the browser to the next step of an authorization: a redirect or a page. */
export function sendNextStep (
  request: FastifyRequest,
  reply: FastifyReply,
  next: NextStep,
  { issuer, texts }: AuthorizeOptions
): FastifyReply {
  switch (next.kind) {
    case 'redirect':
      if (next.error !== undefined) logRefusal(request, next.error, `authorization failed: ${next.error.message}`)
      return reply.header('cache-control', 'no-store').redirect(next.url, request.method === 'POST' ? 303 : 302)
    case 'consent':
      return reply.sendPage(
        consentPage({
          request: next.request,
          action: `${issuer}/authorize/consent`,
          connections: `${issuer}/oauth/connections`,
          texts
        })
      )
    case 'denied':
      logRefusal(request, next.error, `login refused: ${next.error.message}`)
      return reply.code(next.error.statusCode).sendPage(
        deniedPage({
          message: next.error.message,
          person: next.person,
          url: next.url,
          action: `${issuer}/authorize/consent`,
          errorId: request.id
        })
      )
    case 'refusal':
      logRefusal(request, next.error, `authorization refused: ${next.error.message}`)
      return reply.code(next.error.statusCode === 503 ? 503 : 400).sendPage(
        refusalPage(next.error, next.url, request.id)
      )
    case 'other-account':
      logRefusal(request, next.error, `authorization failed: ${next.error.message}`)
      return reply.code(next.error.statusCode).sendPage(
        otherAccountPage(next, `${issuer}/authorize/consent`, request.id)
      )
  }
}
