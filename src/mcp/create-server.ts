import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import type { Server } from '@modelcontextprotocol/sdk/server/index.js'
import type { BaseLogger } from 'pino'
import type { CallerInfo } from '../auth-info.js'

/** Where to log: pino, or what Fastify takes for it. */
export type Log = Pick<BaseLogger, 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace'>

/** What the server's maker learns about the connection that the instance is made for. */
export interface ServerContext {
  /** `session`: the instance serves one session of the revisions up to 2025-11-25 (in stateless mode, one request of them). */
  readonly era: 'session'
  /**
   * Who called last. One session has one owner, but a later call may carry another token (other scopes):
   * a tool takes its caller from `extra.authInfo`.
   */
  readonly authInfo: CallerInfo
  /** Logger of this instance. */
  readonly log: Log
  /**
   * The person's access token at the upstream authorization server, for calls in their name.
   * @returns undefined where this service holds none
   */
  getUpstreamAccessToken (): Promise<string | undefined>
}

/** What is plugged in: a server of `@modelcontextprotocol/sdk` 1.x. */
export type PluggedServer = McpServer | Server

/**
 * Makes one server instance. It is called for every session, and again when a session that was idle is taken up
 * again: keep state that must outlive the instance outside of it.
 */
export type CreateServer = (context: ServerContext) => PluggedServer | Promise<PluggedServer>
