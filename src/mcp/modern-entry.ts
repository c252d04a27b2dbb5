import {
  classifyInboundRequest, createMcpHandler, InMemoryServerEventBus, McpServer as McpServer2, Server as Server2,
  type McpHttpHandler, type McpRequestContext
} from '@modelcontextprotocol/server'
import { setTimeout as delay } from 'node:timers/promises'
import type { JSONRPCNotification } from '@modelcontextprotocol/sdk/types.js'
import type { CallerInfo } from '../auth-info.js'
import { InsufficientScopeError } from '../errors.js'
import type { Bus } from '../stores/bus.js'
import { announceFrom, eventOf } from './announcements.js'
import { bridge } from './bridge.js'
import type { CreateServer, Log } from './create-server.js'
import { isRequest, isMessage } from './json-rpc.js'
import { observeServer, type McpCounts, type McpObserver } from './observer.js'
import { ParkedCalls, type ParkedCallsOptions } from './parked-calls.js'
import { createRequestStates } from './request-state.js'
import { checkScopes } from './required-scopes.js'

export interface ModernEntryOptions {
  bus: Bus
  createServer: CreateServer
  getUpstreamAccessToken?: (authInfo: CallerInfo) => Promise<string | undefined>
  /** Keys that seal request states: the first seals, all open. Default: one of this process. */
  requestStateKeys?: readonly Uint8Array[]
  heartbeatMs: number
  /** Streams of `subscriptions/listen` that are open at once. */
  maxSubscriptions: number
  /** Bounds of the calls that wait for their client to bring what they asked for. */
  parkedCalls: ParkedCallsOptions
  mcpObserver?: McpObserver
  log: Log
}

/** One HTTP request. */
export interface InboundMessage {
  headers: Readonly<Record<string, string | string[] | undefined>>
  /** Parsed. */
  body: unknown
}

interface Exchange {
  caller: CallerInfo
  body: unknown
  log: Log
  refusal?: InsufficientScopeError
}

const DRAIN_POLL_MS = 20
const PROTOCOL_VERSION = '2026-07-28'

/**
 * Serves revision 2026-07-28, which knows no sessions: every request by a fresh server, through the SDK's own entry.
 * A server of SDK 2.x answers natively, one of SDK 1.x through the bridge.
 */
export class ModernEntry {
  readonly #unsubscribe: Array<() => void>
  readonly #options: ModernEntryOptions
  readonly #handler: McpHttpHandler
  readonly #exchanges = new WeakMap<Request, Exchange>()
  readonly #parkedCalls: ParkedCalls
  readonly #requestStates: ReturnType<typeof createRequestStates>
  #running = 0

  constructor (options: ModernEntryOptions) {
    this.#options = options
    this.#parkedCalls = new ParkedCalls(options.parkedCalls)
    this.#requestStates = createRequestStates(options.requestStateKeys, options.parkedCalls.parkedSeconds)
    // what servers of either era announce, for the streams of `subscriptions/listen`
    const events = new InMemoryServerEventBus(error => { options.log.warn({ err: error }, 'a listener of server events failed') })
    this.#unsubscribe = [
      options.bus.subscribe('announced', ({ event }) => { events.publish(event) }),
      options.bus.subscribe('grantEnded', ({ grantId }) => { this.#parkedCalls.endGrant(grantId) })
    ]
    this.#handler = createMcpHandler(context => this.#createServer(context), {
      legacy: 'reject',
      bus: events,
      keepAliveMs: options.heartbeatMs,
      maxSubscriptions: options.maxSubscriptions,
      onerror: error => { options.log.debug({ err: error }, 'the SDK reports an error') }
    })
  }

  /**
   * Whether a POST is of this revision, or is refused by its rules: the SDK's own classification, so that we never
   * disagree with it.
   */
  takes ({ headers, body }: InboundMessage): boolean {
    const [protocolVersionHeader, mcpMethodHeader, mcpNameHeader] = ['mcp-protocol-version', 'mcp-method', 'mcp-name'].map(name => headers[name]?.toString())
    return classifyInboundRequest({
      httpMethod: 'POST',
      body,
      ...protocolVersionHeader !== undefined && { protocolVersionHeader },
      ...mcpMethodHeader !== undefined && { mcpMethodHeader },
      ...mcpNameHeader !== undefined && { mcpNameHeader }
    }).kind !== 'legacy'
  }

  /**
   * Serves one POST. `signal` aborts when the response is over, or the client has gone.
   * @throws {InsufficientScopeError} before anything runs, where the caller lacks scopes that a tool needs
   */
  async serve ({ headers, body, log }: InboundMessage & { log: Log }, caller: CallerInfo, signal: AbortSignal): Promise<Response> {
    const request = new Request('http://localhost/mcp', { method: 'POST', headers: headersOf(headers), signal })
    const exchange: Exchange = { caller, body, log }
    this.#exchanges.set(request, exchange)
    const listens = isMessage(body) && isRequest(body) && body.method === 'subscriptions/listen'
    if (!listens) {
      this.#running++
      signal.addEventListener('abort', () => { this.#running-- }, { once: true })
    }
    const response = await this.#handler.fetch(request, { authInfo: caller, parsedBody: body })
    if (exchange.refusal !== undefined) throw exchange.refusal
    return response
  }

  /** Tells the listeners of both eras, on every replica, what a server announces to everybody. */
  #announce (notification: Pick<JSONRPCNotification, 'method' | 'params'>): void {
    const event = eventOf(notification)
    if (event === undefined) return
    const { bus, log } = this.#options
    bus.publish('announced', { event, era: 'stateless' }).catch((err: unknown) => { log.error({ err }, 'an announcement could not be passed on') })
  }

  /** Calls that run; listeners are not among them. */
  get counts (): McpCounts {
    return { sessions: 0, instances: this.#running, streams: 0 }
  }

  /** Waits until no call runs, or `ms` have passed; streams of `subscriptions/listen` do not count. */
  async drain (ms: number): Promise<void> {
    const deadline = Date.now() + ms
    while (this.#running > 0 && Date.now() < deadline) await delay(DRAIN_POLL_MS)
  }

  /** Ends every stream and every call. */
  async close (): Promise<void> {
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    this.#parkedCalls.close()
    await this.#handler.close()
  }

  async #createServer ({ requestInfo }: McpRequestContext): Promise<McpServer2 | Server2> {
    const exchange = requestInfo && this.#exchanges.get(requestInfo)
    if (exchange === undefined) throw new Error('The SDK asks for a server without a request of ours.')
    try {
      const server = await this.#serverFor(exchange)
      const { mcpObserver } = this.#options
      if (mcpObserver !== undefined) observeServer(server instanceof McpServer2 ? server.server : server, mcpObserver, PROTOCOL_VERSION)
      return server
    } catch (error) {
      if (error instanceof InsufficientScopeError) exchange.refusal = error
      else exchange.log.error({ err: error }, 'a server instance could not be made')
      throw error
    }
  }

  async #serverFor ({ caller, body, log }: Exchange): Promise<McpServer2 | Server2> {
    const { createServer, getUpstreamAccessToken } = this.#options
    const server = await createServer({ era: 'stateless', authInfo: caller, log, getUpstreamAccessToken: async () => getUpstreamAccessToken?.(caller) })
    const request = isMessage(body) && isRequest(body) ? body : undefined
    checkScopes(server, request === undefined ? [] : [request], caller)
    const announce = (notification: Pick<JSONRPCNotification, 'method' | 'params'>) => { this.#announce(notification) }
    if (server instanceof McpServer2 || server instanceof Server2) {
      announceFrom(server, announce)
      return server
    }
    return await bridge({ server, caller, request, parkedCalls: this.#parkedCalls, requestStates: this.#requestStates, announce, log })
  }
}

function headersOf (headers: InboundMessage['headers']): Headers {
  const web = new Headers()
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) web.set(name, value.toString())
  return web
}
