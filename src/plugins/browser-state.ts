import { parse, serialize } from 'cookie'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { BrowserState } from '../oauth/browser-state.js'
import { hashOf } from '../oauth/secrets.js'

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

/**
 * The signed cookie that binds an authorization to the browser it began in. `SameSite=Lax`: it must come with the
 * redirect from the upstream. `__Host-` where there is https: no subdomain can set it, but its path is `/`, so that its
 * name tells two services of one origin apart.
 */
export const browserState = fp<BrowserStateOptions>(async (app, { issuer }) => {
  const { protocol, pathname } = new URL(issuer)
  const secure = protocol === 'https:'
  const name = `${secure ? '__Host-' : ''}mcp-browser${pathname === '/' ? '' : `-${hashOf(pathname).slice(0, 8)}`}`
  const { browserStates } = app.oauthBroker

  app.decorateRequest('getBrowserState', function (this: FastifyRequest) {
    return browserStates.read(parse(this.headers.cookie ?? '')[name])
  })
  app.decorateReply('setBrowserState', function (state) {
    return this.header('set-cookie', serialize(name, browserStates.write(state), { path: '/', httpOnly: true, secure, sameSite: 'lax', maxAge: MAX_AGE_SECONDS }))
  })
}, { name: 'browser-state', fastify: '5.x', dependencies: ['broker'] })
