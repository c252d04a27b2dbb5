import type { FastifyPluginAsync } from 'fastify'
import { callerAddress } from '../../caller-address.js'
import { InvalidRequestError } from '../../errors.js'
import { pageErrors } from '../schemas/errors.js'
import { formBody } from '../schemas/requests.js'
import { emptyResponse } from '../schemas/responses.js'
import { sendNextStep, type AuthorizeOptions } from './next-step.js'
import { checkSameOriginForm } from './same-origin-form.js'
import { parseParameters } from './parameters.js'
import { kBroker } from '../../plugins/oauth/broker.js'

const DECISIONS: ReadonlySet<string | undefined> = new Set(['allow', 'deny', 'switch'])

const schema = {
  tags: ['oauth'],
  summary: 'What the person chose on the consent page',
  body: formBody({
    transaction: 'From the page',
    decision: 'allow, deny, or switch: log in with another account',
    remember: 'yes: do not ask again'
  }, ['transaction', 'decision']),
  response: { 303: emptyResponse('To the upstream, or back to the client.'), ...pageErrors }
}

/** `POST /authorize/consent`: what the person chose on the consent page. */
export const consentRoute: FastifyPluginAsync<AuthorizeOptions> = async (app, options) => {
  app.post('/authorize/consent', { schema }, async (request, reply) => {
    checkSameOriginForm(request, options.issuer)
    const { transaction, decision, remember } = parseParameters(request.body)
    if (transaction === undefined || !DECISIONS.has(decision)) {
      throw new InvalidRequestError('The form is incomplete. Start again in your app.')
    }
    const visitor = { browser: request.getBrowserState(), address: callerAddress(request), http: request }
    const { consentPages } = app[kBroker]
    const next = decision === 'switch'
      ? await consentPages.switchAccount(transaction, visitor)
      : await consentPages.decide(transaction, { allow: decision === 'allow', remember: remember === 'yes' }, visitor)
    return sendNextStep(request, reply, next, options)
  })
}
