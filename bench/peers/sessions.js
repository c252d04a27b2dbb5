import { randomUUID } from 'node:crypto'
import { createServer } from '../../test/support/sample-server.js'

/*
 * What an author of such a server would write around the SDK's transport: a map of sessions, each of which belongs to
 * its first caller. The transports answer with JSON, which is the cheaper of their two ways.
 */

/** The hosted server of this project, as it is: the same tools for every peer of SDK 1.x. */
export const hostedServer = caller => createServer({
  era: 'session',
  authInfo: caller,
  log: { debug () {} },
  getUpstreamAccessToken: async () => undefined
})

/** Sessions over a `Transport` class of the SDK. */
export class Sessions {
  #sessions = new Map()
  #Transport
  #createServer

  constructor (Transport, createServer) {
    this.#Transport = Transport
    this.#createServer = createServer
  }

  /** @returns the transport of a request's session, a new one for `initialize`, or undefined */
  async transportOf (headers, body, caller) {
    const session = this.#sessions.get(headers['mcp-session-id'])
    if (session !== undefined) return session.subject === caller.extra.subject ? session.transport : undefined
    if (headers['mcp-session-id'] !== undefined || body?.method !== 'initialize') return undefined
    const transport = new this.#Transport({
      sessionIdGenerator: randomUUID,
      enableJsonResponse: true,
      onsessioninitialized: id => { this.#sessions.set(id, { transport, subject: caller.extra.subject }) }
    })
    transport.onclose = () => { this.#sessions.delete(transport.sessionId) }
    await (await this.#createServer(caller)).connect(transport)
    return transport
  }
}
