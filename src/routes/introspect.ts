import type { FastifyPluginAsync } from 'fastify'
import { InvalidClientError, InvalidRequestError } from '../errors.js'
import { equalSecrets } from '../oauth/secrets.js'
import { clientCredentials } from './client-credentials.js'
import { parametersOf } from './parameters.js'

export interface IntrospectOptions {
  /** The operator's own services: name -> secret. */
  services: Readonly<Record<string, string>>
}

/** `POST /introspect`: what a token is worth (RFC 7662 2), for the operator's own services only. */
export const introspectRoute: FastifyPluginAsync<IntrospectOptions> = async (app, { services }) => {
  const secrets = new Map(Object.entries(services))

  app.post('/introspect', async (request, reply) => {
    const parameters = parametersOf(request.body)
    const { clientId, clientSecret = '' } = clientCredentials(request, parameters)
    const secret = secrets.get(clientId)
    if (secret === undefined || !equalSecrets(clientSecret, secret)) throw new InvalidClientError('This endpoint is for services that the operator has configured.')
    if (parameters.token === undefined) throw new InvalidRequestError('The token is missing.')
    return reply.header('cache-control', 'no-store').send(await app.oauthBroker.accessTokens.introspect(parameters.token))
  })
}
