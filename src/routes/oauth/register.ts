import { Type } from '@sinclair/typebox'
import type { FastifyPluginAsync } from 'fastify'
import { callerAddress } from '../../caller-address.js'
import { ClientMetadataSchema, TOKEN_ENDPOINT_AUTH_METHODS } from '../../oauth/client.js'
import { oauthErrors } from '../schemas/errors.js'
import { jsonBody, oneOfTexts } from '../schemas/requests.js'
import { jsonResponse } from '../schemas/responses.js'
import { kBroker } from '../../plugins/oauth/broker.js'

// what does not conform is refused by the registry of clients, with the errors of RFC 7591
const schema = {
  tags: ['oauth'],
  summary: 'Registers a client (RFC 7591)',
  body: jsonBody(Type.Object({
    ...ClientMetadataSchema.properties,
    token_endpoint_auth_method: Type.Optional(oneOfTexts(TOKEN_ENDPOINT_AUTH_METHODS))
  })),
  response: { 201: jsonResponse('The client.', Type.Object({ client_id: Type.String() })), ...oauthErrors }
}
const BEARER = /^bearer +(\S+) *$/i
const config = { loginVisit: 'registration' as const }

/** `POST /register`: dynamic client registration (RFC 7591 3). */
export const registerRoute: FastifyPluginAsync = async app => {
  app.post('/register', { schema, config }, async (request, reply) => {
    const [, token] = BEARER.exec(request.headers.authorization ?? '') ?? []
    const registered = await app[kBroker].clients.register(request.body, callerAddress(request), token, request)
    return reply.code(201).header('cache-control', 'no-store').send(registered)
  })
}
