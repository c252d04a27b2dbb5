import type { FastifyPluginAsync } from 'fastify'
import { withoutQuery } from '../../plugins/scoped/log-serializers.js'
import type { ConnectionsOptions } from './connections.js'
import { parseParameters } from '../oauth/parameters.js'
import { connectionsResponses } from '../schemas/connections.js'
import { parameters } from '../schemas/requests.js'
import { kBroker } from '../../plugins/oauth/broker.js'

const schema = {
  tags: ['oauth'],
  summary: 'The way back from signing in to that page',
  querystring: parameters({ code: 'Our code', state: 'The state of the page' }),
  response: connectionsResponses
}

/** `GET /oauth/connections/callback`: a person comes back from signing in. */
export const connectionsCallbackRoute: FastifyPluginAsync<ConnectionsOptions> = async (app, { issuer }) => {
  app.get(
    '/oauth/connections/callback',
    { schema, exposeHeadRoute: false, logSerializers: withoutQuery },
    async (request, reply) => {
      const person = await app[kBroker].signIns.complete(parseParameters(request.query), request.getPendingSignIn())
      return reply.setPerson(person).header('cache-control', 'no-store').redirect(`${issuer}/oauth/connections`, 302)
    }
  )
}
