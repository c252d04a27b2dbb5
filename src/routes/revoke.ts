import type { FastifyPluginAsync } from 'fastify'
import { InvalidRequestError } from '../errors.js'
import { clientCredentials } from './client-credentials.js'
import { parametersOf } from './parameters.js'

/** `POST /revoke`: ends the grant of a token (RFC 7009 2). */
export const revokeRoute: FastifyPluginAsync = async app => {
  app.post('/revoke', async (request, reply) => {
    const parameters = parametersOf(request.body)
    const client = await app.oauthBroker.clients.authenticate(clientCredentials(request, parameters))
    request.oauthClientId = client.clientId
    if (parameters.token === undefined) throw new InvalidRequestError('The token is missing.')
    await app.oauthBroker.accessTokens.revoke(parameters.token, client)
    return reply.header('cache-control', 'no-store').send()
  })
}
