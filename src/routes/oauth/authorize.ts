import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { callerAddress } from '../../caller-address.js'
import { consentPage, refusalPage, type ConsentPageOptions } from '../../pages/consent.js'
import type { NextStep } from '../../oauth/authorize/next-step.js'
import { withoutQuery } from '../../plugins/scoped/log-serializers.js'
import { parseParameters } from './parameters.js'

export interface AuthorizeOptions {
  /** Our issuer. */
  issuer: string
  texts: ConsentPageOptions['texts']
}

/** Metadata documents that one address may have us fetch: at its login, a client has one. */
const FETCHES_PER_MINUTE = 60

/** `GET`, `POST /authorize`: a client asks, by way of a person's browser (RFC 6749 4.1.1). */
export const authorizeRoute: FastifyPluginAsync<AuthorizeOptions> = async (app, { issuer, texts }) => {
  const { authorization, clients, limits } = app.oauthBroker

  /** A document that has to be fetched is a request of ours to wherever somebody says. */
  async function countFetch (
    request: FastifyRequest,
    { client_id: clientId = '' }: ReturnType<typeof parseParameters>
  ): Promise<void> {
    if (await clients.hasToFetch(clientId)) {
      await limits.count(['metadata documents', 'address', callerAddress(request)], FETCHES_PER_MINUTE)
    }
  }

  app.get('/authorize', { exposeHeadRoute: false, logSerializers: withoutQuery }, async (request, reply) => {
    const parameters = parseParameters(request.query)
    await countFetch(request, parameters)
    const browser = request.getBrowserState()
    const next = await authorization.begin(parameters, { browser, address: callerAddress(request) })
    if (next.kind === 'refusal') return goOn(request, reply, next, issuer, texts)
    return goOn(request, reply.setBrowserState(browser), next, issuer, texts)
  })

  // from another site it comes without the browser's cookie, which must not be replaced for it; a link brings the cookie along
  app.post('/authorize', async (request, reply) => {
    const parameters = parseParameters(request.body)
    await countFetch(request, parameters)
    await authorization.verify(parameters)
    const query = new URLSearchParams()
    for (const [name, value = ''] of Object.entries(parameters)) query.set(name, value)
    return reply.header('cache-control', 'no-store').redirect(`${issuer}/authorize?${query}`, 303)
  })
}

/** What follows in the browser, as a redirect or a page. */
export function goOn (
  request: FastifyRequest,
  reply: FastifyReply,
  next: NextStep,
  issuer: string,
  texts: ConsentPageOptions['texts']
): FastifyReply {
  switch (next.kind) {
    case 'redirect':
      return reply.header('cache-control', 'no-store').redirect(next.url, request.method === 'POST' ? 303 : 302)
    case 'consent':
      return reply.sendPage(
        consentPage({
          request: next.request,
          action: `${issuer}/authorize/consent`,
          connections: `${issuer}/oauth/connections`,
          texts
        })
      )
    case 'refusal':
      request.log.info(
        { code: next.error.code, detail: next.error.detail },
        `authorization refused: ${next.error.message}`
      )
      return reply.code(next.error.statusCode === 503 ? 503 : 400).sendPage(
        refusalPage(next.error, next.url, request.id)
      )
  }
}
