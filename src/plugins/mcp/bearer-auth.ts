import type { FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { isAnonymous, type CallerInfo, type VerifyAccessToken } from '../../caller.js'
import { checkOptions } from '../../validation/check.js'
import {
  checked,
  functionSchema,
  listSchema,
  optional,
  optionSchemas,
  pluginObject,
  scope
} from '../../validation/schemas.js'
import { auditRefusal } from '../scoped/audited.js'
import { logRefusal } from '../scoped/log-refusal.js'
import { Policy } from '../../policy/policy.js'
import {
  AccessDeniedError,
  InsufficientScopeError,
  InvalidTokenError,
  OAuthError,
  TokenRequiredError
} from '../../errors.js'

/** The decorator of what the MCP endpoints need besides: their challenges come after the body is read. */
export const kChallenges: unique symbol = Symbol('fastify-mcp-oauth/challenges')

/** What a caller lacks for a call: a login, or scopes. */
export type LackingError = TokenRequiredError | InsufficientScopeError

export interface Challenges {
  /** The base scope. */
  readonly scopes: readonly string[]
  /** Sets who makes a request without a token. */
  setCaller (request: FastifyRequest, caller: CallerInfo | null): void
  /** Responds with HTTP 401 or 403 and `WWW-Authenticate` (RFC 6750 3). */
  refuse (reply: FastifyReply, error: LackingError): FastifyReply
  /** The value of `WWW-Authenticate` for a response that says it elsewhere; always with an error code. */
  describe (request: FastifyRequest, error: LackingError): string
}

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * `onRequest` hook that demands a bearer token (RFC 6750 2.1) and sets `request.authInfo`.
     * It runs before body parsing, so that an unparsable body still gets its 401 and challenge.
     */
    bearerAuth: onRequestHookHandler
    [kChallenges]: Challenges
  }
  interface FastifyRequest {
    /** Who makes this request; null where `bearerAuth` did not run. */
    authInfo: CallerInfo | null
  }
  interface FastifyReply {
    /**
     * Answers 403 `insufficient_scope` (RFC 6750 3.1) naming every scope the client should ask for:
     * those it has and those it lacks, so that a client that steps up loses none.
     * @param description what is said of it, in the characters of RFC 6750 3
     */
    sendInsufficientScope (requiredScopes: readonly string[], description?: string): FastifyReply
  }
}

/**
 * Options of the `bearerAuth` plugin.
 * @example
 * ```ts
 * import type { BearerAuthOptions } from 'fastify-mcp-oauth'
 * import { verifyAccessToken } from './tokens.js'
 *
 * export const options: BearerAuthOptions = {
 *   verifyAccessToken,
 *   resourceMetadataUrl: () => 'https://mcp.example.com/.well-known/oauth-protected-resource/mcp',
 *   scopes: ['mcp'],
 *   onRefused: (request, hadToken) => { request.log.info({ hadToken }, 'a caller was refused') }
 * }
 * ```
 */
export interface BearerAuthOptions {
  /** Establishes the caller from the token. */
  verifyAccessToken: VerifyAccessToken
  /** URL of the protected resource metadata (RFC 9728) that describes the resource asked for. */
  resourceMetadataUrl: (request: FastifyRequest) => string
  /** Scopes that every token must have, and that a client without any should ask for: the base scope. */
  scopes: readonly string[]
  /** What else a client without a token is told: is added to the description in the body. */
  findHint?: (request: FastifyRequest) => string | undefined
  /** Who may call at all, of those whom others have let log in. Default: everybody with a token. */
  policy?: Policy
  /** Called with every 401, and whether the request had a token. */
  onRefused?: (request: FastifyRequest, hadToken: boolean) => void
}

// RFC 6750 2.1 b64token; the scheme is case-insensitive (RFC 9110 11.1)
const BEARER = /^bearer +([A-Za-z0-9\-._~+/]+=*) *$/i
const NOT_ALLOWED = 'This account may not use this server. A new login with it does not help: ask the people who run ' +
  'this server.'
const BEARER_SCHEME = /^bearer(\s|$)/i

const optionsSchema = pluginObject(optionSchemas<BearerAuthOptions>()({
  verifyAccessToken: functionSchema<VerifyAccessToken>('a function: token => caller'),
  resourceMetadataUrl: functionSchema<BearerAuthOptions['resourceMetadataUrl']>('a function: request => URL'),
  scopes: listSchema(scope, 'a list of scopes, each once'),
  findHint: optional(functionSchema<NonNullable<BearerAuthOptions['findHint']>>('a function: request => text')),
  policy: optional(checked<Policy>({ takes: 'a Policy' }, value => value instanceof Policy)),
  onRefused: optional(functionSchema<NonNullable<BearerAuthOptions['onRefused']>>('a function that takes refusals'))
}))

/**
 * Bearer authentication (RFC 6750) for the MCP endpoints: `app.bearerAuth`, `request.authInfo`,
 * `reply.sendInsufficientScope()`.
 * @example
 * ```ts
 * import Fastify from 'fastify'
 * import { bearerAuth } from 'fastify-mcp-oauth'
 * import { verifyAccessToken } from './tokens.js'
 *
 * const app = Fastify()
 * await app.register(bearerAuth, {
 *   verifyAccessToken,
 *   resourceMetadataUrl: () => 'https://mcp.example.com/.well-known/oauth-protected-resource/mcp',
 *   scopes: ['mcp']
 * })
 * app.get('/me', { onRequest: app.bearerAuth }, async request => ({ subject: request.authInfo?.extra.subject }))
 * ```
 */
export const bearerAuth = fp<BearerAuthOptions>(async (app, options) => {
  checkOptions('bearerAuth', optionsSchema, options)
  const refuse = makeRefuse(options)
  const taken = app.hasRequestDecorator('authInfo')
  if (!taken) app.decorateRequest('authInfo', null)
  const setCaller = taken ? defineCaller : assignCaller

  const challenges = makeChallenges(options, refuse, setCaller)
  app.decorate(kChallenges, challenges)
  app.decorateReply('sendInsufficientScope', function (requiredScopes, description) {
    const error = new InsufficientScopeError(requiredScopes, description === undefined ? {} : { description })
    return challenges.refuse(this, error)
  })

  app.decorate('bearerAuth', (request, reply, done) => {
    if (taken) setCaller(request, null)
    const authorization = request.headers.authorization ?? ''
    const token = BEARER.exec(authorization)?.[1]
    if (token === undefined) {
      if (BEARER_SCHEME.test(authorization)) {
        refuse(reply, new InvalidTokenError('The bearer token is malformed.'), options.scopes)
      } else {
        const texts = ['This endpoint requires a bearer access token.', options.findHint?.(request)]
        refuse(reply, new InvalidTokenError(texts.filter(text => text !== undefined).join(' ')), options.scopes, false)
      }
      return
    }
    const admit = (caller: CallerInfo) => {
      if (isAnonymous(caller.extra)) {
        done(new Error('verifyAccessToken must not make a caller anonymous.'))
        return
      }
      setCaller(request, caller)
      const denial = findDenial(options.policy, caller)
      if (denial !== undefined) {
        logRefusal(request, denial, 'a caller was refused')
        refuse(reply, denial, [])
        return
      }
      const missing = options.scopes.filter(scope => !caller.scopes.includes(scope))
      if (missing.length > 0) reply.sendInsufficientScope(missing)
      else done()
    }
    const verified = verify(options, token, request)
    // without a promise where the token is known already: it would cost as much as the rest of this
    if (!isPending(verified)) {
      admit(verified)
      return
    }
    verified.then(admit, (error: Error) => {
      if (!(error instanceof OAuthError)) {
        done(error)
        return
      }
      logRefusal(request, error, 'access token refused')
      refuse(reply, error, options.scopes)
    })
  })
}, { name: 'fastify-mcp-oauth/bearer-auth', fastify: '5.x' })

type Refuse = (reply: FastifyReply, error: OAuthError, scopes: readonly string[], hadToken?: boolean) => FastifyReply

function makeRefuse (options: BearerAuthOptions): Refuse {
  return (reply, error, scopes, hadToken = true) => {
    if (error.statusCode === 401) options.onRefused?.(reply.request, hadToken)
    return sendRefusal(reply, error, () => [
      `resource_metadata="${options.resourceMetadataUrl(reply.request)}"`,
      `scope="${scopes.join(' ')}"`
    ], hadToken)
  }
}

function makeChallenges (
  options: BearerAuthOptions,
  refuse: Refuse,
  setCaller: Challenges['setCaller']
): Challenges {
  const scopesToAskFor = (request: FastifyRequest, error: LackingError): readonly string[] => {
    const held = error instanceof TokenRequiredError ? options.scopes : request.authInfo?.scopes ?? []
    return [...new Set([...held, ...error.requiredScopes])]
  }
  return {
    scopes: options.scopes,
    setCaller,
    refuse: (reply, error) =>
      refuse(reply, error, scopesToAskFor(reply.request, error), !(error instanceof TokenRequiredError)),
    describe: (request, error) => {
      if (error instanceof TokenRequiredError) options.onRefused?.(request, false)
      return `Bearer resource_metadata="${options.resourceMetadataUrl(request)}", error="${error.code}", ` +
        `error_description="${error.message}", scope="${scopesToAskFor(request, error).join(' ')}"`
    }
  }
}

function assignCaller (request: FastifyRequest, caller: CallerInfo | null): void {
  request.authInfo = caller
}

/** An app around us may have a decorator of this name, even a getter: here it is ours. */
function defineCaller (request: FastifyRequest, caller: CallerInfo | null): void {
  Object.defineProperty(request, 'authInfo', { value: caller, writable: true, enumerable: true, configurable: true })
}

/** Why somebody may not call, whose login others have allowed. */
function findDenial (policy: Policy | undefined, caller: CallerInfo): AccessDeniedError | undefined {
  if (policy?.hasLoginRules !== true) return undefined
  const decision = policy.decideCaller(caller)
  return decision.allow
    ? undefined
    : new AccessDeniedError(NOT_ALLOWED, { detail: decision.why, reason: 'denied_by_policy' })
}

/** @param hadToken if not, the challenge has no error code (RFC 6750 3.1) */
function sendRefusal (
  reply: FastifyReply,
  error: OAuthError,
  challenge: () => readonly string[],
  hadToken: boolean
): FastifyReply {
  auditRefusal(reply.request, error)
  if (error.retryAfterSeconds !== undefined) reply.header('retry-after', error.retryAfterSeconds)
  // a challenge would send clients to a login that does not help
  if (error.statusCode === 401 || error instanceof InsufficientScopeError) {
    const said = hadToken ? [`error="${error.code}"`, `error_description="${error.message}"`] : []
    reply.header('www-authenticate', `Bearer ${[...said, ...challenge()].join(', ')}`)
  }
  return reply.code(error.statusCode).header('cache-control', 'no-store')
    .send({ error: error.code, error_description: error.message, request_id: reply.request.id })
}

function verify (
  options: BearerAuthOptions,
  token: string,
  request: FastifyRequest
): CallerInfo | Promise<CallerInfo> {
  try {
    return options.verifyAccessToken(token, request)
  } catch (error) {
    return Promise.reject(error)
  }
}

// any thenable: what is not waited for is believed
function isPending (verified: CallerInfo | Promise<CallerInfo>): verified is Promise<CallerInfo> {
  return 'then' in verified
}
