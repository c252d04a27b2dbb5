import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { callerAddress } from '../../caller-address.js'
import { makeAnonymousCaller } from '../../mcp/anonymous-callers.js'
import type { Policy } from '../../policy/policy.js'
import { ForbiddenOriginError } from '../../errors.js'
import { anonymousBodyTooLarge, MAX_ANONYMOUS_BODY_BYTES } from '../scoped/body-limits.js'
import { refuseMcpMethod } from '../scoped/other-methods.js'
import { scopedCors } from '../scoped/cors.js'
import { MCP_CORS } from '../scoped/cors-headers.js'
import { hostCheck, originCheck } from './allowed-callers.js'
import { kChallenges } from './bearer-auth.js'

export interface McpGuardOptions {
  /** The URL of the app's root as clients see it. */
  publicUrl: string
  /** Browser origins that may call, besides that of `publicUrl`, or patterns of them; `*` for any. */
  allowedOrigins: readonly string[]
  /** Host headers answered, besides that of `publicUrl`; `*` for any. */
  allowedHosts: readonly string[]
  /** Paths of the MCP endpoints. */
  paths: readonly string[]
  /** The endpoint's URL as clients see it, for those who come by another name. */
  mcpUrl: string
  /** Says whether something is public: then a request without a token is let in, as nobody's. */
  policy?: Policy | undefined
}

/**
 * Who may call the routes of this context: CORS for browsers, then `Origin`, the bearer token, and `Host` (DNS
 * rebinding; MCP 2025-11-25 Transports, Security Warning). If the public URL is loopback, so may any loopback origin
 * and host. Nothing of these routes is cached.
 */
export const mcpGuard = fp<McpGuardOptions>(async (app, options) => {
  const allowsOrigin = originCheck(options.publicUrl, options.allowedOrigins)
  const allowsHost = hostCheck(options.publicUrl, options.allowedHosts)

  await app.register(scopedCors, {
    paths: options.paths,
    refuse: refuseMcpMethod,
    cors: {
      ...MCP_CORS,
      origin: (value, callback) => { callback(null, value !== undefined && allowsOrigin(value)) }
    }
  })

  app.addHook('onRequest', ({ headers: { origin } }, reply, done) => {
    // streams have a value of their own
    reply.header('cache-control', 'no-store')
    if (origin === undefined || allowsOrigin(origin)) done()
    else {
      done(
        new ForbiddenOriginError('Forbidden: this origin may not call this server.', { detail: `Origin ${origin}` })
      )
    }
  })
  app.addHook('onRequest', function (request, reply, done) {
    // it is refused for every caller
    if (request.method === 'OPTIONS') done()
    // no credentials at all: what is wrong with others is for their client to know
    else if (request.headers.authorization === undefined && options.policy?.hasPublic === true) {
      app[kChallenges].setCaller(request, makeAnonymousCaller(callerAddress(request)))
      const isTooLarge = Number(request.headers['content-length'] ?? 0) > MAX_ANONYMOUS_BODY_BYTES
      done(isTooLarge ? anonymousBodyTooLarge() : undefined)
    } else app.bearerAuth.call(this, request, reply, done)
  })
  app.addHook('onRequest', (request, _reply, done) => {
    const host = readHost(request)
    if (allowsHost(host)) done()
    else {
      done(
        new ForbiddenOriginError(
          `Forbidden: this server does not accept this Host header. Its address is ${options.mcpUrl}`,
          { detail: `Host ${host}` }
        )
      )
    }
  })
}, { name: 'fastify-mcp-oauth/mcp-guard', fastify: '5.x', dependencies: ['fastify-mcp-oauth/bearer-auth'] })

// not `request.host`: with `trustProxy` that is X-Forwarded-Host, which callers may send too
function readHost ({ headers: { host, ':authority': authority } }: FastifyRequest): string {
  return host ?? (typeof authority === 'string' ? authority : '')
}
