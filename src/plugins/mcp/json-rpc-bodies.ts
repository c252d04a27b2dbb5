import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import {
  BodyTooLargeError,
  InsufficientScopeError,
  InvalidMessageError,
  LimitError,
  TokenRequiredError,
  McpRequestError,
  ParseError,
  ServiceError,
  UnsupportedMediaTypeError
} from '../../errors.js'
import { isAnonymous } from '../../caller.js'
import type { AuthChallenge } from '../../mcp/options.js'
import type { RequestOutcome } from '../../mcp/observer.js'
import { limitData } from '../../mcp/transport/refusal-responses.js'
import { errorText, refusalText, withoutNullParams } from '../../mcp/wire/messages.js'
import { isTooDeep, MAX_JSON_DEPTH } from '../../mcp/wire/json-depth.js'
import { joinRepeated } from '../../mcp/wire/repeated-headers.js'
import { sendChallenge } from './auth-challenges.js'
import { rethrowForeign } from '../scoped/foreign-errors.js'
import { anonymousBodyTooLarge, MAX_ANONYMOUS_BODY_BYTES } from '../scoped/body-limits.js'
import { plainBodies } from '../scoped/content-encoding.js'
import { logRefusal } from '../scoped/log-refusal.js'
import { plainJson } from '../scoped/plain-json.js'
import { jsonRpcCodes } from '../../json-rpc-codes.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** Length of the body that was parsed. */
    bodyBytes: number
    /** How the MCP requests in it have ended so far: see `InboundHttp`. */
    mcpOutcome?: RequestOutcome | 'refused' | null
    /** The session that it belongs to, once that was found to be the caller's. */
    mcpSessionId?: string | null
  }
}

export interface McpErrorsOptions {
  /** Largest body in bytes. */
  maxBodyBytes: number
  /** How a call learns that it lacks a login, or scopes. Default: `auto`. */
  authChallenge?: AuthChallenge | undefined
}

/**
 * JSON in, and JSON-RPC errors out, for the routes of the context it is registered in. Its parser takes an empty body
 * (clients send `content-type: application/json` with a bodyless DELETE); every fault of a client is a 4xx. A header
 * that came twice with the same value counts once.
 */
export const mcpErrors = fp<McpErrorsOptions>(async (app, { maxBodyBytes, authChallenge = 'auto' }) => {
  app.decorateRequest('bodyBytes', 0)
  app.decorateRequest('mcpOutcome', null)
  app.decorateRequest('mcpSessionId', null)
  const parseJson = app.getDefaultJsonParser('remove', 'ignore')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'string', bodyLimit: maxBodyBytes },
    (request, body, done) => {
      request.bodyBytes = Buffer.byteLength(body)
      const text = body.toString()
      const refusal = findRefusal(request, text)
      if (text.length > 0 && refusal === undefined) {
        return parseJson(request, text, (error, parsed) => { done(error, withoutNullParams(parsed)) })
      }
      done(refusal ?? null, undefined)
      return undefined
    }
  )

  app.addHook('onRequest', ({ headers, raw }, _reply, done) => {
    joinRepeated(headers, raw.rawHeaders)
    done()
  })
  await app.register(plainBodies, { refuse: text => new UnsupportedMediaTypeError(`Unsupported Media Type: ${text}`) })
  await app.register(plainJson)
  app.setErrorHandler((error: FastifyError, request, reply) => {
    if (error instanceof TokenRequiredError || error instanceof InsufficientScopeError) {
      return sendChallenge(error, request, reply, authChallenge)
    }
    return answerError(error, request, reply)
  })
}, { name: 'fastify-mcp-oauth/mcp-errors', fastify: '5.x' })

function findRefusal ({ authInfo, bodyBytes }: FastifyRequest, text: string): ServiceError | undefined {
  if (authInfo !== null && isAnonymous(authInfo.extra) && bodyBytes > MAX_ANONYMOUS_BODY_BYTES) {
    return anonymousBodyTooLarge()
  }
  return isTooDeep(text)
    ? new InvalidMessageError(`Invalid Request: the body is nested deeper than ${MAX_JSON_DEPTH} levels.`)
    : undefined
}

function answerError (error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  rethrowForeign(error)
  const known = known4xx(error)
  if (known === undefined) {
    request.log.error({ err: error }, 'an MCP request failed')
    return reply.code(500).header('content-type', 'application/json; charset=utf-8').send(
      errorText(jsonRpcCodes.internalError, `Internal error (request id ${request.id})`)
    )
  }
  logRefusal(request, known, known.message)
  if (known.retryAfterSeconds !== undefined) reply.header('retry-after', known.retryAfterSeconds)
  const text = known instanceof LimitError
    ? refusalText(request.body, known.jsonRpcCode, known.message, limitData(known))
    : errorText(toJsonRpcCode(known), known.message, known instanceof McpRequestError ? known.requestId : null)
  return reply.code(known.statusCode).header('content-type', 'application/json; charset=utf-8').send(text)
}

function toJsonRpcCode (error: ServiceError): number {
  return error instanceof McpRequestError ? error.jsonRpcCode : jsonRpcCodes.serverError
}

/** What an error says to the client; undefined if it is our own fault. */
function known4xx (error: FastifyError): ServiceError | undefined {
  if (error instanceof ServiceError) return error
  switch (error.code) {
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new UnsupportedMediaTypeError('Unsupported Media Type: Content-Type must be application/json.')
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new BodyTooLargeError('Payload Too Large: the body exceeds the limit of this server.')
    case 'FST_ERR_CTP_INVALID_JSON_BODY':
      return new ParseError('Parse error: invalid JSON.')
  }
  const status = error.statusCode ?? 500
  return status >= 400 && status < 500
    ? new InvalidMessageError('Invalid Request: the request could not be read.', { detail: error.message })
    : undefined
}
