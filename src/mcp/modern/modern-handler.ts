import {
  createMcpHandler,
  McpServer as McpServer2,
  Server as Server2,
  type McpHttpHandler,
  type McpRequestContext
} from '@modelcontextprotocol/server'
import { setTimeout as delay } from 'node:timers/promises'
import type { JSONRPCNotification, JSONRPCRequest } from '@modelcontextprotocol/sdk/types.js'
import type { CallerInfo } from '../../caller.js'
import { InsufficientScopeError, InvalidParamsError } from '../../errors.js'
import { announce, announceToAll } from '../server-events/announcements.js'
import { announceFrom } from './fast-path/announce.js'
import { Bridge } from './bridge/bridge.js'
import { BridgedServer } from './bridge/bridged-server.js'
import type { ReusableTransportOptions } from './fast-path/reusable-transport.js'
import { readClient, clientKey } from './client-envelope.js'
import { checkSubscriptions, type MaySubscribe } from '../server-events/may-subscribe.js'
import { PersonalEvents } from '../server-events/personal-events.js'
import type { CreateServer, PluggedServer } from '../create-server.js'
import type { Log } from '../../log.js'
import { contextForAll, ServerPool } from './fast-path/server-pool.js'
import { admitModernCall } from './admission.js'
import { ModernCall, type InboundMessage } from './modern-call.js'
import { slowToReader } from '../admission/outgoing.js'
import { NativeServer, needsEntry } from './fast-path/native-server.js'
import { observeServer, type McpCounts, type McpObserver } from '../observer.js'
import type { OwnerIds } from '../owner-ids.js'
import { isPlainCall } from './fast-path/eligible.js'
import { createRequestStates } from './bridge/request-state.js'
import { checkScopesOrPromise } from '../scopes/required-scopes.js'
import type { ReusableServer } from './fast-path/reusable-server.js'
import { CallResumption, type WaitingCallsOptions } from './bridge/call-resumption.js'
import { REVISION_2026_07_28 } from '../wire/protocol-versions.js'

export interface ModernHandlerOptions extends WaitingCallsOptions {
  createServer: CreateServer
  getUpstreamAccessToken?: (authInfo: CallerInfo) => Promise<string | undefined>
  /** Keys that seal request states: the first seals, all open. Default: one of this process. */
  requestStateKeys?: readonly Uint8Array[]
  /** Whether an instance that has answered may serve the next request. */
  reuseInstances?: boolean
  maySubscribe?: MaySubscribe
  /** What servers see as session ids. */
  ownerIds: OwnerIds
  heartbeatMs: number
  /** What may wait for a client that does not read. */
  maxBufferedBytes: number
  mcpObserver?: McpObserver
}

const DRAIN_POLL_MS = 20
const LOGIN_ENDED = 'The login that this request was made with has ended.'
const SHUTTING_DOWN = 'The server is shutting down.'
/** Of idle instances that serve whomever. */
const ANYBODY = ''

/**
 * Serves revision 2026-07-28, which knows no sessions. A server of SDK 2.x answers natively, one of SDK 1.x through the
 * bridge. Where a request is plain, its server is bound to the revision and gets it as it is; all else goes through the
 * SDK's own entry, which knows what to say of it, and has a server of its own.
 */
export class ModernHandler {
  readonly #unsubscribe: Array<() => void>
  readonly #options: ModernHandlerOptions
  readonly #handler: McpHttpHandler
  /** With what gives back what each holds of its person's. */
  readonly #calls = new Map<ModernCall, () => void>()
  readonly #callOf = new WeakMap<Request, ModernCall>()
  readonly #idle = new ServerPool()
  readonly #callResumption: CallResumption
  readonly #events: PersonalEvents
  /** Of instances that serve many: what they announce is nobody's. */
  readonly #carrier: ReusableTransportOptions
  readonly #bridge: Bridge
  /** Whether there are servers of SDK 1.x, whose instances are each for clients that say the same of themselves. */
  #bridges = false

  constructor (options: ModernHandlerOptions) {
    this.#options = options
    const { log, bus, heartbeatMs, mcpObserver } = options
    this.#callResumption = new CallResumption(options)
    this.#events = new PersonalEvents(log)
    this.#carrier = { announce: notification => { this.#announce(notification, undefined) }, heartbeatMs, mcpObserver }
    this.#bridge = new Bridge({
      callResumption: this.#callResumption,
      requestStates: createRequestStates(options.requestStateKeys, options.suspendedCalls.suspendedCallSeconds),
      carrier: this.#carrier,
      log
    })
    // what servers of either era announce, for the streams of `subscriptions/listen`
    this.#unsubscribe = [
      bus.subscribe('announced', ({ event, person }) => { this.#events.publish(event, person) }),
      bus.subscribe('grantEnded', ({ grantId }) => {
        for (const call of this.#calls.keys()) if (call.caller.extra.grantId === grantId) call.end(LOGIN_ENDED)
      })
    ]
    this.#handler = createMcpHandler(context => this.#serverForEntry(context), {
      legacy: 'reject',
      bus: this.#events,
      keepAliveMs: heartbeatMs,
      // bounded before it gets here, for each person too
      maxSubscriptions: Infinity,
      onerror: error => { log.debug({ err: error }, 'the SDK reports an error') }
    })
  }

  /**
   * Begins to serve one POST. Its answer rejects with an `InsufficientScopeError`, before anything has run, where the caller lacks scopes that a
   * tool needs.
   * @throws {TooManyRequestsError} @throws {ServerFullError}
   */
  serve (message: InboundMessage & { log: Log }, caller: CallerInfo): ModernCall {
    const call = new ModernCall(message, caller, {
      maxBufferedBytes: this.#options.maxBufferedBytes,
      ownerId: this.#options.ownerIds(caller)
    })
    this.#calls.set(call, admitModernCall(this.#options.admission, call))
    const { message: request } = call
    if (request === undefined || !isPlainCall(request, call.headers)) {
      this.#serveByEntry(call)
    } else {
      const idle = this.#options.reuseInstances === true ? this.#takeIdle(request) : undefined
      if (idle === undefined) this.#serveByNew(call, request).catch((error: unknown) => { call.fail(error) })
      else this.#serveByIdle(idle, call, request)
    }
    return call
  }

  /** The response to a POST is over, or its client has gone. */
  end (call: ModernCall): void {
    this.#calls.get(call)?.()
    this.#calls.delete(call)
    call.end()
  }

  /** Tells the listeners of both eras, on every replica, what a server announces. @param person the only one it serves */
  #announce (notification: Pick<JSONRPCNotification, 'method' | 'params'>, person: string | undefined): void {
    const { bus, log, maySubscribe } = this.#options
    announce(bus, log, notification, { era: 'stateless', person, isGuarded: maySubscribe !== undefined })
  }

  /** Calls that run; listeners are not among them. */
  get counts (): McpCounts {
    return { sessions: 0, instances: [...this.#calls.keys()].filter(call => !call.listens).length, streams: 0 }
  }

  /** Waits until no call runs, or `ms` have passed; streams of `subscriptions/listen` do not count. */
  async drain (ms: number): Promise<void> {
    const deadline = Date.now() + ms
    while ((this.#isRunning || this.#callResumption.running) && Date.now() < deadline) await delay(DRAIN_POLL_MS)
  }

  get #isRunning (): boolean {
    for (const call of this.#calls.keys()) if (!call.listens) return true
    return false
  }

  /** Ends every stream and every call. */
  async close (): Promise<void> {
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    for (const call of this.#calls.keys()) if (!call.listens) call.end(SHUTTING_DOWN)
    await this.#callResumption.close()
    this.#idle.close()
    await this.#handler.close()
  }

  #takeIdle (request: JSONRPCRequest): ReusableServer | undefined {
    return this.#idle.take(this.#bridges ? clientKey(readClient(request)) : ANYBODY)
  }

  /** Serves a plain call by an instance that has served others. */
  #serveByIdle (instance: ReusableServer, call: ModernCall, request: JSONRPCRequest): void {
    const serve = () => { this.#serveBy(instance, call, request) }
    const refuse = (error: unknown) => {
      this.#putIdle(instance, request)
      call.fail(error)
    }
    try {
      const pending = checkScopesOrPromise(instance.plugged, [request], call.caller)
      if (pending === undefined) serve()
      else pending.then(serve).catch(refuse)
    } catch (error) {
      refuse(error)
    }
  }

  #putIdle (instance: ReusableServer, request: JSONRPCRequest): void {
    this.#idle.put(instance instanceof NativeServer ? ANYBODY : clientKey(readClient(request)), instance)
  }

  /** Serves a plain call, whose caller has the scopes, by an instance that is connected. */
  #serveBy (instance: ReusableServer, call: ModernCall, request: JSONRPCRequest): void {
    if (!instance.serve(call, request, () => { this.#putIdle(instance, request) })) this.#serveByEntry(call)
  }

  /** Serves a plain call by an instance that is made for it. */
  async #serveByNew (call: ModernCall, request: JSONRPCRequest): Promise<void> {
    try {
      const server = await this.#create(call)
      await checkScopesOrPromise(server, [request], call.caller)
      const instance = await this.#connect(server, call, request)
      if (instance !== undefined) {
        this.#serveBy(instance, call, request)
        return
      }
      call.server = server
    } catch (error) {
      this.#refuse(call, error)
      if (isOfClient(error)) return
    }
    this.#serveByEntry(call)
  }

  /** @returns undefined where it is the SDK's entry that has to connect it */
  async #connect (
    server: PluggedServer,
    call: ModernCall,
    request: JSONRPCRequest
  ): Promise<ReusableServer | undefined> {
    const isReused = this.#options.reuseInstances === true
    if (server instanceof McpServer2 || server instanceof Server2) {
      return needsEntry(server, request)
        ? undefined
        : await NativeServer.connect(server, isReused, {
          ...this.#carrier,
          announce: this.#announceFor(call, isReused)
        })
    }
    this.#bridges = true
    const instance = this.#instanceOf(server, call, isReused)
    return instance.handles(request.method)
      ? await this.#bridge.serving(instance, await instance.begin(readClient(request), { authInfo: call.caller }))
      : undefined
  }

  /** Serves a request through the SDK's entry, with a server of its own. */
  #serveByEntry (call: ModernCall): void {
    this.#callOf.set(call.request, call)
    const serve = () => this.#handler.fetch(call.request, { authInfo: call.caller, parsedBody: call.body })
    // who listens is remembered for those alone who do
    call.follow(call.listens ? this.#events.serveFor(call.person, serve) : serve())
  }

  async #serverForEntry ({ requestInfo }: McpRequestContext): Promise<McpServer2 | Server2> {
    const call = requestInfo && this.#callOf.get(requestInfo)
    if (call === undefined) throw new Error('The SDK asks for a server without a request of ours.')
    if (call.refusal !== undefined) throw call.refusal
    try {
      const { caller, message } = call
      const plugged = call.server ?? await this.#create(call)
      await checkScopesOrPromise(plugged, message === undefined ? [] : [message], caller)
      const { maySubscribe } = this.#options
      if (maySubscribe !== undefined && message !== undefined) await checkSubscriptions([message], caller, maySubscribe)
      const server = await this.#unconnected(plugged, call)
      const { mcpObserver } = this.#options
      const bare = server instanceof McpServer2 ? server.server : server
      slowToReader(bare, call.outgoing)
      connectAs(bare, call.ownerId)
      if (mcpObserver !== undefined && !call.isObserved) observeServer(bare, mcpObserver, REVISION_2026_07_28)
      return server
    } catch (error) {
      this.#refuse(call, error)
      throw error
    }
  }

  async #unconnected (plugged: PluggedServer, call: ModernCall): Promise<McpServer2 | Server2> {
    if (plugged instanceof McpServer2 || plugged instanceof Server2) {
      announceFrom(plugged, this.#announceFor(call, false))
      return plugged
    }
    const instance = this.#instanceOf(plugged, call, false)
    return await this.#bridge.serverFor(
      instance,
      await instance.begin(readClient(call.message), { authInfo: call.caller }),
      call
    )
  }

  #instanceOf (
    server: ConstructorParameters<typeof BridgedServer>[0]['server'],
    call: ModernCall,
    isReused: boolean
  ): BridgedServer {
    const { ownerIds, log } = this.#options
    return new BridgedServer({ server, isReused, ownerIds, announce: this.#announceFor(call, isReused), log })
  }

  /** What takes the announcements of an instance that is made for a call. */
  #announceFor ({ person }: ModernCall, isReused: boolean): ReusableTransportOptions['announce'] {
    if (isReused) return this.#carrier.announce
    return notification => { this.#announce(notification, person) }
  }

  async #create ({ caller, log: callLog }: ModernCall): Promise<PluggedServer> {
    const { createServer, getUpstreamAccessToken, reuseInstances, log, bus } = this.#options
    return await createServer(reuseInstances === true
      ? contextForAll(log, bus)
      : {
          era: 'stateless',
          authInfo: caller,
          log: callLog,
          getUpstreamAccessToken: async () => getUpstreamAccessToken?.(caller),
          announce: event => { announceToAll(bus, log, event) }
        })
  }

  /** No server could be made for a call. */
  #refuse (call: ModernCall, error: unknown): void {
    if (error instanceof InvalidParamsError) {
      call.fail(
        call.message === undefined ? error : new InvalidParamsError(error.message, { requestId: call.message.id })
      )
    } else if (error instanceof InsufficientScopeError) call.fail(error)
    else if (call.refusal === undefined) call.log.error({ err: error }, 'a server instance could not be made')
    call.refusal = error
  }
}

/** The transport that the SDK's entry makes for a request has no session id. */
function connectAs (server: Server2, ownerId: string): void {
  const connect = server.connect.bind(server)
  server.connect = async transport => {
    transport.sessionId = ownerId
    await connect(transport)
  }
}

/** Whether it is the client's fault that it is not served: then it has been told. */
function isOfClient (error: unknown): boolean {
  return error instanceof InsufficientScopeError || error instanceof InvalidParamsError
}
