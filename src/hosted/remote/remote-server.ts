import { createHash } from 'node:crypto'
import { isAnonymous, personKey } from '../../caller.js'
import type { CreateServer, ServerContext } from '../../mcp/create-server.js'
import { withDefaults } from '../../members.js'
import { proxiedFetch } from '../../outbound/proxied-fetch.js'
import { Proxy } from '../../outbound/proxy.js'
import { PipedServer } from '../piped-server.js'
import { checkRemoteServerOptions } from './check-options.js'
import { RemoteConnection } from './connection.js'
import { Credentials } from './credentials.js'
import { RemoteHttp } from './wire/http.js'
import { IdleAnnouncements } from './idle-announcements.js'
import { IdleConnections } from './idle-connections.js'
import { RemoteLink, type ConnectionSource } from './link.js'
import { Negotiation } from './negotiation.js'
import { defaultRemoteLimits, type RemoteLimits, type RemoteServerOptions } from './options.js'

type Params = Record<string, unknown>

/**
 * Hosts an MCP server that is reached by HTTP: Streamable HTTP of any revision, or HTTP+SSE. Each session has a
 * connection and a session of its own there; calls without a session reuse those of their person and client. The token
 * that a client calls this service with never goes to the remote server.
 * @throws {ConfigError} if the options cannot be used
 * @example
 * ```ts
 * import Fastify from 'fastify'
 * import { mcpService, remoteServer } from 'fastify-mcp-oauth'
 * import { options } from './options.js'
 *
 * const createServer = remoteServer({
 *   url: 'http://localhost:8000/mcp',
 *   headers: { 'x-api-key': process.env.CALENDAR_KEY ?? '' }
 * })
 * const app = Fastify()
 * await app.register(mcpService, { ...options, createServer })
 * ```
 */
export function remoteServer (options: RemoteServerOptions): CreateServer {
  checkRemoteServerOptions(options)
  const remote = new Remote(options)
  const createServer: CreateServer = context =>
    new PipedServer(sessionId => remote.link(context, sessionId), context.log)
  createServer.sessionEnded = sessionId => { remote.sessionEnded(sessionId) }
  createServer.close = () => remote.close()
  return createServer
}

/** The connections to one remote server. */
class Remote implements ConnectionSource {
  readonly #options: RemoteServerOptions
  readonly #limits: RemoteLimits
  readonly #fetch: typeof globalThis.fetch
  readonly #credentials: Credentials
  readonly #negotiation: Negotiation
  readonly #idle: IdleConnections
  readonly #announcements = new IdleAnnouncements()
  /** Those that are used, by whom they are for. */
  readonly #links = new Map<string, Set<RemoteLink>>()
  readonly #connections = new Set<RemoteConnection>()
  /** What resolves as connections have ended: nobody waits for the remote server to be told, but `close`. */
  readonly #ending = new Set<Promise<void>>()
  #isClosed = false

  constructor (options: RemoteServerOptions) {
    this.#options = options
    this.#limits = withDefaults(defaultRemoteLimits, options.limits)
    const { proxy, fetch = proxy === undefined ? globalThis.fetch : proxiedFetch(new Proxy(proxy)) } = options
    this.#fetch = fetch
    this.#credentials = new Credentials(options)
    this.#negotiation = new Negotiation(options.transport ?? 'auto')
    this.#idle = new IdleConnections(this.#limits, connection => { this.#end(connection) })
  }

  link (context: ServerContext, sessionId: string | undefined): RemoteLink {
    const link = new RemoteLink(this, context, toKey(sessionId, context))
    const links = this.#links.get(link.key) ?? new Set()
    this.#links.set(link.key, links.add(link))
    return link
  }

  take (link: RemoteLink, params: Params): RemoteConnection {
    const connection = this.#idle.take(link.key, params) ?? this.#makeConnection(link.context)
    this.#connections.add(connection)
    return connection
  }

  leave (link: RemoteLink, connection: RemoteConnection | undefined): void {
    const links = this.#links.get(link.key)
    const hasEnded = links?.delete(link) !== true
    if (links?.size === 0) this.#links.delete(link.key)
    if (connection === undefined) return
    this.#connections.delete(connection)
    connection.detach()
    // what a listener has subscribed to is not for others
    const isReusable = connection.isReusable && (link.context.era === 'legacy' || !connection.isSubscribed)
    if (this.#isClosed || hasEnded || link.key === '' || !isReusable) this.#end(connection)
    else this.#idle.put(link.key, connection)
  }

  sessionEnded (sessionId: string): void {
    const key = hash(sessionId)
    // those in use end as they are left
    this.#links.delete(key)
    this.#idle.end(key)
  }

  async close (): Promise<void> {
    this.#isClosed = true
    this.#idle.close()
    for (const connection of this.#connections) this.#end(connection)
    await Promise.all(this.#ending)
  }

  #end (connection: RemoteConnection): void {
    const ended = connection.close().finally(() => { this.#ending.delete(ended) })
    this.#ending.add(ended)
  }

  #makeConnection (context: ServerContext): RemoteConnection {
    const { url, headers = {} } = this.#options
    return new RemoteConnection({
      reach: findContext => new RemoteHttp({
        url: new URL(url),
        headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
        findToken: this.#credentials.for(findContext),
        fetch: this.#fetch,
        limits: this.#limits
      }),
      negotiation: this.#negotiation,
      onIdleNotification: (notification, idleContext) => { this.#announcements.take(notification, idleContext) },
      onLost: connection => {
        this.#idle.remove(connection)
        this.#connections.delete(connection)
      }
    }, context)
  }
}

/** Whom a connection is for; empty: nobody who comes back. */
function toKey (sessionId: string | undefined, context: ServerContext): string {
  if (sessionId === undefined) return ''
  if (context.era === 'legacy') return hash(sessionId)
  const { extra } = context.authInfo
  return isAnonymous(extra) ? '' : `${hash(sessionId)} ${personKey(extra)}`
}

function hash (text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}
