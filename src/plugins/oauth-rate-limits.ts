import rateLimit, { type RateLimitPluginOptions } from '@fastify/rate-limit'
import fp from 'fastify-plugin'
import { RateLimitedError } from '../errors.js'
import { isSecret } from '../oauth/secrets.js'

export interface OAuthRateLimitOptions {
  /** Requests that one caller may make of one endpoint in a minute. */
  requestsPerMinute: number
}

/**
 * Bounds what one caller may ask of each endpoint of this context. A caller is a client at an address, as hosted clients
 * share an egress address; but whose client id is not of our making, and could be another each time, is only its address.
 */
export const oauthRateLimits = fp<OAuthRateLimitOptions>(async (app, { requestsPerMinute }) => {
  const options: RateLimitPluginOptions = {
    max: requestsPerMinute,
    timeWindow: 60_000,
    // after parsing: a token request names its client in the body
    hook: 'preHandler',
    keyGenerator: request => JSON.stringify([request.routeOptions.url, clientIdOf(request.body) ?? clientIdOf(request.query) ?? '', request.ip]),
    errorResponseBuilder: (_request, { ttl }) =>
      new RateLimitedError('Too many requests. Try again later.', { retryAfterSeconds: Math.ceil(ttl / 1000) })
  }
  await app.register(rateLimit, options)
}, { name: 'oauth-rate-limits', fastify: '5.x' })

function clientIdOf (parameters: unknown): string | undefined {
  const clientId = typeof parameters === 'object' && parameters !== null && 'client_id' in parameters ? parameters.client_id : undefined
  return typeof clientId === 'string' && isSecret('client', clientId) ? clientId : undefined
}
