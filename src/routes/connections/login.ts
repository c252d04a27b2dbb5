import type { FastifyPluginAsync } from 'fastify'
import { connectionsResponses } from '../schemas/connections.js'
import { kBroker } from '../../plugins/oauth/broker.js'

const schema = { tags: ['oauth'], summary: 'Signs in to that page', response: connectionsResponses }

/** `GET /oauth/connections/login`: a person signs in to see what they are connected with. */
export const connectionsLoginRoute: FastifyPluginAsync = async app => {
  app.get('/oauth/connections/login', { schema, exposeHeadRoute: false }, async (_request, reply) => {
    const { url, pending } = app[kBroker].signIns.begin()
    return reply.setPendingSignIn(pending).header('cache-control', 'no-store').redirect(url, 302)
  })
}
