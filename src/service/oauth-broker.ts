import fp from 'fastify-plugin'
import { CONSENT_DELAY_MS, defaultLifetimes } from '../oauth/options.js'
import { DEFAULT_REQUESTS_PER_MINUTE } from '../oauth/rate-limits.js'
import { isLoopbackUrl } from '../loopback.js'
import { checkOAuthBrokerOptions } from './option-checks/check-service.js'
import { kBroker, broker } from '../plugins/oauth/broker.js'
import { consentCookie } from '../plugins/oauth/consent-cookie.js'
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
import type { OAuthBrokerOptions } from './plugin-options.js'

// their password is not to be guessed
const OPERATORS_PER_MINUTE = 60

/**
 * The authorization server (RFC 6749, 8414, 7591, 7009, 7662) that brokers to the upstream, with its pages.
 * `app.oauthBroker` is for the context it is registered in; its hooks, parsers and headers stay with its own endpoints.
 */
export const oauthBroker = fp<OAuthBrokerOptions>(async (app, options) => {
  checkOAuthBrokerOptions(options)
  const {
    scopes,
    resourcePaths,
    introspectionServices = {},
    requestsPerMinute = DEFAULT_REQUESTS_PER_MINUTE,
    adminToken
  } = options
  const issuer = joinBaseUrl(options.publicUrl, app.prefix)
  const texts = {
    scopeDescriptions: { mcp: 'Use the tools, resources and prompts of this server', ...options.scopeDescriptions },
    baseScope: scopes[0],
    grantSeconds: options.lifetimes?.grantSeconds ?? defaultLifetimes.grantSeconds
  }
  const consentDelayMs = options.consentDelayMs ?? (isLoopbackUrl(issuer) ? 0 : CONSENT_DELAY_MS)
  await app.register(broker, { ...options, issuer, consentDelayMs, recordAttempts: adminToken !== undefined })
  const { attempts, limits } = app[kBroker]

  await app.register(async documents => {
    await documents.register(loginVisits, { attempts })
    await documents.register(protectedResourceMetadataRoute, {
      baseUrl: issuer,
      scopes,
      resourcePaths,
      authorizationServers: [issuer]
    })
    await documents.register(authorizationServerMetadataRoute, { issuer, scopes, resourcePaths })
    await documents.register(jwksRoute)
  })

  await app.register(async endpoints => {
    await endpoints.register(routeSchemas)
    const refuseOthers = watchMethods(endpoints, refuseOAuthMethod)
    await endpoints.register(oauthBodies)
    await endpoints.register(oauthErrors)
    await endpoints.register(loginVisits, { attempts })
    await endpoints.register(plainJson)
    await endpoints.register(traceId)
    await endpoints.register(scopedCors, {
      paths: ['/token', '/register', '/revoke'],
      cors: OAUTH_CORS,
      refuse: refuseOAuthMethod
    })
    await endpoints.register(oauthRateLimits, { limits, requestsPerMinute })
    await endpoints.register(registerRoute)
    await endpoints.register(tokenRoute)
    await endpoints.register(revokeRoute)
    await endpoints.register(introspectRoute, { services: introspectionServices })
    refuseOthers()
  })

  await app.register(async browsers => {
    await browsers.register(routeSchemas)
    const refuseOthers = watchMethods(browsers, refuseOAuthMethod)
    await browsers.register(oauthBodies)
    await browsers.register(pages)
    await browsers.register(traceId)
    await browsers.register(consentCookie, { issuer })
    await browsers.register(oauthRateLimits, { limits, requestsPerMinute })
    await browsers.register(authorizeRoute, { issuer, texts })
    await browsers.register(consentRoute, { issuer, texts })
    await browsers.register(callbackRoute, { issuer, texts })
    await browsers.register(signedInPerson, { issuer })
    await browsers.register(connectionsRoute, { issuer })
    await browsers.register(connectionsLoginRoute)
    await browsers.register(connectionsCallbackRoute, { issuer })
    await browsers.register(connectionsEndRoute, { issuer })
    await browsers.register(connectionsLogoutRoute, { issuer })
    refuseOthers()
  })

  if (attempts !== undefined && adminToken !== undefined) {
    await app.register(async operators => {
      await operators.register(routeSchemas)
      const refuseOthers = watchMethods(operators, refuseOAuthMethod)
      await operators.register(pages)
      await operators.register(oauthRateLimits, { limits, requestsPerMinute: OPERATORS_PER_MINUTE })
      await operators.register(adminAttemptsRoute, { attempts, adminToken })
      refuseOthers()
    })
  }
}, { name: 'fastify-mcp-oauth/oauth-broker', fastify: '5.x' })
