import type { FastifyPluginAsync } from 'fastify'
import { withoutQuery } from '../plugins/log-serializers.js'
import { parametersOf } from './parameters.js'

/** `GET /oauth/callback`: the person comes back from the upstream (RFC 6749 4.1.2), and goes on to the client. */
export const callbackRoute: FastifyPluginAsync = async app => {
  app.get('/oauth/callback', { exposeHeadRoute: false, logSerializers: withoutQuery }, async (request, reply) => {
    parametersOf(request.query)
    const { url } = await app.oauthBroker.authorization.complete(new URL(request.url, 'http://callback').search, request.getBrowserState())
    return reply.header('cache-control', 'no-store').redirect(url, 302)
  })
}
