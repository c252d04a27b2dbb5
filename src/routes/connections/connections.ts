import type { FastifyPluginAsync } from 'fastify'
import { connectionsPage, signInPage } from '../../pages/connections.js'
import { parseParameters } from '../oauth/parameters.js'

export interface ConnectionsOptions {
  issuer: string
}

/** `GET /oauth/connections`: the applications that a person is connected with. */
export const connectionsRoute: FastifyPluginAsync<ConnectionsOptions> = async (app, { issuer }) => {
  app.get('/oauth/connections', { exposeHeadRoute: false }, async (request, reply) => {
    const { ended } = parseParameters(request.query)
    const person = request.getPerson()
    if (person === undefined) return reply.sendPage(signInPage(issuer))
    await request.countFor({ person })
    return reply.sendPage(
      connectionsPage({
        issuer,
        person,
        connections: await app.oauthBroker.connections.of(person),
        ended: ended !== undefined
      })
    )
  })
}
