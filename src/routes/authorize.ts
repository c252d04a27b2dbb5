import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { consentPage, refusalPage } from '../oauth/pages.js'
import { withoutQuery } from '../plugins/log-serializers.js'
import { parametersOf } from './parameters.js'

export interface AuthorizeOptions {
  /** Our issuer. */
  issuer: string
  scopeDescriptions: Readonly<Record<string, string>>
}

/** `GET`, `POST /authorize`: a client asks, by way of a person's browser (RFC 6749 4.1.1). */
export const authorizeRoute: FastifyPluginAsync<AuthorizeOptions> = async (app, { issuer, scopeDescriptions }) => {
  app.get('/authorize', { exposeHeadRoute: false, logSerializers: withoutQuery }, (request, reply) => authorize(request, reply, request.query))
  app.post('/authorize', (request, reply) => authorize(request, reply, request.body))

  async function authorize (request: FastifyRequest, reply: FastifyReply, source: unknown): Promise<FastifyReply> {
    const parameters = parametersOf(source)
    const browser = request.getBrowserState()
    const next = await app.oauthBroker.authorization.begin(parameters, browser)
    switch (next.kind) {
      case 'redirect':
        return reply.setBrowserState(browser).header('cache-control', 'no-store').redirect(next.url, 302)
      case 'consent':
        return reply.setBrowserState(browser).sendPage(consentPage({ request: next.request, action: `${issuer}/authorize/consent`, scopeDescriptions }))
      case 'refusal':
        request.log.info({ code: next.error.code, detail: next.error.detail }, `authorization refused: ${next.error.message}`)
        return reply.code(400).sendPage(refusalPage(next.error, next.url, request.id))
    }
  }
}
