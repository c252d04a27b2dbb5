import type { FastifyPluginAsync } from 'fastify'
import { withoutQuery } from '../../plugins/scoped/log-serializers.js'
import type { ConnectionsOptions } from './connections.js'
import { parseParameters } from '../oauth/parameters.js'

/** `GET /oauth/connections/callback`: a person comes back from signing in. */
export const connectionsCallbackRoute: FastifyPluginAsync<ConnectionsOptions> = async (app, { issuer }) => {
  app.get(
    '/oauth/connections/callback',
    { exposeHeadRoute: false, logSerializers: withoutQuery },
    async (request, reply) => {
      const person = await app.oauthBroker.signIns.complete(parseParameters(request.query), request.getPendingSignIn())
      return reply.setPerson(person).header('cache-control', 'no-store').redirect(`${issuer}/oauth/connections`, 302)
    }
  )
}
