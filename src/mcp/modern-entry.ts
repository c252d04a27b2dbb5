import {
  createMcpHandler, InMemoryServerEventBus, McpServer as McpServer2, Server as Server2,
  type McpHttpHandler, type McpRequestContext
} from '@modelcontextprotocol/server'
import { setTimeout as delay } from 'node:timers/promises'
import type { JSONRPCNotification } from '@modelcontextprotocol/sdk/types.js'
import type { CallerInfo } from '../auth-info.js'
import { InsufficientScopeError } from '../errors.js'
import { announceFrom, eventOf } from './announcements.js'
import { bridge } from './bridge.js'
import type { CreateServer, Log, PluggedServer } from './create-server.js'
import { contextForAll, IdleInstances } from './idle-instances.js'
import { ModernCall, type InboundMessage } from './modern-call.js'
import { observeServer, type McpCounts, type McpObserver } from './observer.js'
import { createRequestStates } from './request-state.js'
import { checkScopes } from './required-scopes.js'
import { carry } from './result-transport.js'
import { WaitingCalls, type WaitingCallsOptions } from './waiting-calls.js'

export interface ModernEntryOptions extends WaitingCallsOptions {
  createServer: CreateServer
  getUpstreamAccessToken?: (authInfo: CallerInfo) => Promise<string | undefined>
  /** Keys that seal request states: the first seals, all open. Default: one of this process. */
  requestStateKeys?: readonly Uint8Array[]
  /** Whether an instance of SDK 2.x that has answered may serve the next request. */
  reuseInstances?: boolean
  heartbeatMs: number
  /** Streams of `subscriptions/listen` that are open at once. */
  maxSubscriptions: number
  mcpObserver?: McpObserver
}

const DRAIN_POLL_MS = 20
const PROTOCOL_VERSION = '2026-07-28'
const LOGIN_ENDED = 'The login that this request was made with has ended.'

/**
 * Serves revision 2026-07-28, which knows no sessions: every request by a fresh server, through the SDK's own entry.
 * A server of SDK 2.x answers natively, one of SDK 1.x through the bridge.
 */
export class ModernEntry {
  readonly #unsubscribe: Array<() => void>
  readonly #options: ModernEntryOptions
  readonly #handler: McpHttpHandler
  readonly #calls = new Set<ModernCall>()
  readonly #callOf = new WeakMap<Request, ModernCall>()
  readonly #idle = new IdleInstances()
  readonly #waitingCalls: WaitingCalls
  readonly #requestStates: ReturnType<typeof createRequestStates>
  #reused = 0

  constructor (options: ModernEntryOptions) {
    this.#options = options
    this.#waitingCalls = new WaitingCalls(options)
    this.#requestStates = createRequestStates(options.requestStateKeys, options.parkedCalls.parkedSeconds)
    // what servers of either era announce, for the streams of `subscriptions/listen`
    const events = new InMemoryServerEventBus(error => { options.log.warn({ err: error }, 'a listener of server events failed') })
    this.#unsubscribe = [
      options.bus.subscribe('announced', ({ event }) => { events.publish(event) }),
      options.bus.subscribe('grantEnded', ({ grantId }) => {
        for (const call of this.#calls) if (call.caller.extra.grantId === grantId) call.end(LOGIN_ENDED)
      })
    ]
    this.#handler = createMcpHandler(context => this.#createServer(context), {
      legacy: 'reject',
      bus: events,
      keepAliveMs: options.heartbeatMs,
      maxSubscriptions: options.maxSubscriptions,
      onerror: error => { options.log.debug({ err: error }, 'the SDK reports an error') }
    })
  }

  /** Begins to serve one POST. Its answer rejects with an `InsufficientScopeError`, before anything has run, where the caller lacks scopes that a tool needs. */
  serve (message: InboundMessage & { log: Log }, caller: CallerInfo): ModernCall {
    const call = new ModernCall(message, caller)
    this.#calls.add(call)
    this.#callOf.set(call.request, call)
    call.follow(this.#handler.fetch(call.request, { authInfo: caller, parsedBody: message.body }))
    return call
  }

  /** The response to a POST is over, or its client has gone. */
  end (call: ModernCall): void {
    this.#calls.delete(call)
    call.end()
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
    return { sessions: 0, instances: [...this.#calls].filter(call => !call.listens).length, streams: 0 }
  }

  /** Waits until no call runs, or `ms` have passed; streams of `subscriptions/listen` do not count. */
  async drain (ms: number): Promise<void> {
    const deadline = Date.now() + ms
    while ((this.#isRunning || this.#waitingCalls.running) && Date.now() < deadline) await delay(DRAIN_POLL_MS)
  }

  get #isRunning (): boolean {
    for (const call of this.#calls) if (!call.listens) return true
    return false
  }

  /** Ends every stream and every call. */
  async close (): Promise<void> {
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    await this.#waitingCalls.close()
    await this.#handler.close()
  }

  async #createServer ({ requestInfo }: McpRequestContext): Promise<McpServer2 | Server2> {
    const call = requestInfo && this.#callOf.get(requestInfo)
    if (call === undefined) throw new Error('The SDK asks for a server without a request of ours.')
    try {
      const server = await this.#serverFor(call)
      // below what carries it, which keeps results from the SDK
      const { mcpObserver } = this.#options
      if (mcpObserver !== undefined) observeServer(server instanceof McpServer2 ? server.server : server, mcpObserver, PROTOCOL_VERSION)
      carry(call, server)
      return server
    } catch (error) {
      if (error instanceof InsufficientScopeError) call.refusal = error
      else call.log.error({ err: error }, 'a server instance could not be made')
      throw error
    }
  }

  async #serverFor (call: ModernCall): Promise<McpServer2 | Server2> {
    const { caller, message, log } = call
    const server = this.#options.reuseInstances === true ? await this.#reusedFor(call) : await this.#freshFor(call)
    checkScopes(server, message === undefined ? [] : [message], caller)
    const announce = (notification: Pick<JSONRPCNotification, 'method' | 'params'>) => { this.#announce(notification) }
    if (server instanceof McpServer2 || server instanceof Server2) {
      announceFrom(server, announce)
      return server
    }
    return await bridge({ server, caller, request: message, waitingCalls: this.#waitingCalls, requestStates: this.#requestStates, announce, log })
  }

  async #freshFor ({ caller, log }: ModernCall): Promise<PluggedServer> {
    const { createServer, getUpstreamAccessToken } = this.#options
    return await createServer({ era: 'stateless', authInfo: caller, log, getUpstreamAccessToken: async () => getUpstreamAccessToken?.(caller) })
  }

  async #reusedFor (call: ModernCall): Promise<PluggedServer> {
    const { createServer, log } = this.#options
    // an instance goes on saying who its previous client was where the next one does not name itself
    const server = (call.namesClient ? this.#idle.take() : undefined) ?? await createServer(contextForAll(log))
    if (call.namesClient && (server instanceof McpServer2 || server instanceof Server2)) {
      call.requestId = `exchange-${++this.#reused}`
      // one that was cancelled may still run
      call.onClose = answered => { if (answered) this.#idle.put(server) }
    }
    return server
  }
}
