import type { CallerInfo } from '../caller.js'
import type { Bus } from '../stores/bus.js'
import type { CallLimitStore } from '../stores/call-limits.js'
import type { EventLog } from '../stores/event-log.js'
import type { LeaseStore } from '../stores/leases.js'
import type { SessionStore } from '../stores/sessions.js'
import type { TaskRecords } from '../stores/tasks/records.js'
import type { CreateServer } from './create-server.js'
import type { SessionLimits } from './limits.js'
import type { Policy } from '../policy/policy.js'
import type { MaySubscribe } from './server-events/may-subscribe.js'
import type { McpObserver } from './observer.js'

/**
 * Options of the `mcpTransports` plugin. `app.bearerAuth` (plugin `bearer-auth`) must be registered before it.
 * @example
 * ```ts
 * import { createMemoryStores, type McpTransportsOptions } from 'fastify-mcp-oauth'
 * import { createServer } from './server.js'
 *
 * export const options: McpTransportsOptions = {
 *   publicUrl: 'https://mcp.example.com',
 *   createServer,
 *   ...createMemoryStores({ sessionIdleSeconds: 3600 }),
 *   allowedOrigins: ['https://chat.example.com'],
 *   limits: { toolCallsPerMinute: 60 },
 *   drainSeconds: 10
 * }
 * ```
 */
export interface McpTransportsOptions {
  /** The URL of the app's root as clients see it, such as `https://mcp.example.com`. */
  publicUrl: string
  /** Makes the MCP server that is served. */
  createServer: CreateServer
  /**
   * Reuses server instances: one serves many requests of revision 2026-07-28, of any caller, one after the other.
   * `createServer` must not look at the caller (its context throws), and an instance must keep nothing that the next
   * caller may not see; see `docs/eras.md`. Default: false.
   */
  reuseInstances?: boolean
  /**
   * Whether a caller may subscribe to a resource (`resources/subscribe`, `subscriptions/listen`), and so receives its
   * updates from the servers of all persons. If not, the error is -32602 and names the resource. Default: every caller
   * may subscribe to anything, and receives only the updates from servers that were made for the same person.
   */
  maySubscribe?: MaySubscribe
  /** Who may use what, and how much. Default: everybody may use everything. */
  policy?: Policy
  /**
   * How a call learns that it needs a login or more scopes: `http`: by HTTP 401 or 403, as the specification says;
   * `tool-result`: by a result of the tool that is an error, as ChatGPT needs it; `auto` (default): as its client does.
   */
  authChallenge?: AuthChallenge
  /** Keeps sessions. */
  sessions: SessionStore
  /** Keeps what was sent over streams, for clients that resume. */
  eventLog: EventLog
  /** Exclusive rights across replicas; they also show which replicas are alive. */
  leases: LeaseStore
  /** What replicas tell each other. */
  bus: Bus
  /** How much is called, for the limits of the policy. Default: each process counts for itself. */
  callLimits?: CallLimitStore
  /** Tasks, if the server uses `createTaskStore` of the same stores: those of a process that ends have failed. */
  tasks?: TaskRecords
  /**
   * Finds which of these logins (`extra.grantId` of their callers) have ended. It is asked after messages between
   * replicas may have been missed. Default: their ends are known from the bus alone.
   */
  findEndedGrants?: (grantIds: readonly string[]) => Promise<string[]>
  /** The caller's token at the upstream authorization server, if this service holds one. */
  getUpstreamAccessToken?: (authInfo: CallerInfo) => Promise<string | undefined>
  /**
   * `stateful` (default): sessions. `stateless`: a new instance for every request, no session id, no GET, no DELETE,
   * no HTTP+SSE; for serverless platforms.
   */
  sessionMode?: 'stateful' | 'stateless'
  /**
   * Keys for the `requestState` of revision 2026-07-28, and for what replicas hand over: the first seals, all open; the
   * same on every replica. Default: a random one.
   */
  requestStateKeys?: readonly Uint8Array[]
  /**
   * Browser origins that may call, besides that of `publicUrl`. `https://*.example.com`: all names under the domain, but
   * not itself; `*`: any.
   */
  allowedOrigins?: readonly string[]
  /** Values of `Host` that are accepted, besides that of `publicUrl`; `*` for any. */
  allowedHosts?: readonly string[]
  /** Largest request body in bytes. Default: 4 MiB. */
  maxBodyBytes?: number
  /** Limits of sessions, streams and requests. */
  limits?: Partial<SessionLimits>
  /** How responses and streams behave on the wire. */
  streams?: Partial<StreamOptions>
  /** Observes every request to a server, for metrics and traces. */
  mcpObserver?: McpObserver
  /** Time that calls in flight get to finish when the app closes. Default: 1. */
  drainSeconds?: number
}

/**
 * How a call learns that it needs a login or more scopes.
 * @example
 * ```ts
 * import type { AuthChallenge } from 'fastify-mcp-oauth'
 *
 * // every client of this service is ChatGPT
 * export const authChallenge: AuthChallenge = 'tool-result'
 * ```
 */
export type AuthChallenge = 'http' | 'tool-result' | 'auto'

/**
 * How responses and streams behave on the wire. All are milliseconds. Pass some of them as `streams` of `mcpService`.
 * @example
 * ```ts
 * import type { StreamOptions } from 'fastify-mcp-oauth'
 *
 * // a proxy in front cuts connections that are silent for ten seconds
 * export const streams: Partial<StreamOptions> = { heartbeatMs: 5000 }
 * ```
 */
export interface StreamOptions {
  /** Silence after which a pending response becomes an SSE stream. */
  silenceMs: number
  /** Interval of the comments that keep idle streams from being cut by proxies. */
  heartbeatMs: number
  /** Time after which clients should resume a stream that was cut. */
  retryMs: number
  /** Time after which a client is disconnected that takes nothing of what waits for it, in every era. */
  stalledMs: number
}

export const defaultStreamOptions: StreamOptions = {
  silenceMs: 3000,
  heartbeatMs: 15_000,
  retryMs: 1000,
  stalledMs: 30_000
}
