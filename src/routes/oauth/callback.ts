import type { FastifyPluginAsync } from 'fastify'
import { callerAddress } from '../../caller-address.js'
import { withoutQuery } from '../../plugins/scoped/log-serializers.js'
import { pageErrors } from '../schemas/errors.js'
import { parameters } from '../schemas/requests.js'
import { emptyResponse } from '../schemas/responses.js'
import { sendNextStep, type AuthorizeOptions } from './next-step.js'
import { parseParameters } from './parameters.js'
import { kBroker } from '../../plugins/oauth/broker.js'

const schema = {
  tags: ['oauth'],
  summary: 'The way back from the upstream',
  querystring: parameters({
    state: 'Ours',
    code: 'The upstream\'s code',
    iss: 'The upstream (RFC 9207)',
    error: 'The upstream\'s error code'
  }, ['state']),
  response: { 302: emptyResponse('To the client, with its code or an error.'), ...pageErrors }
}

/**
 * `GET /oauth/callback`: the person comes back from the upstream (RFC 6749 4.1.2), and continues to the client or to
 * the consent page.
 */
export const callbackRoute: FastifyPluginAsync<AuthorizeOptions> = async (app, options) => {
  app.get('/oauth/callback', {
    schema,
    exposeHeadRoute: false,
    logSerializers: withoutQuery
  }, async (request, reply) => {
    parseParameters(request.query)
    const visitor = { browser: request.getBrowserState(), address: callerAddress(request), http: request }
    const { next, browser } = await app[kBroker].authorization.complete(
      new URL(request.url, 'http://callback').search,
      visitor
    )
    return sendNextStep(request, reply.setBrowserState(browser), next, options)
  })
}
