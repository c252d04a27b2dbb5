import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { callerAddress } from '../../caller-address.js'
import type { RateKey, RateLimits } from '../../oauth/rate-limits.js'

/** What a caller has proven to be. */
interface Proven {
  /** Id of a client that has shown its secret. A public client has nothing to show: anybody may say its id. */
  client?: string
  /** The person whose code, token or cookie it is. */
  person?: { issuer: string, subject: string }
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether a request shows something that only we, or the operator, can have made. Must not ask the store. */
    isRecognised?: (request: FastifyRequest) => boolean
  }
  interface FastifyRequest {
    /**
     * Counts this request for its proven sender, and no longer for the address it came from.
     * @throws {RateLimitedError}
     */
    countFor (proven: Proven): Promise<void>
    /** The address that this request is counted for; null if it is not, or no longer. */
    countedFor: RateKey | null
  }
}

export interface OAuthRateLimitOptions {
  limits: RateLimits
  /** Requests of one endpoint in a minute: of an address that prove nothing, and of a person. */
  requestsPerMinute: number
}

/** How much more a sender that many people share may ask: a client that serves them all, an address with our tokens. */
const SHARED = 10

/**
 * Limits requests to each endpoint of this context: by address until the request has proven its sender, then by client
 * and person. Unproven claims are never keys. A request with a secret that we issued is served even if others have used
 * up the limit of its address: clients behind one address do not lock each other out.
 */
export const oauthRateLimits = fp<OAuthRateLimitOptions>(async (app, { limits, requestsPerMinute }) => {
  app.decorateRequest('countedFor', null)
  app.decorateRequest('countFor', async function (this: FastifyRequest, { client, person }) {
    const endpoint = findEndpoint(this)
    if (client !== undefined) await limits.count([endpoint, 'client', client], requestsPerMinute * SHARED)
    if (person !== undefined) await limits.count([endpoint, 'person', person.issuer, person.subject], requestsPerMinute)
    const { countedFor } = this
    this.countedFor = null
    if (countedFor !== null) await limits.takeBack(countedFor)
  })

  async function countAddress (request: FastifyRequest): Promise<void> {
    const recognised = request.routeOptions.config.isRecognised?.(request) === true
    const key: RateKey = [findEndpoint(request), recognised ? 'recognised' : 'address', callerAddress(request)]
    await limits.count(key, recognised ? requestsPerMinute * SHARED : requestsPerMinute)
    request.countedFor = key
  }

  // if the body does not matter, before it is read
  app.addHook('onRequest', async request => {
    if (request.routeOptions.config.isRecognised === undefined) await countAddress(request)
  })
  app.addHook('preHandler', async request => {
    if (request.routeOptions.config.isRecognised !== undefined) await countAddress(request)
  })
}, { name: 'fastify-mcp-oauth/oauth-rate-limits', fastify: '5.x' })

function findEndpoint ({ routeOptions: { url = '' } }: FastifyRequest): string {
  return url
}
