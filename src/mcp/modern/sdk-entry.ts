import {
  createMcpHandler,
  isSpecType,
  McpServer as McpServer2,
  type Implementation,
  type McpHttpHandler,
  type McpRequestContext,
  type Server as Server2,
  type Transport
} from '@modelcontextprotocol/server'
import type { Log } from '../../log.js'
import type { McpObserver } from '../observer.js'
import { observeServer } from '../observed-requests.js'
import { checkSubscriptions, subscribedBy, type MaySubscribe } from '../server-events/may-subscribe.js'
import type { PersonalEvents } from '../server-events/personal-events.js'
import { discoverServed } from '../wire/protocol-versions.js'
import { announceFrom } from './announce-from.js'
import type { Bridge } from './bridge/bridge.js'
import type { CallServers } from './call-servers.js'
import type { ModernCall } from './modern-call.js'
import { bareServer, isOfSdk2, type SdkServer, type SdkServer1, type SdkServer2 } from '../sdk-servers.js'
import { getMember } from '../../members.js'
import { derive } from '../../derive.js'

export interface SdkEntryOptions {
  servers: CallServers
  bridge: Bridge
  /** What the streams of `subscriptions/listen` say. */
  events: PersonalEvents
  maySubscribe?: MaySubscribe | undefined
  heartbeatMs: number
  mcpObserver?: McpObserver | undefined
  log: Log
}

/** What is known of the server for a call before the SDK asks for it. */
export interface PreparedServer {
  /** Made for the call, and not connected. */
  server?: SdkServer
  /** Why there is none. */
  error?: unknown
  /** Whether the observer knows of the call. */
  isObserved?: boolean
}

/** Serves calls by the SDK's own handler, which checks them, and answers what is wrong; each by a server of its own. */
export class SdkEntry {
  readonly #options: SdkEntryOptions
  readonly #handler: McpHttpHandler
  readonly #calls = new WeakMap<Request, { call: ModernCall, prepared: PreparedServer }>()

  constructor (options: SdkEntryOptions) {
    const { events, heartbeatMs, log } = options
    this.#options = options
    this.#handler = createMcpHandler(context => this.#findServer(context), {
      legacy: 'reject',
      bus: events,
      keepAliveMs: heartbeatMs,
      // bounded before it gets here, for each person too
      maxSubscriptions: Infinity,
      onerror: error => { log.debug({ err: error }, 'the SDK reports an error') }
    })
  }

  serve (call: ModernCall, prepared: PreparedServer = {}): void {
    this.#calls.set(call.request, { call, prepared })
    const serve = () => this.#handler.fetch(call.request, { authInfo: call.caller, parsedBody: call.body })
    // only those who listen are remembered as listeners
    call.follow(call.listens ? this.#options.events.serveFor(call, serve) : serve())
  }

  async close (): Promise<void> {
    await this.#handler.close()
  }

  async #findServer ({ requestInfo }: McpRequestContext): Promise<SdkServer2> {
    const found = requestInfo && this.#calls.get(requestInfo)
    if (found === undefined) throw new Error('The SDK asks for a server for a request that it did not get from here.')
    const { call, prepared } = found
    if ('error' in prepared) throw prepared.error
    try {
      return await this.#makeServer(call, prepared)
    } catch (error) {
      this.#options.servers.refuse(call, error)
      throw error
    }
  }

  async #makeServer (call: ModernCall, { server, isObserved }: PreparedServer): Promise<SdkServer2> {
    const { servers, maySubscribe, mcpObserver } = this.#options
    const plugged = server ?? await servers.make(call)
    call.server = plugged
    if (maySubscribe !== undefined && call.message !== undefined) {
      await checkSubscriptions([call.message], call.caller, maySubscribe)
    }
    const unconnected = isOfSdk2(plugged) ? plugged : await this.#bridge(plugged, call)
    const bare = bareServer(unconnected)
    if (isOfSdk2(plugged)) announceFrom(bare, servers.announceFor(call))
    if (call.listens) call.serverInfo = readServerInfo(bare)
    connectFor(bare, call)
    if (mcpObserver !== undefined && isObserved !== true) {
      observeServer(bare, mcpObserver, () => (callByServer.get(bare) ?? call).describe())
    }
    return 'server' in unconnected ? toOwnCopy(unconnected) : unconnected
  }

  async #bridge (plugged: SdkServer1, call: ModernCall): Promise<Server2> {
    const { servers, bridge } = this.#options
    const isListener = call.listens && bareServer(plugged).isElsewhere === true
    const bridged = servers.bridged(plugged, call, isListener)
    const description = await bridged.begin(call.client, { authInfo: call.caller })
    if (!isListener || call.message === undefined) return await bridge.serverFor(bridged, description, call)
    // the SDK closes the server that it asks for a listener, which is why this one is not given to it
    call.onEnd(() => { bridged.close() })
    await bridged.subscribe(subscribedBy(call.message), description, { authInfo: call.caller })
    return bridge.makeServer(description)
  }
}

/** The SDK's handler recognizes an McpServer by `instanceof`: to it, one of another copy passes for one of its own. */
function toOwnCopy (server: McpServer2): McpServer2 {
  const isOwn: boolean = server instanceof McpServer2
  if (isOwn) return server
  return derive(McpServer2.prototype, {
    server: { value: server.server },
    connect: { value: server.connect.bind(server) },
    close: { value: server.close.bind(server) },
    toolInputSchemaJson: { value: server.toolInputSchemaJson.bind(server) },
    resolveScopeChallenge: { value: server.resolveScopeChallenge }
  })
}

/** What the SDK puts into the `_meta` of its results; it has no public name. */
function readServerInfo (server: Server2): Implementation | undefined {
  const info = getMember(server, '_serverInfo')
  return isSpecType.Implementation(info) ? info : undefined
}

const callByServer = new WeakMap<Server2, ModernCall>()

/**
 * Lets the SDK's transport for one request show the server what it sees as the session id, and leave streams to the
 * call.
 */
function connectFor (server: Server2, made: ModernCall): void {
  const isWrapped = callByServer.has(server)
  callByServer.set(server, made)
  if (isWrapped) return
  const connect = server.connect.bind(server)
  server.connect = async transport => {
    const call = callByServer.get(server) ?? made
    transport.sessionId = call.ownerId
    const send = transport.send.bind(transport)
    transport.send = async (message, options) => {
      if (!('method' in message)) {
        const visible = call.toVisible(message)
        const response = call.message?.method === 'server/discover' ? discoverServed(visible) : visible
        if (!call.isStream) return await send(response, options)
        call.answer(response)
        queueMicrotask(() => { close(transport, call) })
        return undefined
      }
      const isOfCall = !('id' in message) && call.message !== undefined && options?.relatedRequestId === call.message.id
      return await (isOfCall ? call.notify(message) : send(message, options))
    }
    await connect(transport)
    call.runs()
  }
}

function close (transport: Transport, { log }: ModernCall): void {
  transport.close().catch((err: unknown) => { log.debug({ err }, 'a connection could not be closed') })
}
