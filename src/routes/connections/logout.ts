import type { FastifyPluginAsync } from 'fastify'
import { personHash } from '../../oauth/secrets.js'
import type { ConnectionsOptions } from './connections.js'
import { checkSameOriginForm } from '../oauth/same-origin-form.js'

/**
 * `POST /oauth/connections/logout`: a person signs out of our own pages. Their applications stay connected; each has to ask
 * again before it is connected once more.
 */
export const connectionsLogoutRoute: FastifyPluginAsync<ConnectionsOptions> = async (app, { issuer }) => {
  app.post('/oauth/connections/logout', async (request, reply) => {
    checkSameOriginForm(request, issuer)
    const { id, person: lastHere } = request.getBrowserState()
    const person = request.getPerson()
    const forgotten = new Set([person && personHash(person), lastHere])
    for (const key of forgotten) if (key !== undefined) await app.oauthBroker.consents.forget(key)
    return reply.setPerson(undefined).setBrowserState({ id }).header('cache-control', 'no-store').redirect(
      `${issuer}/oauth/connections`,
      303
    )
  })
}
