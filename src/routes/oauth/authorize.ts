import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import { callerAddress } from '../../caller-address.js'
import { withoutQuery } from '../../plugins/scoped/log-serializers.js'
import { pageErrors } from '../schemas/errors.js'
import { formBody, parameters as querySchema } from '../schemas/requests.js'
import { emptyResponse, pageResponse } from '../schemas/responses.js'
import { countFetch } from './count-fetch.js'
import { sendNextStep, type AuthorizeOptions } from './next-step.js'
import { parseParameters } from './parameters.js'
import { kBroker } from '../../plugins/oauth/broker.js'

const texts = {
  response_type: 'code',
  client_id: 'The client',
  redirect_uri: 'Where the response goes',
  state: 'Is returned with the response',
  scope: 'Scopes, separated by spaces',
  code_challenge: 'PKCE (RFC 7636)',
  code_challenge_method: 'S256',
  resource: 'The MCP endpoint (RFC 8707)',
  prompt: 'Goes to the login server; none: no page, but an error if one were needed (OpenID Connect)',
  login_hint: 'Goes to the login server: who is to log in',
  max_age: 'Goes to the login server: seconds since the login',
  ui_locales: 'Goes to the login server: languages',
  acr_values: 'Goes to the login server: how to log in'
}
const required = ['response_type', 'client_id', 'code_challenge', 'code_challenge_method']
const tags = ['oauth']
const response = {
  200: pageResponse('The consent page, or a refusal that the person can return to the client.'),
  302: emptyResponse('To the upstream, or back to the client with an error.'),
  ...pageErrors,
  503: pageResponse('Try again.')
}
const getSchema = {
  tags,
  summary: 'Asks the person for access',
  querystring: querySchema(texts, required),
  response
}
const postSchema = { tags, summary: 'The same, as a form', body: formBody(texts, required), response }

/** `GET`, `POST /authorize`: a client asks for access, by way of a person's browser (RFC 6749 4.1.1). */
export const authorizeRoute: FastifyPluginAsync<AuthorizeOptions> = async (app, options) => {
  const { authorization, clients } = app[kBroker]

  async function countDocument (
    request: FastifyRequest,
    { client_id: clientId = '' }: ReturnType<typeof parseParameters>
  ): Promise<void> {
    if (await clients.hasToFetch(clientId)) {
      await countFetch(request)
    }
  }

  app.get('/authorize', {
    schema: getSchema,
    exposeHeadRoute: false,
    logSerializers: withoutQuery
  }, async (request, reply) => {
    const parameters = parseParameters(request.query)
    await countDocument(request, parameters)
    const browser = request.getBrowserState()
    const next = await authorization.begin(parameters, { browser, address: callerAddress(request), http: request })
    return sendNextStep(request, next.kind === 'refusal' ? reply : reply.setBrowserState(browser), next, options)
  })

  // a form from another site comes without the browser's cookie, which must not be replaced; a redirect brings it along
  app.post('/authorize', { schema: postSchema }, async (request, reply) => {
    const parameters = parseParameters(request.body)
    await countDocument(request, parameters)
    await authorization.verify(parameters)
    const query = new URLSearchParams()
    for (const [name, value = ''] of Object.entries(parameters)) query.set(name, value)
    return reply.header('cache-control', 'no-store').redirect(`${options.issuer}/authorize?${query}`, 303)
  })
}
