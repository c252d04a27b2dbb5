import type { FastifyPluginAsync } from 'fastify'
import { callerAddress } from '../../caller-address.js'
import { InvalidRequestError } from '../../errors.js'
import { goOn, type AuthorizeOptions } from './authorize.js'
import { checkSameOriginForm } from './same-origin-form.js'
import { parseParameters } from './parameters.js'

/** `POST /authorize/consent`: the person's answer to the consent page. */
export const consentRoute: FastifyPluginAsync<AuthorizeOptions> = async (app, { issuer, texts }) => {
  app.post('/authorize/consent', async (request, reply) => {
    checkSameOriginForm(request, issuer)
    const { transaction, decision, remember } = parseParameters(request.body)
    if (transaction === undefined || (decision !== 'allow' && decision !== 'deny')) {
      throw new InvalidRequestError('The form is incomplete. Start again in your app.')
    }
    const visitor = { browser: request.getBrowserState(), address: callerAddress(request) }
    const next = await app.oauthBroker.authorization.decide(transaction, {
      allow: decision === 'allow',
      remember: remember === 'yes'
    }, visitor)
    return goOn(request, reply, next, issuer, texts)
  })
}
