import type { ServerEvent } from '@modelcontextprotocol/server'
import type { CallerInfo } from '../caller.js'
import type { Log } from '../log.js'

/**
 * What the factory knows about the connection that the instance is made for.
 * @example
 * ```ts
 * import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
 * import type { ServerContext } from 'fastify-mcp-oauth'
 *
 * export function createServer ({ getUpstreamAccessToken, log }: ServerContext): McpServer {
 *   const server = new McpServer({ name: 'calendar', version: '1.0.0' })
 *   server.registerTool('signed_in', { description: 'Whether the calendar can be read' }, async () => {
 *     const token = await getUpstreamAccessToken()
 *     log.info({ signedIn: token !== undefined }, 'looked for the token')
 *     return { content: [{ type: 'text', text: String(token !== undefined) }] }
 *   })
 *   return server
 * }
 * ```
 */
export interface ServerContext {
  /**
   * `legacy`: the instance serves one session of the revisions up to 2025-11-25 (one POST with
   * `SESSION_MODE=stateless`). `modern`: it serves one request of revision 2026-07-28. The words are the SDK's.
   */
  readonly era: 'legacy' | 'modern'
  /**
   * Who called last. One session has one owner, but a later call may carry another token, with other scopes:
   * a tool should take its caller from `extra.authInfo`.
   */
  readonly authInfo: CallerInfo
  /**
   * Logger of this instance. Its lines have `reqId`, `sessionId`, `clientId` and `grantId`, as far as there are any.
   * They are those of the request that is worked on, although others run beside it, and of the last one if none runs;
   * with `reuseInstances`, which serves many callers, there are none.
   */
  readonly log: Log
  /**
   * The person's access token at the upstream authorization server, for calls in their name.
   * @returns undefined if this service holds none
   */
  getUpstreamAccessToken (): Promise<string | undefined>
  /**
   * Notifies every listening client, of either era and on every replica, that a list or a resource has changed; so the
   * URI must not be a secret. (A resource update that a server sends through its SDK reaches only its own person.)
   * @param options `toPersonOnly`: only clients of this person are notified
   */
  announce (event: ServerEvent, options?: { toPersonOnly?: boolean }): void
}

/** A `Server` of `@modelcontextprotocol/sdk` 1.x or `@modelcontextprotocol/server` 2.x, whichever copy of it. */
interface PluggedBareServer {
  connect (transport: never): Promise<void>
  close (): Promise<void>
  getClientCapabilities (): unknown
}

/** An `McpServer` of either SDK. */
interface PluggedMcpServer {
  readonly server: PluggedBareServer
  connect (transport: never): Promise<void>
  close (): Promise<void>
}

/**
 * What is plugged in: an `McpServer` or a `Server` of `@modelcontextprotocol/sdk` 1.x or `@modelcontextprotocol/server`
 * 2.x. The type says what they have in common, so that those of the app's own copy of an SDK fit.
 * @example
 * ```ts
 * import { McpServer } from '@modelcontextprotocol/server'
 * import type { PluggedServer } from 'fastify-mcp-oauth'
 *
 * export function makeServer (name: string): PluggedServer {
 *   return new McpServer({ name, version: '1.0.0' })
 * }
 * ```
 */
export type PluggedServer = PluggedMcpServer | PluggedBareServer

/**
 * Makes one server instance. It is called for every session, again when an idle session is resumed, and for every
 * request of revision 2026-07-28. Build schemas and validators outside of it, and keep there what must outlive the
 * instance.
 * @example
 * ```ts
 * import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
 * import type { CreateServer } from 'fastify-mcp-oauth'
 * import * as z from 'zod'
 *
 * const operands = z.object({ l: z.number(), r: z.number() })
 *
 * export const createServer: CreateServer = () => {
 *   const server = new McpServer({ name: 'calculator', version: '1.0.0' })
 *   const sum = (l: number, r: number) => ({ content: [{ type: 'text' as const, text: String(l + r) }] })
 *   server.registerTool('add', { inputSchema: operands }, ({ l, r }) => sum(l, r))
 *   return server
 * }
 * ```
 */
export type CreateServer = ((context: ServerContext) => PluggedServer | Promise<PluggedServer>) & ServerLifetimes

/**
 * For a factory that keeps something beyond its servers, which come and go while a session lasts.
 * @example
 * ```ts
 * import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
 * import type { CreateServer, ServerLifetimes } from 'fastify-mcp-oauth'
 *
 * const drafts = new Map<string, string>()
 * const lifetimes: ServerLifetimes = { sessionEnded: sessionId => { drafts.delete(sessionId) } }
 *
 * export const createServer: CreateServer =
 *   Object.assign(() => new McpServer({ name: 'drafts', version: '1.0.0' }), lifetimes)
 * ```
 */
export interface ServerLifetimes {
  /**
   * Whether what its servers know of a session is kept in this process, and must not be lost. With several replicas, a
   * session then runs at one of them: requests that reach another are handed to it. If that one dies, the session
   * continues elsewhere, with a new server.
   */
  keepsSessions?: boolean
  /** Called when a session has ended, on every replica; and when it has moved, on the one that it has left. */
  sessionEnded?: (sessionId: string) => void
  /** Called when the app closes, after the servers have been closed. */
  close?: () => Promise<void>
}
