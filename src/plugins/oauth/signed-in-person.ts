import { parse, serialize } from 'cookie'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Person } from '../../caller.js'
import { SIGNED_IN_SECONDS } from '../../oauth/connections/sign-ins.js'
import { issuerCookie } from './issuer-cookie.js'
import { kBroker } from './broker.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who is signed in to our pages in this browser; this is not a caller of the MCP server. */
    getPerson (): Person | undefined
    /** The sign-in that this browser has begun, as it was kept. */
    getPendingSignIn (): string | undefined
  }
  interface FastifyReply {
    /** Signs a person in, or (undefined) out. */
    setPerson (person: Person | undefined): FastifyReply
    setPendingSignIn (pending: string): FastifyReply
  }
}

export interface SignedInPersonOptions {
  /** Our issuer. */
  issuer: string
}

const PENDING_SECONDS = 600

/**
 * Two signed cookies for our pages: who is signed in, and a pending sign-in. Forms of other sites do not carry them.
 */
export const signedInPerson = fp<SignedInPersonOptions>(async (app, { issuer }) => {
  const [signedIn, pendingSignIn] = [issuerCookie(issuer, 'person'), issuerCookie(issuer, 'sign-in')]
  const { signIns } = app[kBroker]

  app.decorateRequest('getPerson', function (this: FastifyRequest) {
    return signIns.read(parse(this.headers.cookie ?? '')[signedIn.name])
  })
  app.decorateRequest('getPendingSignIn', function (this: FastifyRequest) {
    return parse(this.headers.cookie ?? '')[pendingSignIn.name]
  })
  app.decorateReply('setPerson', function (person) {
    this.header('set-cookie', serialize(pendingSignIn.name, '', { ...pendingSignIn.attributes, maxAge: 0 }))
    return this.header('set-cookie', person === undefined
      ? serialize(signedIn.name, '', { ...signedIn.attributes, maxAge: 0 })
      : serialize(signedIn.name, signIns.write(person), { ...signedIn.attributes, maxAge: SIGNED_IN_SECONDS }))
  })
  app.decorateReply('setPendingSignIn', function (pending) {
    return this.header(
      'set-cookie',
      serialize(pendingSignIn.name, pending, { ...pendingSignIn.attributes, maxAge: PENDING_SECONDS })
    )
  })
}, { name: 'fastify-mcp-oauth/signed-in-person', fastify: '5.x', dependencies: ['fastify-mcp-oauth/broker'] })
