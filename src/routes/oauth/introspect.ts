import { Type } from '@sinclair/typebox'
import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import { InvalidClientError, InvalidRequestError } from '../../errors.js'
import { equalSecrets } from '../../oauth/secrets.js'
import { oauthErrors } from '../schemas/errors.js'
import { ASSERTION, formBody, security } from '../schemas/requests.js'
import { jsonResponse } from '../schemas/responses.js'
import { clientCredentials } from './client-credentials.js'
import { countFetch } from './count-fetch.js'
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
  body: formBody({ token: 'An access token or a refresh token', ...ASSERTION }, ['token']),
  response: { 200: jsonResponse('What the token grants.', Introspection), ...oauthErrors }
}

/**
 * `POST /introspect`: whether a token is active, and what it grants (RFC 7662 2): for the operator's own services, and
 * for clients that sign their requests (`private_key_jwt`), about their own tokens only.
 */
export const introspectRoute: FastifyPluginAsync<IntrospectOptions> = async (app, { services }) => {
  const { accessTokens, authentication } = app[kBroker]
  const secrets = new Map(Object.entries(services))
  const findService = (request: FastifyRequest): string | undefined => {
    const { clientId, clientSecret = '', assertion } = clientCredentials(request, parseParameters(request.body))
    const secret = assertion === undefined ? secrets.get(clientId) : undefined
    return secret !== undefined && equalSecrets(clientSecret, secret) ? clientId : undefined
  }
  /** The client of a request with an assertion; undefined if it has none. */
  const findClient = async (request: FastifyRequest, token = ''): Promise<string | undefined> => {
    const credentials = clientCredentials(request, parseParameters(request.body))
    if (credentials.assertion === undefined) return undefined
    const { client } = await authentication.authenticate(credentials, {
      isTheirs: async () => await accessTokens.isOf(token, credentials.clientId),
      beforeFetch: async () => { await countFetch(request) }
    })
    return client.clientId
  }

  app.post(
    '/introspect',
    { schema, config: { isRecognised: orFalse(request => findService(request) !== undefined) } },
    async (request, reply) => {
      const parameters = parseParameters(request.body)
      const service = findService(request)
      const client = service === undefined ? await findClient(request, parameters.token) : undefined
      const caller = service ?? client
      if (caller === undefined) {
        throw new InvalidClientError(
          'This endpoint is only for services that the operator has configured (INTROSPECTION_SERVICES), and for ' +
            'clients that authenticate with private_key_jwt.'
        )
      }
      await request.countFor({ client: caller })
      if (parameters.token === undefined) throw new InvalidRequestError('The token is missing.')
      const isVisible = client === undefined || await accessTokens.isOf(parameters.token, client)
      return reply.header('cache-control', 'no-store').send(
        isVisible ? await accessTokens.introspect(parameters.token) : { active: false }
      )
    }
  )
}
