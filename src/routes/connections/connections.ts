import type { FastifyPluginAsync } from 'fastify'
import { connectionsPage, signInPage } from '../../pages/connections.js'
import { parseParameters } from '../oauth/parameters.js'
import { connectionsResponses } from '../schemas/connections.js'
import { pageResponse } from '../schemas/responses.js'
import { kBroker } from '../../plugins/oauth/broker.js'

export interface ConnectionsOptions {
  issuer: string
}

const schema = {
  tags: ['oauth'],
  summary: 'What a person has connected',
  response: { 200: pageResponse('The page.'), ...connectionsResponses }
}

/** `GET /oauth/connections`: the applications that a person is connected with. */
export const connectionsRoute: FastifyPluginAsync<ConnectionsOptions> = async (app, { issuer }) => {
  app.get('/oauth/connections', { schema, exposeHeadRoute: false }, async (request, reply) => {
    const { ended } = parseParameters(request.query)
    const person = request.getPerson()
    if (person === undefined) return reply.sendPage(signInPage(issuer))
    await request.countFor({ person })
    return reply.sendPage(
      connectionsPage({
        issuer,
        person,
        connections: await app[kBroker].connections.of(person),
        ended: ended !== undefined
      })
    )
  })
}
