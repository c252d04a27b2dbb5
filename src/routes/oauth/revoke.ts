import type { FastifyPluginAsync } from 'fastify'
import type { Person } from '../../caller.js'
import { InvalidRequestError } from '../../errors.js'
import { oauthErrors } from '../schemas/errors.js'
import { CREDENTIALS, formBody, security } from '../schemas/requests.js'
import { emptyResponse } from '../schemas/responses.js'
import { clientCredentials } from './client-credentials.js'
import { countFetch } from './count-fetch.js'
import { orFalse } from './or-false.js'
import { parseParameters } from './parameters.js'
import { kBroker } from '../../plugins/oauth/broker.js'

const schema = {
  tags: ['oauth'],
  summary: 'Ends the login that a token belongs to (RFC 7009)',
  security: security.client,
  body: formBody({ token: 'An access token or a refresh token', ...CREDENTIALS }, ['token']),
  response: { 200: emptyResponse('The login has ended, or the token was unknown.'), ...oauthErrors }
}

/** `POST /revoke`: ends the grant of a token (RFC 7009 2). */
export const revokeRoute: FastifyPluginAsync = async app => {
  const { accessTokens, authentication } = app[kBroker]
  const isRecognised = orFalse(request => accessTokens.recognises(parseParameters(request.body).token ?? ''))

  app.post('/revoke', { schema, config: { isRecognised } }, async (request, reply) => {
    const parameters = parseParameters(request.body)
    const credentials = clientCredentials(request, parameters)
    const { client, proven } = await authentication.authenticate(credentials, {
      isTheirs: async () => await accessTokens.isOf(parameters.token ?? '', credentials.clientId),
      beforeFetch: async () => { await countFetch(request) }
    })
    request.oauthClientId = client.clientId
    if (proven) await request.countFor({ client: client.clientId })
    if (parameters.token === undefined) throw new InvalidRequestError('The token is missing.')
    const count = async (person: Person) => { await request.countFor({ person }) }
    await accessTokens.revoke(parameters.token, client, count, request)
    return reply.header('cache-control', 'no-store').send()
  })
}
