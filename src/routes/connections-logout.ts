import type { FastifyPluginAsync } from 'fastify'
import type { ConnectionsOptions } from './connections.js'
import { checkOwnForm } from './own-form.js'

/** `POST /oauth/connections/logout`: a person signs out of our own pages; their applications stay connected. */
export const connectionsLogoutRoute: FastifyPluginAsync<ConnectionsOptions> = async (app, { issuer }) => {
  app.post('/oauth/connections/logout', async (request, reply) => {
    checkOwnForm(request, issuer)
    return reply.setPerson(undefined).header('cache-control', 'no-store').redirect(`${issuer}/oauth/connections`, 303)
  })
}
