import type { FastifyPluginAsync } from 'fastify'
import { personHash } from '../../oauth/secrets.js'
import { connectionsResponses } from '../schemas/connections.js'
import { formBody } from '../schemas/requests.js'
import type { ConnectionsOptions } from './connections.js'
import { checkSameOriginForm } from '../oauth/same-origin-form.js'
import { kBroker } from '../../plugins/oauth/broker.js'

const schema = {
  tags: ['oauth'],
  summary: 'Signs out of that page',
  body: formBody({}),
  response: connectionsResponses
}

/**
 * `POST /oauth/connections/logout`: a person signs out of our pages. Their applications stay connected, but each has to
 * ask for consent the next time it connects.
 */
export const connectionsLogoutRoute: FastifyPluginAsync<ConnectionsOptions> = async (app, { issuer }) => {
  app.post('/oauth/connections/logout', { schema }, async (request, reply) => {
    checkSameOriginForm(request, issuer)
    const { id, person: lastHere } = request.getBrowserState()
    const person = request.getPerson()
    const forgotten = new Set([person && personHash(person), lastHere])
    for (const key of forgotten) if (key !== undefined) await app[kBroker].consents.forget(key)
    return reply.setPerson(undefined).setBrowserState({ id }).header('cache-control', 'no-store').redirect(
      `${issuer}/oauth/connections`,
      303
    )
  })
}
