import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { CONSENT_DELAY_MS, defaultLifetimes } from '../oauth/options.js'
import type { Attempts } from '../oauth/broker.js'
import { DEFAULT_REQUESTS_PER_MINUTE, type RateLimits } from '../oauth/rate-limits.js'
import type { ConsentPageOptions } from '../pages/consent.js'
import { isLoopbackUrl } from '../loopback.js'
import { checkOAuthBrokerOptions } from './option-checks/check-service.js'
import { kBroker, broker } from '../plugins/oauth/broker.js'
import { consentCookie } from '../plugins/oauth/consent-cookie.js'
import type { Policy } from '../policy/policy.js'
import { oauthBodies } from '../plugins/oauth/bodies.js'
import { oauthErrors } from '../plugins/oauth/errors.js'
import { oauthRateLimits } from '../plugins/oauth/rate-limits.js'
import { refuseOAuthMethod, watchMethods } from '../plugins/scoped/other-methods.js'
import { pages } from '../plugins/scoped/pages.js'
import { plainJson } from '../plugins/scoped/plain-json.js'
import { routeSchemas } from '../plugins/scoped/route-schemas.js'
import { scopedCors } from '../plugins/scoped/cors.js'
import { OAUTH_CORS } from '../plugins/scoped/cors-headers.js'
import { signedInPerson } from '../plugins/oauth/signed-in-person.js'
import { loginVisits } from '../plugins/oauth/login-visits.js'
import { joinBaseUrl } from './base-url.js'
import { audited } from '../plugins/scoped/audited.js'
import { traceId } from '../plugins/scoped/trace-id.js'
import { adminAttemptsRoute } from '../routes/operations/login-attempts.js'
import { authorizationServerMetadataRoute } from '../routes/well-known/authorization-server.js'
import { authorizeRoute } from '../routes/oauth/authorize.js'
import { callbackRoute } from '../routes/oauth/callback.js'
import { connectionsRoute } from '../routes/connections/connections.js'
import { connectionsCallbackRoute } from '../routes/connections/callback.js'
import { connectionsEndRoute } from '../routes/connections/end.js'
import { connectionsLoginRoute } from '../routes/connections/login.js'
import { connectionsLogoutRoute } from '../routes/connections/logout.js'
import { consentRoute } from '../routes/oauth/consent.js'
import { introspectRoute } from '../routes/oauth/introspect.js'
import { jwksRoute } from '../routes/well-known/jwks.js'
import { protectedResourceMetadataRoute } from '../routes/well-known/protected-resource.js'
import { registerRoute } from '../routes/oauth/register.js'
import { revokeRoute } from '../routes/oauth/revoke.js'
import { tokenRoute } from '../routes/oauth/token.js'
import { ConfigError } from '../errors.js'
import type { ProtectedServer } from '../oauth/resources.js'
import type { OAuthBrokerOptions } from './plugin-options.js'

// their password is not to be guessed
const OPERATORS_PER_MINUTE = 60

/**
 * The authorization server (RFC 6749, 8414, 7591, 7009, 7662) that brokers to the upstream, with its pages.
 * `app.oauthBroker` is for the context it is registered in; its hooks, parsers and headers stay with its own endpoints.
 * @example
 * ```ts
 * import Fastify from 'fastify'
 * import { createMemoryStores, Keyring, oauthBroker } from 'fastify-mcp-oauth'
 *
 * const app = Fastify()
 * await app.register(oauthBroker, {
 *   publicUrl: 'https://mcp.example.com',
 *   stores: createMemoryStores({ sessionIdleSeconds: 3600 }),
 *   upstream: { issuerUrl: 'https://login.example.com', scopes: ['openid', 'offline_access'] },
 *   keyring: new Keyring(),
 *   scopes: ['mcp'],
 *   resourcePaths: ['/mcp']
 * })
 * ```
 */
export const oauthBroker = fp<OAuthBrokerOptions>(async (app, options) => {
  checkOAuthBrokerOptions(options)
  const {
    introspectionServices = {},
    requestsPerMinute = DEFAULT_REQUESTS_PER_MINUTE,
    adminToken
  } = options
  const issuer = joinBaseUrl(options.publicUrl, app.prefix)
  const servers = listProtectedServers(options)
  const texts = {
    scopeDescriptions: { mcp: 'Use the tools, resources and prompts of this server', ...options.scopeDescriptions },
    grantSeconds: options.lifetimes?.grantSeconds ?? defaultLifetimes.grantSeconds
  }
  const consentDelayMs = options.consentDelayMs ?? (isLoopbackUrl(issuer) ? 0 : CONSENT_DELAY_MS)
  await app.register(broker, { ...options, servers, issuer, consentDelayMs, recordAttempts: adminToken !== undefined })
  const { attempts, limits } = app[kBroker]

  const { clientMetadataDocuments, policy } = options
  await app.register(documents, { issuer, servers, clientMetadataDocuments, policy, attempts })
  await app.register(clientEndpoints, { limits, requestsPerMinute, attempts, services: introspectionServices })
  await app.register(browserPages, { limits, requestsPerMinute, issuer, texts })
  if (attempts !== undefined && adminToken !== undefined) {
    await app.register(operatorPages, { limits, attempts, adminToken })
  }
}, { name: 'fastify-mcp-oauth/oauth-broker', fastify: '5.x' })

/** What tokens are for: several servers, or the one that the options describe. */
function listProtectedServers (
  { protectedServers: servers, resourcePaths, scopes, policy }: OAuthBrokerOptions
): readonly ProtectedServer[] {
  if (servers !== undefined) return servers
  if (resourcePaths === undefined || scopes === undefined) {
    throw new ConfigError(
      'oauthBroker: resourcePaths and scopes are missing; they say what tokens are for, or protectedServers does.'
    )
  }
  return [{ paths: resourcePaths, scopes, ...policy && { policy } }]
}

interface Limited {
  limits: RateLimits
  requestsPerMinute: number
}

interface DocumentsOptions {
  issuer: string
  servers: readonly ProtectedServer[]
  clientMetadataDocuments: boolean | undefined
  policy: Policy | undefined
  attempts: Attempts | undefined
}

/** What clients read before they register. */
async function documents (
  app: FastifyInstance,
  { issuer, servers, clientMetadataDocuments, policy, attempts }: DocumentsOptions
): Promise<void> {
  await app.register(loginVisits, { attempts })
  await app.register(protectedResourceMetadataRoute, { baseUrl: issuer, servers, authorizationServers: [issuer] })
  await app.register(authorizationServerMetadataRoute, { issuer, servers, clientMetadataDocuments, policy })
  await app.register(jwksRoute)
}

/** What clients and services send requests to. */
async function clientEndpoints (
  app: FastifyInstance,
  { limits, requestsPerMinute, attempts, services }: Limited & {
    attempts: Attempts | undefined
    services: NonNullable<OAuthBrokerOptions['introspectionServices']>
  }
): Promise<void> {
  await app.register(routeSchemas)
  const refuseOthers = watchMethods(app, refuseOAuthMethod)
  await app.register(oauthBodies)
  await app.register(oauthErrors)
  await app.register(loginVisits, { attempts })
  await app.register(plainJson)
  await app.register(traceId)
  await app.register(audited, { paths: ['/token', '/register'] })
  await app.register(scopedCors, {
    paths: ['/token', '/register', '/revoke'],
    cors: OAUTH_CORS,
    refuse: refuseOAuthMethod
  })
  await app.register(oauthRateLimits, { limits, requestsPerMinute })
  await app.register(registerRoute)
  await app.register(tokenRoute)
  await app.register(revokeRoute)
  await app.register(introspectRoute, { services })
  refuseOthers()
}

/** Where browsers come in a login, and the page of connected apps. */
async function browserPages (
  app: FastifyInstance,
  { limits, requestsPerMinute, issuer, texts }: Limited & { issuer: string, texts: ConsentPageOptions['texts'] }
): Promise<void> {
  await app.register(routeSchemas)
  const refuseOthers = watchMethods(app, refuseOAuthMethod)
  await app.register(oauthBodies)
  await app.register(pages)
  await app.register(traceId)
  await app.register(audited, { paths: ['/authorize', '/authorize/consent', '/oauth/callback'] })
  await app.register(consentCookie, { issuer })
  await app.register(oauthRateLimits, { limits, requestsPerMinute })
  await app.register(authorizeRoute, { issuer, texts })
  await app.register(consentRoute, { issuer, texts })
  await app.register(callbackRoute, { issuer, texts })
  await app.register(signedInPerson, { issuer })
  await app.register(connectionsRoute, { issuer })
  await app.register(connectionsLoginRoute)
  await app.register(connectionsCallbackRoute, { issuer })
  await app.register(connectionsEndRoute, { issuer })
  await app.register(connectionsLogoutRoute, { issuer })
  refuseOthers()
}

/** What operators see of logins. */
async function operatorPages (
  app: FastifyInstance,
  { limits, attempts, adminToken }: Pick<Limited, 'limits'> & { attempts: Attempts, adminToken: string }
): Promise<void> {
  await app.register(routeSchemas)
  const refuseOthers = watchMethods(app, refuseOAuthMethod)
  await app.register(pages)
  await app.register(oauthRateLimits, { limits, requestsPerMinute: OPERATORS_PER_MINUTE })
  await app.register(adminAttemptsRoute, { attempts, adminToken })
  refuseOthers()
}
