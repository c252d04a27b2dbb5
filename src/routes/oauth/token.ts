import { Type } from '@sinclair/typebox'
import type { FastifyPluginAsync } from 'fastify'
import { oauthErrors } from '../schemas/errors.js'
import { CREDENTIALS, formBody, security } from '../schemas/requests.js'
import { jsonResponse } from '../schemas/responses.js'
import { clientCredentials } from './client-credentials.js'
import { countFetch } from './count-fetch.js'
import { orFalse } from './or-false.js'
import { parseParameters } from './parameters.js'
import { kBroker } from '../../plugins/oauth/broker.js'

const Tokens = Type.Object({
  access_token: Type.String(),
  token_type: Type.Literal('Bearer'),
  expires_in: Type.Integer(),
  refresh_token: Type.Optional(Type.String()),
  scope: Type.String()
})
const schema = {
  tags: ['oauth'],
  summary: 'Issues tokens (RFC 6749 4.1.3, 6)',
  security: security.client,
  body: formBody({
    grant_type: 'authorization_code or refresh_token',
    code: 'The code',
    code_verifier: 'PKCE',
    redirect_uri: 'The same as in the authorization request',
    refresh_token: 'The refresh token',
    scope: 'Fewer scopes than were granted',
    resource: 'The MCP endpoint',
    ...CREDENTIALS
  }, ['grant_type']),
  response: { 200: jsonResponse('The tokens.', Tokens), ...oauthErrors }
}

/** `POST /token`: `authorization_code` and `refresh_token` (RFC 6749 4.1.3, 6). */
export const tokenRoute: FastifyPluginAsync = async app => {
  const { tokens: issuer } = app[kBroker]
  const isRecognised = orFalse(request => issuer.recognises(parseParameters(request.body)))

  app.post('/token', { schema, config: { isRecognised, loginVisit: 'token' } }, async (request, reply) => {
    const parameters = parseParameters(request.body)
    const tokens = await issuer.request(parameters, clientCredentials(request, parameters), {
      http: request,
      client: async ({ clientId }, proven) => {
        request.oauthClientId = clientId
        if (proven) await request.countFor({ client: clientId })
      },
      fetch: async () => { await countFetch(request) },
      grant: async person => { await request.countFor({ person }) }
    })
    return reply.header('cache-control', 'no-store').send(tokens)
  })
}
