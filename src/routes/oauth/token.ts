import type { FastifyPluginAsync } from 'fastify'
import { clientCredentials } from './client-credentials.js'
import { orFalse } from './or-false.js'
import { parseParameters } from './parameters.js'

/** `POST /token`: `authorization_code` and `refresh_token` (RFC 6749 4.1.3, 6). */
export const tokenRoute: FastifyPluginAsync = async app => {
  const { tokens: issuer } = app.oauthBroker
  const isRecognised = orFalse(request => issuer.recognises(parseParameters(request.body)))

  app.post('/token', { config: { isRecognised } }, async (request, reply) => {
    const parameters = parseParameters(request.body)
    const tokens = await issuer.request(parameters, clientCredentials(request, parameters), {
      client: async ({ clientId, secretHash }) => {
        request.oauthClientId = clientId
        if (secretHash !== undefined) await request.countFor({ client: clientId })
      },
      grant: async person => { await request.countFor({ person }) }
    })
    return reply.header('cache-control', 'no-store').send(tokens)
  })
}
