import type { FastifyPluginAsync } from 'fastify'
import { clientCredentials } from './client-credentials.js'
import { parametersOf } from './parameters.js'

/** `POST /token`: `authorization_code` and `refresh_token` (RFC 6749 4.1.3, 6). */
export const tokenRoute: FastifyPluginAsync = async app => {
  app.post('/token', async (request, reply) => {
    const parameters = parametersOf(request.body)
    const tokens = await app.oauthBroker.tokens.request(parameters, clientCredentials(request, parameters), client => { request.oauthClientId = client.clientId })
    return reply.header('cache-control', 'no-store').send(tokens)
  })
}
