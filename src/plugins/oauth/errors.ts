import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { InvalidTokenError, UpstreamError } from '../../errors.js'
import { rethrowForeign } from '../scoped/foreign-errors.js'
import { logRefusal } from '../scoped/log-refusal.js'
import { toOAuthError } from '../scoped/oauth-error.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** The client that has authenticated at this endpoint, for the log; undefined outside of the OAuth endpoints. */
    oauthClientId?: string | null
  }
}

/**
 * Errors of this context's endpoints as OAuth JSON (RFC 6749 5.2), never cached, with the id that the request has in
 * the log.
 */
export const oauthErrors = fp(async app => {
  app.decorateRequest('oauthClientId', null)
  app.setErrorHandler((error: FastifyError, request, reply) => answerError(error, request, reply))
}, { name: 'fastify-mcp-oauth/oauth-errors', fastify: '5.x' })

function answerError (error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  rethrowForeign(error)
  const known = toOAuthError(error)
  if (known === undefined) request.log.error({ err: error }, 'an OAuth request failed')
  else logRefusal(request, known, `OAuth request refused: ${known.message}`)
  const { code, message } = known ?? new UpstreamError('Something went wrong on our side.')
  if (known?.retryAfterSeconds !== undefined) reply.header('retry-after', known.retryAfterSeconds)
  if (known instanceof InvalidTokenError) {
    // RFC 6750 3: an error only if there was a token
    const said = request.headers.authorization === undefined ? 'realm="OAuth"' : 'error="invalid_token"'
    reply.header('www-authenticate', `Bearer ${said}`)
  } else if (
    // RFC 6749 5.2: a client that used the header to authenticate gets a challenge
    known?.statusCode === 401 && request.headers.authorization !== undefined
  ) {
    reply.header('www-authenticate', 'Basic realm="OAuth"')
  }
  return reply.code(known?.statusCode ?? 500).header('cache-control', 'no-store').send({
    error: code,
    error_description: message,
    request_id: request.id
  })
}
