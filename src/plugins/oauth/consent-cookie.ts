import { parse, serialize } from 'cookie'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { BrowserState } from '../../oauth/authorize/browser-state.js'
import { kBroker } from './broker.js'
import { issuerCookie } from './issuer-cookie.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** The state kept in this person's browser; a new one if there is none. */
    getBrowserState (): BrowserState
  }
  interface FastifyReply {
    /** Keeps a state in the person's browser. */
    setBrowserState (state: BrowserState): FastifyReply
  }
}

export interface ConsentCookieOptions {
  /** Our issuer. */
  issuer: string
}

const MAX_AGE_SECONDS = 30 * 86_400

/** The signed cookie that binds an authorization, and the person's consent, to the browser it began in. */
export const consentCookie = fp<ConsentCookieOptions>(async (app, { issuer }) => {
  const { name, attributes } = issuerCookie(issuer, 'browser')
  const { browserStates } = app[kBroker]

  app.decorateRequest('getBrowserState', function (this: FastifyRequest) {
    return browserStates.read(parse(this.headers.cookie ?? '')[name])
  })
  app.decorateReply('setBrowserState', function (state) {
    return this.header(
      'set-cookie',
      serialize(name, browserStates.write(state), { ...attributes, maxAge: MAX_AGE_SECONDS })
    )
  })
}, { name: 'fastify-mcp-oauth/consent-cookie', fastify: '5.x', dependencies: ['fastify-mcp-oauth/broker'] })
