import { parse, serialize, type SerializeOptions } from 'cookie'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Person } from '../oauth/connections.js'
import { SIGNED_IN_SECONDS } from '../oauth/sign-ins.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who is signed in to our own pages in this browser; not to be taken for a caller of the MCP server. */
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
  /** The origin that clients see. */
  publicUrl: string
}

const PENDING_SECONDS = 600

/** Two signed cookies for our own pages: who is signed in, and a sign-in that is under way. They come with links, and with no form of another site. */
export const signedInPerson = fp<SignedInPersonOptions>(async (app, { publicUrl }) => {
  const secure = publicUrl.startsWith('https:')
  const nameOf = (what: string) => secure ? `__Host-mcp-${what}` : `mcp-${what}`
  const attributes: SerializeOptions = { path: '/', httpOnly: true, secure, sameSite: 'lax' }
  const { signIns } = app.broker

  app.decorateRequest('getPerson', function (this: FastifyRequest) {
    return signIns.read(parse(this.headers.cookie ?? '')[nameOf('person')])
  })
  app.decorateRequest('getPendingSignIn', function (this: FastifyRequest) {
    return parse(this.headers.cookie ?? '')[nameOf('sign-in')]
  })
  app.decorateReply('setPerson', function (person) {
    this.header('set-cookie', serialize(nameOf('sign-in'), '', { ...attributes, maxAge: 0 }))
    return this.header('set-cookie', person === undefined
      ? serialize(nameOf('person'), '', { ...attributes, maxAge: 0 })
      : serialize(nameOf('person'), signIns.write(person), { ...attributes, maxAge: SIGNED_IN_SECONDS }))
  })
  app.decorateReply('setPendingSignIn', function (pending) {
    return this.header('set-cookie', serialize(nameOf('sign-in'), pending, { ...attributes, maxAge: PENDING_SECONDS }))
  })
}, { name: 'signed-in-person', fastify: '5.x', dependencies: ['broker'] })
