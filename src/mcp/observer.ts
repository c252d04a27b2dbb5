import type { JSONRPCMessage, JSONRPCRequest, RequestId, Server } from '@modelcontextprotocol/server'
import type { LimitName } from '../errors.js'
import { isRequest, type JsonRpcResponse } from './wire/messages.js'
import type { MessageExtra } from './transport/message-extra.js'

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
  /** Absent without a session. */
  sessionId?: string
  /** Revision that the HTTP request names, such as `2025-11-25`; absent if it names none. */
  protocolVersion?: string
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
 *   request ({ request }, run) {
 *     const begun = performance.now()
 *     run()
 *     return () => {
 *       const ms = performance.now() - begun
 *       if (ms > 5000) console.warn(request.method, 'took', Math.round(ms), 'ms')
 *     }
 *   }
 * }
 * ```
 */
export interface McpObserver {
  /**
   * Called for each request; must call `run` once, before it returns, to pass the request to the server.
   * @returns a function that is called when the request has ended
   */
  request (observed: ObservedRequest, run: () => void): (end: RequestEnd) => void
  /** Called when a limit has refused a request. */
  refused? (limit: LimitName): void
  /** Given a function that returns the current counts. */
  counts? (read: () => McpCounts): void
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
  const request: McpObserver['request'] = (observed, run) => {
    const ends: Array<(end: RequestEnd) => void> = []
    const runAll = observers.reduceRight((inner, observer) => () => {
      ends.push(observer.request(observed, inner))
    }, run)
    runAll()
    return end => { for (const onEnd of ends) onEnd(end) }
  }
  return {
    request,
    refused: limit => { for (const observer of observers) observer.refused?.(limit) },
    counts: read => { for (const observer of observers) observer.counts?.(read) }
  }
}

/** The requests that run at one server, for an observer. */
export class ObservedRequests {
  readonly #observer: McpObserver
  readonly #about: Omit<ObservedRequest, 'request'>
  readonly #running = new Map<RequestId, (end: RequestEnd) => void>()

  constructor (observer: McpObserver, about: Omit<ObservedRequest, 'request'>) {
    this.#observer = observer
    this.#about = about
  }

  run (request: JSONRPCRequest, protocolVersion: string | undefined, run: () => void): void {
    // the response may come before the observer has returned
    let early: RequestEnd | undefined
    this.#running.set(request.id, end => {
      early = end
    })
    const onEnd = this.#observer.request({
      ...this.#about,
      request,
      ...protocolVersion !== undefined && { protocolVersion }
    }, run)
    if (early !== undefined) onEnd(early)
    else this.#running.set(request.id, onEnd)
  }

  end (id: RequestId | undefined, end: RequestEnd): void {
    const onEnd = id === undefined ? undefined : this.#running.get(id)
    if (id === undefined || onEnd === undefined) return
    this.#running.delete(id)
    onEnd(end)
  }

  /** Notes that the running requests end without a response. */
  close (): void {
    for (const id of [...this.#running.keys()]) this.end(id, 'closed')
  }
}

/** The revision that the client's HTTP request names. */
export function findProtocolVersion ({ requestInfo }: MessageExtra): string | undefined {
  const version = requestInfo?.headers['mcp-protocol-version']
  return typeof version === 'string' ? version : undefined
}

const observed = new WeakSet<Server>()

/** Observes the requests to a server of SDK 2.x, from its next connection on. A connection serves one request. */
export function observeServer (server: Server, observer: McpObserver, protocolVersion: string): void {
  if (observed.has(server)) return
  observed.add(server)
  const connect = server.connect.bind(server)
  server.connect = async transport => {
    const requests = new ObservedRequests(observer, { protocolVersion })
    const send = transport.send.bind(transport)
    transport.send = async (message, options) => {
      if (!('method' in message)) requests.end(message.id, message)
      await send(message, options)
    }
    await connect(transport)
    const { onmessage, onclose } = transport
    transport.onmessage = (message: JSONRPCMessage, extra) => {
      if (isRequest(message)) requests.run(message, undefined, () => { onmessage?.(message, extra) })
      else onmessage?.(message, extra)
    }
    transport.onclose = () => {
      requests.close()
      onclose?.()
    }
  }
}
