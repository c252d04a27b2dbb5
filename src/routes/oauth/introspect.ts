import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import { InvalidClientError, InvalidRequestError } from '../../errors.js'
import { equalSecrets } from '../../oauth/secrets.js'
import { clientCredentials } from './client-credentials.js'
import { orFalse } from './or-false.js'
import { parseParameters } from './parameters.js'

export interface IntrospectOptions {
  /** The operator's own services: name -> secret. */
  services: Readonly<Record<string, string>>
}

/** `POST /introspect`: what a token is worth (RFC 7662 2), for the operator's own services only. */
export const introspectRoute: FastifyPluginAsync<IntrospectOptions> = async (app, { services }) => {
  const secrets = new Map(Object.entries(services))
  const serviceOf = (request: FastifyRequest): string | undefined => {
    const { clientId, clientSecret = '' } = clientCredentials(request, parseParameters(request.body))
    const secret = secrets.get(clientId)
    return secret !== undefined && equalSecrets(clientSecret, secret) ? clientId : undefined
  }

  app.post(
    '/introspect',
    { config: { isRecognised: orFalse(request => serviceOf(request) !== undefined) } },
    async (request, reply) => {
      const parameters = parseParameters(request.body)
      const service = serviceOf(request)
      if (service === undefined) {
        throw new InvalidClientError(
          'This endpoint is for services that the operator has configured.'
        )
      }
      await request.countFor({ client: service })
      if (parameters.token === undefined) throw new InvalidRequestError('The token is missing.')
      return reply.header('cache-control', 'no-store').send(
        await app.oauthBroker.accessTokens.introspect(parameters.token)
      )
    }
  )
}
