import { parse, serialize } from 'cookie'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { BrowserState } from '../../oauth/authorize/browser-state.js'
import { issuerCookie } from './cookie.js'
import { kBroker } from './broker.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** What we keep in this person's browser; new where there was nothing. */
    getBrowserState (): BrowserState
  }
  interface FastifyReply {
    /** Keeps a state in the person's browser. */
    setBrowserState (state: BrowserState): FastifyReply
  }
}

export interface BrowserStateOptions {
  /** Our issuer. */
  issuer: string
}

const MAX_AGE_SECONDS = 30 * 86_400

/** The signed cookie that binds an authorization to the browser it began in. */
export const browserState = fp<BrowserStateOptions>(async (app, { issuer }) => {
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
}, { name: 'fastify-mcp-oauth/browser-state', fastify: '5.x', dependencies: ['fastify-mcp-oauth/broker'] })
