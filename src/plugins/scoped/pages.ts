import { createHash } from 'node:crypto'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { errorPage } from '../../pages/consent.js'
import { STYLE, type Page } from '../../pages/layout.js'
import { rethrowForeign } from './foreign-errors.js'
import { logRefusal } from './log-refusal.js'
import { toOAuthError } from './oauth-error.js'

declare module 'fastify' {
  interface FastifyReply {
    /** Sends a page for people. */
    sendPage (page: Page): FastifyReply
  }
}

const hashSource = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`
const STYLE_SOURCE = hashSource(STYLE)

/** Pages for people: `reply.sendPage`, and errors of this context as pages with an id that the log has. */
export const pages = fp(async app => {
  app.decorateReply('sendPage', function (page) {
    return this.headers({
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      // no form-action: Chromium applies it to the redirects that follow the form, too
      'content-security-policy': [
        "default-src 'none'",
        `style-src ${STYLE_SOURCE}`,
        "img-src 'none'",
        ...page.script === undefined ? [] : [`script-src ${hashSource(page.script)}`],
        "base-uri 'none'",
        "frame-ancestors 'none'"
      ].join('; '),
      'x-frame-options': 'DENY',
      // a page that opened this one in a window can neither see where it goes nor navigate it
      'cross-origin-opener-policy': 'same-origin',
      'x-content-type-options': 'nosniff',
      // no-referrer would make the browser post our own form with `Origin: null`
      'referrer-policy': 'same-origin'
    }).send(page.html)
  })
  app.setErrorHandler((error: FastifyError, request, reply) => answerError(error, request, reply))
}, { name: 'fastify-mcp-oauth/pages', fastify: '5.x' })

function answerError (error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  rethrowForeign(error)
  const known = toOAuthError(error)
  if (known === undefined) request.log.error({ err: error }, 'a page failed')
  else logRefusal(request, known, `page refused: ${known.message}`)
  if (known?.retryAfterSeconds !== undefined) reply.header('retry-after', known.retryAfterSeconds)
  // a page for people carries no challenge: 401 is for clients
  const status = known === undefined ? 500 : known.statusCode === 401 ? 400 : known.statusCode
  return reply.code(status).sendPage(
    errorPage(known ?? { code: 'server_error', message: 'Something went wrong on our side.' }, request.id)
  )
}
