import type { FastifyPluginAsync } from 'fastify'
import { callerAddress } from '../../caller-address.js'
import { withoutQuery } from '../../plugins/scoped/log-serializers.js'
import { goOn, type AuthorizeOptions } from './authorize.js'
import { parseParameters } from './parameters.js'

/** `GET /oauth/callback`: the person comes back from the upstream (RFC 6749 4.1.2), and goes on to the client, or is asked first. */
export const callbackRoute: FastifyPluginAsync<AuthorizeOptions> = async (app, { issuer, texts }) => {
  app.get('/oauth/callback', { exposeHeadRoute: false, logSerializers: withoutQuery }, async (request, reply) => {
    parseParameters(request.query)
    const visitor = { browser: request.getBrowserState(), address: callerAddress(request) }
    const { next, browser } = await app.oauthBroker.authorization.complete(
      new URL(request.url, 'http://callback').search,
      visitor
    )
    return goOn(request, reply.setBrowserState(browser), next, issuer, texts)
  })
}
