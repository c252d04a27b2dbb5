import { Type } from '@sinclair/typebox'
import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import { InvalidClientError, InvalidRequestError } from '../../errors.js'
import { equalSecrets } from '../../oauth/secrets.js'
import { oauthErrors } from '../schemas/errors.js'
import { formBody, security } from '../schemas/requests.js'
import { jsonResponse } from '../schemas/responses.js'
import { clientCredentials } from './client-credentials.js'
import { orFalse } from './or-false.js'
import { parseParameters } from './parameters.js'
import { kBroker } from '../../plugins/oauth/broker.js'

export interface IntrospectOptions {
  /** The operator's own services: name -> secret. */
  services: Readonly<Record<string, string>>
}

const Introspection = Type.Object({
  active: Type.Boolean(),
  client_id: Type.Optional(Type.String()),
  scope: Type.Optional(Type.String()),
  exp: Type.Optional(Type.Integer()),
  sub: Type.Optional(Type.String()),
  aud: Type.Optional(Type.String()),
  token_type: Type.Optional(Type.Literal('Bearer'))
})
const schema = {
  tags: ['oauth'],
  summary: 'Says whether a token is active, and what it grants (RFC 7662)',
  security: security.service,
  body: formBody({ token: 'An access token or a refresh token' }, ['token']),
  response: { 200: jsonResponse('What the token grants.', Introspection), ...oauthErrors }
}

/**
 * `POST /introspect`: whether a token is active, and what it grants (RFC 7662 2), for the operator's own services only.
 */
export const introspectRoute: FastifyPluginAsync<IntrospectOptions> = async (app, { services }) => {
  const secrets = new Map(Object.entries(services))
  const findService = (request: FastifyRequest): string | undefined => {
    const { clientId, clientSecret = '' } = clientCredentials(request, parseParameters(request.body))
    const secret = secrets.get(clientId)
    return secret !== undefined && equalSecrets(clientSecret, secret) ? clientId : undefined
  }

  app.post(
    '/introspect',
    { schema, config: { isRecognised: orFalse(request => findService(request) !== undefined) } },
    async (request, reply) => {
      const parameters = parseParameters(request.body)
      const service = findService(request)
      if (service === undefined) {
        throw new InvalidClientError(
          'This endpoint is only for services that the operator has configured (INTROSPECTION_SERVICES).'
        )
      }
      await request.countFor({ client: service })
      if (parameters.token === undefined) throw new InvalidRequestError('The token is missing.')
      return reply.header('cache-control', 'no-store').send(
        await app[kBroker].accessTokens.introspect(parameters.token)
      )
    }
  )
}
