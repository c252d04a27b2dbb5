import type { FastifyPluginAsync } from 'fastify'
import { InvalidRequestError } from '../errors.js'
import { checkOwnForm } from './own-form.js'
import { parametersOf } from './parameters.js'

export interface ConsentOptions {
  /** Our issuer. */
  issuer: string
}

/** `POST /authorize/consent`: the person's answer to the consent page. */
export const consentRoute: FastifyPluginAsync<ConsentOptions> = async (app, { issuer }) => {
  app.post('/authorize/consent', async (request, reply) => {
    checkOwnForm(request, issuer)
    const { transaction, decision, remember } = parametersOf(request.body)
    if (transaction === undefined || (decision !== 'allow' && decision !== 'deny')) throw new InvalidRequestError('The form is incomplete. Start again in your app.')
    const { url, browser } = await app.oauthBroker.authorization.decide(transaction, decision === 'allow', remember === 'yes', request.getBrowserState())
    return reply.setBrowserState(browser).header('cache-control', 'no-store').redirect(url, 303)
  })
}
