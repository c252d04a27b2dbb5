import type { JSONRPCRequest } from '@modelcontextprotocol/server'
import type { CallerInfo } from '../caller.js'
import type { LimitName, ServiceError } from '../errors.js'
import type { JsonRpcResponse } from './wire/messages.js'

/**
 * The HTTP request that a message came with, as far as observers need it.
 * @example
 * ```ts
 * import type { InboundHttp } from 'fastify-mcp-oauth'
 *
 * export function describe ({ id, ip, bodyBytes }: InboundHttp): string {
 *   return [id, ip, bodyBytes].join(' ')
 * }
 * ```
 */
export interface InboundHttp {
  /** What the log calls it. */
  readonly id: string
  /** The address that it came from, according to the app's `trustProxy`. */
  readonly ip: string
  /** Length of its body, which may hold several messages. */
  readonly bodyBytes: number
  /** Name of the server that it is to, if there are several. */
  readonly mcpServer?: string
  /** The trace that it belongs to, in hexadecimal. A client may name any; null or absent if there is none. */
  readonly mcpTraceId?: string | null
  /** The session that it belongs to, once that was found to be the caller's. */
  mcpSessionId?: string | null
  /** How the requests in it have ended so far; of several, the first that did not end well. For the log. */
  mcpOutcome?: RequestOutcome | 'refused' | null
}

/**
 * A client's request to a server.
 * @example
 * ```ts
 * import type { ObservedRequest } from 'fastify-mcp-oauth'
 *
 * export function describe ({ request, sessionId = 'no session' }: ObservedRequest): string {
 *   return [request.method, sessionId].join(' in ')
 * }
 * ```
 */
export interface ObservedRequest {
  /** As the client sent it. */
  request: JSONRPCRequest
  /** Name of the server that it is to, if there are several. */
  server?: string
  /** Absent without a session. */
  sessionId?: string
  /** Revision that the HTTP request names, such as `2025-11-25`; absent if it names none. */
  protocolVersion?: string
  /** `modern`: revision 2026-07-28. `legacy`: those before it. */
  era?: 'legacy' | 'modern'
  /** Who makes the request; absent if it was not told. */
  caller?: CallerInfo
  /** The HTTP request that it came with; absent if that reached another replica. */
  http?: InboundHttp
}

/**
 * A request that was refused before a server had it: `request` and `ended` of the observer are not called for it.
 * @example
 * ```ts
 * import type { RefusedRequest } from 'fastify-mcp-oauth'
 *
 * export function describe ({ error, request }: RefusedRequest): string {
 *   return [error.reason ?? error.code, request.method].join(' ')
 * }
 * ```
 */
export interface RefusedRequest extends ObservedRequest {
  /** Why. */
  error: ServiceError
}

/**
 * How a request ended: its JSON-RPC response, or why there is none. `cancelled`: the client cancelled it. `closed`: the
 * server, or its connection, has closed.
 * @example
 * ```ts
 * import type { RequestEnd } from 'fastify-mcp-oauth'
 *
 * export function hasFailed (end: RequestEnd): boolean {
 *   return end === 'closed' || (typeof end === 'object' && 'error' in end)
 * }
 * ```
 */
export type RequestEnd = JsonRpcResponse | 'cancelled' | 'closed'

/** What this process has now. */
export interface McpCounts {
  sessions: number
  instances: number
  streams: number
}

/**
 * Observes requests to servers, for metrics and traces. It runs for every call: keep it cheap. Pass it as `mcpObserver`
 * of `mcpService`.
 * @example
 * ```ts
 * import type { McpObserver } from 'fastify-mcp-oauth'
 *
 * export const slowCalls: McpObserver = {
 *   ended ({ request }, _end, ms) {
 *     if (ms > 5000) console.warn(request.method, 'took', Math.round(ms), 'ms')
 *   }
 * }
 * ```
 */
export interface McpObserver {
  /**
   * Called for each request, for what must surround the server's work, such as a span; must call `run` once, before it
   * returns, to pass the request to the server.
   * @returns a function that is called when the request has ended, after `ended`
   */
  request? (observed: ObservedRequest, run: () => void): (end: RequestEnd) => void
  /**
   * Called when a request has ended, which costs less than `request`; `ms`: milliseconds since the server got it;
   * `text`: its response as it was sent, if it was.
   */
  ended? (observed: ObservedRequest, end: RequestEnd, ms: number, text?: string): void
  /** Called when a limit has refused a request; `server`: which of several. */
  refused? (limit: LimitName, server?: string): void
  /**
   * Called when the policy has refused a request, and the HTTP response does not say so: it has status 200, or is of a
   * batch, or is a stream. Refusals by HTTP status are known without it.
   */
  denied? (refused: RefusedRequest): void
  /** Given a function that returns the current counts. */
  counts? (read: () => McpCounts): void
}

type Surround = NonNullable<McpObserver['request']>

/** The inner one ends first. */
function nest (inner: Surround, outer: Surround): Surround {
  return (observed, run) => {
    let onInnerEnd: ReturnType<Surround> | undefined
    const onOuterEnd = outer(observed, () => { onInnerEnd = inner(observed, run) })
    return end => {
      onInnerEnd?.(end)
      onOuterEnd(end)
    }
  }
}

/** The observer of one of several servers: it sees the name of that one. */
export function nameServer (observer: McpObserver, server: string): McpObserver {
  const { request } = observer
  return {
    ...observer,
    ...request !== undefined && {
      request: (observed, run) => request.call(observer, { ...observed, server }, run)
    },
    ended: (observed, end, ms, text) => { observer.ended?.({ ...observed, server }, end, ms, text) },
    refused: limit => { observer.refused?.(limit, server) },
    denied: refused => { observer.denied?.({ ...refused, server }) }
  }
}

/** How a request ended, in a word. `tool_error`: the tool reported a failure. */
export type RequestOutcome = 'ok' | 'tool_error' | 'error' | 'cancelled' | 'closed'

export function classifyEnd (end: RequestEnd): RequestOutcome {
  if (typeof end === 'string') return end
  if ('error' in end) return 'error'
  return end.result.isError === true ? 'tool_error' : 'ok'
}

/**
 * Several observers as one; the first is the outermost.
 * @example
 * ```ts
 * import { mcpTracing, Metrics, observeTogether } from 'fastify-mcp-oauth'
 *
 * const metrics = new Metrics()
 * export const mcpObserver = observeTogether([metrics.mcpObserver, mcpTracing])
 * ```
 */
export function observeTogether (observers: readonly McpObserver[]): McpObserver {
  const [only] = observers
  if (only !== undefined && observers.length === 1) return only
  const surrounding = observers.flatMap(observer => observer.request?.bind(observer) ?? [])
  return {
    ...surrounding.length > 0 && { request: surrounding.reduceRight((inner, outer) => nest(inner, outer)) },
    ended: (observed, end, ms, text) => { for (const observer of observers) observer.ended?.(observed, end, ms, text) },
    refused: (limit, server) => { for (const observer of observers) observer.refused?.(limit, server) },
    denied: refused => { for (const observer of observers) observer.denied?.(refused) },
    counts: read => { for (const observer of observers) observer.counts?.(read) }
  }
}
