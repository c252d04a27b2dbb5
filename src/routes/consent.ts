import type { FastifyPluginAsync } from 'fastify'
import { AccessDeniedError, InvalidRequestError } from '../errors.js'
import { parametersOf } from './parameters.js'

export interface ConsentOptions {
  /** Our issuer. */
  issuer: string
}

/** `POST /authorize/consent`: the person's answer to the consent page. */
export const consentRoute: FastifyPluginAsync<ConsentOptions> = async (app, { issuer }) => {
  const { origin: ownOrigin } = new URL(issuer)
  app.post('/authorize/consent', async (request, reply) => {
    const { origin } = request.headers
    if (origin !== undefined && origin !== ownOrigin) throw new AccessDeniedError('This form was not sent by our page.', { detail: `Origin ${origin}` })
    const { transaction, decision, remember } = parametersOf(request.body)
    if (transaction === undefined || (decision !== 'allow' && decision !== 'deny')) throw new InvalidRequestError('The form is incomplete. Start again in your app.')
    const { url, browser } = await app.oauthBroker.authorization.decide(transaction, decision === 'allow', remember === 'yes', request.getBrowserState())
    return reply.setBrowserState(browser).header('cache-control', 'no-store').redirect(url, 303)
  })
}
