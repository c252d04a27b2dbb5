import { parse, serialize } from 'cookie'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { BrowserState } from '../oauth/browser-state.js'

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
  /** The origin that clients see. */
  publicUrl: string
}

const MAX_AGE_SECONDS = 30 * 86_400

/**
 * The signed cookie that binds an authorization to the browser it began in. `SameSite=Lax`: it must come with the
 * redirect from the upstream. `__Host-` where there is https: no subdomain can set it.
 */
export const browserState = fp<BrowserStateOptions>(async (app, { publicUrl }) => {
  const secure = publicUrl.startsWith('https:')
  const name = secure ? '__Host-mcp-browser' : 'mcp-browser'
  const { browserStates } = app.broker

  app.decorateRequest('getBrowserState', function (this: FastifyRequest) {
    return browserStates.read(parse(this.headers.cookie ?? '')[name])
  })
  app.decorateReply('setBrowserState', function (state) {
    return this.header('set-cookie', serialize(name, browserStates.write(state), { path: '/', httpOnly: true, secure, sameSite: 'lax', maxAge: MAX_AGE_SECONDS }))
  })
}, { name: 'browser-state', fastify: '5.x', dependencies: ['broker'] })
