import type { McpServer as McpServer1 } from '@modelcontextprotocol/sdk/server/mcp.js'
import type { Server as Server1 } from '@modelcontextprotocol/sdk/server/index.js'
import { LoggingLevelSchema, type JSONRPCNotification, type JSONRPCRequest } from '@modelcontextprotocol/sdk/types.js'
import { inputRequired, Server, type Implementation, type RequestStateCodec, type Result, type ServerCapabilities, type ServerContext, type StandardSchemaV1 } from '@modelcontextprotocol/server'
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/server/validators/ajv'
import { personKey, type CallerInfo } from '../../../caller.js'
import { BridgedCall, calleeOf, type OpenRequest } from './bridged-call.js'
import type { BridgedInstance } from './bridged-server.js'
import { requestsOf, resultOf, withoutTask } from './map-result.js'
import { CallTransport, type CallTransportOptions } from '../fast-path/reusable-transport.js'
import { clientOf } from '../client-envelope.js'
import type { Log } from '../../create-server.js'
import { checkInputCapabilities } from './input-capabilities.js'
import type { ModernCall } from '../modern-call.js'
import { connectModern } from '../fast-path/bind-revision.js'
import type { RequestState } from './request-state.js'
import type { ServingInstance } from '../fast-path/reusable-server.js'
import { isObject } from '../../wire/values.js'
import type { WaitingCalls } from './call-resumption.js'

export interface BridgeOptions {
  waitingCalls: WaitingCalls
  requestStates: RequestStateCodec<RequestState>
  carrier: CallTransportOptions
  log: Log
}

type Params = Record<string, unknown>
type Forward = (params: Params | undefined, context: ServerContext) => Promise<Result>

const LEVELS: readonly unknown[] = LoggingLevelSchema.options
// a server that advertises itself differently to everybody has one made for each
const MAX_SHARED = 16

// of no use here, and costly to make for every server
const jsonSchemaValidator = new AjvJsonSchemaValidator()
/** The server of SDK 1.x is the one to check parameters. */
const anyParams: StandardSchemaV1<Params> = { '~standard': { version: 1, vendor: 'fastify-mcp-oauth', validate: value => ({ value: isObject(value) ? value : {} }) } }

/**
 * Serves requests of revision 2026-07-28 by servers of SDK 1.x: a server of SDK 2.x that advertises what such a server does
 * forwards to it every method that it handles; see docs/eras.md for what cannot be bridged. As nothing of a call is kept in
 * it, one such server carries all calls at once, of all instances that advertise the same.
 */
export class Bridge {
  readonly #options: BridgeOptions
  readonly #shared = new Map<string, Promise<SharedServer>>()

  constructor (options: BridgeOptions) {
    this.#options = options
  }

  /** Makes an instance serve; `description` is its answer to `initialize`. */
  async serving (instance: BridgedInstance, description: Record<string, unknown>): Promise<ServingInstance> {
    const { serverInfo, capabilities, instructions } = description
    const key = JSON.stringify([serverInfo, capabilities, instructions])
    const shared = this.#shared.get(key) ?? this.#share(key, description)
    return new BridgedServing(this, instance, await shared)
  }

  /** Makes a server for the SDK's entry, which serves one request, or none where it sent a notification. */
  async serverFor (instance: BridgedInstance, description: Record<string, unknown>, { message, caller }: ModernCall): Promise<Server> {
    if (message === undefined || !instance.handles(message.method)) {
      // what it advertises is known, and it is not asked for more
      instance.close()
      return this.makeServer(description)
    }
    const forwarding = new Forwarding(this.#options, instance, message, caller)
    const server = this.makeServer(description, (params, context) => forwarding.forward(params, context))
    // also where the request never gets to the call
    server.onclose = () => { forwarding.over() }
    return server
  }

  /** Takes on a call. @param onFree the instance may serve the next one */
  forwarding (instance: BridgedInstance, request: JSONRPCRequest, caller: CallerInfo, onFree: () => void): Forwarding {
    return new Forwarding(this.#options, instance, request, caller, onFree)
  }

  makeServer ({ serverInfo, capabilities, instructions }: Record<string, unknown>, forward?: Forward): Server {
    const { log, requestStates } = this.#options
    const advertised = capabilitiesOf(capabilities)
    const server = new Server(implementationOf(serverInfo), {
      jsonSchemaValidator,
      capabilities: advertised,
      requestState: { verify: (state, context) => requestStates.verify(state, context) },
      ...typeof instructions === 'string' && { instructions }
    })
    server.onerror = error => { log.debug({ err: error }, 'the SDK reports an error') }
    if (forward === undefined) return server
    // the answer to these may be `input_required`; the SDK takes a handler for it only from a server that has the feature
    if (advertised.tools !== undefined) server.setRequestHandler('tools/call', { params: anyParams }, forward)
    if (advertised.prompts !== undefined) server.setRequestHandler('prompts/get', { params: anyParams }, forward)
    if (advertised.resources !== undefined) server.setRequestHandler('resources/read', { params: anyParams }, forward)
    server.fallbackRequestHandler = ({ params }, context) => forward(params, context)
    return server
  }

  #share (key: string, description: Record<string, unknown>): Promise<SharedServer> {
    const shared = SharedServer.make(forward => this.makeServer(description, forward), this.#options.carrier)
    this.#shared.set(key, shared)
    shared.catch(() => { this.#shared.delete(key) })
    // those that it carries it goes on carrying
    const [oldest] = this.#shared.keys()
    if (this.#shared.size > MAX_SHARED && oldest !== undefined) this.#shared.delete(oldest)
    return shared
  }
}

/** A server of SDK 2.x that stays connected, and carries calls of whichever instance. */
class SharedServer {
  readonly transport: CallTransport
  readonly #forwards = new WeakMap<Request, Forwarding>()
  #requests = 0

  private constructor (carrier: CallTransportOptions) {
    this.transport = new CallTransport(carrier)
  }

  static async make (makeServer: (forward: Forward) => Server, carrier: CallTransportOptions): Promise<SharedServer> {
    const shared = new SharedServer(carrier)
    const server = makeServer(async (params, context) => {
      const forwarding = context.http?.req && shared.#forwards.get(context.http.req)
      if (forwarding === undefined) throw new Error('There is no call to forward to.')
      return await forwarding.forward(params, context)
    })
    await connectModern(server, shared.transport)
    return shared
  }

  carry (call: ModernCall, request: JSONRPCRequest, forwarding: Forwarding): boolean {
    this.#forwards.set(call.request, forwarding)
    return this.transport.carry({ call, request, id: `exchange-${++this.#requests}`, onOver: () => { forwarding.over() } })
  }
}

/** An instance of SDK 1.x with what carries its calls. */
class BridgedServing implements ServingInstance {
  readonly plugged: McpServer1 | Server1
  readonly #bridge: Bridge
  readonly #instance: BridgedInstance
  readonly #shared: SharedServer

  constructor (bridge: Bridge, instance: BridgedInstance, shared: SharedServer) {
    this.plugged = instance.server
    this.#bridge = bridge
    this.#instance = instance
    this.#shared = shared
  }

  get isOpen (): boolean {
    return this.#instance.isOpen
  }

  serve (call: ModernCall, request: JSONRPCRequest, onFree: () => void): boolean {
    const forwarding = this.#bridge.forwarding(this.#instance, request, call.caller, onFree)
    const taken = this.#instance.handles(request.method) && this.#shared.carry(call, request, forwarding)
    if (!taken) forwarding.over()
    return taken
  }

  close (): void {
    this.#instance.close()
  }
}

/** One request on its way to a call: a new one, or the one that waits for what it brings. */
class Forwarding {
  readonly #options: BridgeOptions
  readonly #request: JSONRPCRequest
  readonly #caller: CallerInfo
  readonly #call: BridgedCall
  /** From then on, the call ends or waits by itself. */
  #isMade = false
  #isOver = false

  constructor (options: BridgeOptions, instance: BridgedInstance, request: JSONRPCRequest, caller: CallerInfo, onFree = () => {}) {
    this.#options = options
    this.#request = request
    this.#caller = caller
    this.#call = new BridgedCall(instance, onFree)
  }

  async forward (params: Params | undefined, context: ServerContext): Promise<Result> {
    // its client has gone, and the instance may be another's by now
    if (this.#isOver) throw new Error('Nobody waits for this call.')
    const { waitingCalls, requestStates } = this.#options
    const { mcpReq: { method, notify, requestState, inputResponses = {}, signal, _meta } } = context
    const { capabilities, logLevel } = clientOf(this.#request)
    const open: OpenRequest = {
      signal,
      progressToken: _meta?.progressToken,
      notify: notification => { if (isWanted(notification, logLevel)) notify(notification).catch(() => {}) }
    }
    const { clientId, extra: { issuer, subject, grantId } } = this.#caller
    const holder = { owner: JSON.stringify([issuer, subject, clientId]), person: personKey({ issuer, subject }), ...grantId !== undefined && { grantId } }
    const brought = requestState<RequestState>()
    this.#isMade = brought === undefined
    const outcome = brought === undefined
      ? await waitingCalls.make(this.#call, [method, withoutTask(params), { authInfo: this.#caller }, open], holder)
      : await waitingCalls.resume(brought.replicaId, { ...holder, callId: brought.callId, round: brought.round, callee: calleeOf(method, params) }, inputResponses, open)
    if (outcome.kind === 'response') return resultOf(outcome.response, method, params)
    const state = waitingCalls.stateOf(outcome, brought?.replicaId)
    try {
      const inputRequests = requestsOf(outcome.inputRequests, method)
      checkInputCapabilities(inputRequests, capabilities)
      return inputRequired({ inputRequests, requestState: await requestStates.mint(state, context) })
    } catch (error) {
      waitingCalls.giveUp(state)
      throw error
    }
  }

  /** The request has its answer, or nobody waits for it. */
  over (): void {
    if (this.#isOver) return
    this.#isOver = true
    if (!this.#isMade) this.#call.finish()
  }
}

function isWanted ({ method, params }: JSONRPCNotification, logLevel: string | undefined): boolean {
  return method !== 'notifications/message' || (logLevel !== undefined && LEVELS.indexOf(params?.level) >= LEVELS.indexOf(logLevel))
}

// what a server says of itself is of its own SDK's types already: to check all of it again would cost at every request
function implementationOf (serverInfo: unknown): Implementation {
  return isImplementation(serverInfo) ? serverInfo : { name: 'unknown', version: '0' }
}

function isImplementation (value: unknown): value is Implementation {
  return isObject(value) && typeof value.name === 'string' && typeof value.version === 'string'
}

/** What the server advertises, less what this revision does otherwise. */
function capabilitiesOf (advertised: unknown): ServerCapabilities {
  if (!isObject(advertised)) return {}
  const { tasks, ...capabilities } = advertised
  return capabilities
}
