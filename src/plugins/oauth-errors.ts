import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { UpstreamError } from '../errors.js'
import { rethrowForeign } from './foreign-errors.js'
import { oauthErrorOf } from './oauth-bodies.js'

/** Errors of this context's endpoints as OAuth JSON (RFC 6749 5.2), never cached. */
export const oauthErrors = fp(async app => {
  app.setErrorHandler((error: FastifyError, request, reply) => answerError(error, request, reply))
}, { name: 'oauth-errors', fastify: '5.x' })

function answerError (error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  rethrowForeign(error)
  const known = oauthErrorOf(error)
  if (known === undefined) request.log.error({ err: error }, 'an OAuth request failed')
  else request.log.info({ code: known.code, detail: known.detail }, `OAuth request refused: ${known.message}`)
  const { code, message } = known ?? new UpstreamError('Something went wrong on our side.')
  if (known?.retryAfterSeconds !== undefined) reply.header('retry-after', known.retryAfterSeconds)
  // RFC 6749 5.2: who tried to authenticate with a header is challenged by it
  if (known?.statusCode === 401 && request.headers.authorization !== undefined) reply.header('www-authenticate', 'Basic realm="OAuth"')
  return reply.code(known?.statusCode ?? 500).header('cache-control', 'no-store').send({ error: code, error_description: message })
}
