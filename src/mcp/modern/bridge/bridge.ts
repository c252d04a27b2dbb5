import type { McpServer as McpServer1 } from '@modelcontextprotocol/sdk/server/mcp.js'
import type { Server as Server1 } from '@modelcontextprotocol/sdk/server/index.js'
import type { JSONRPCRequest } from '@modelcontextprotocol/sdk/types.js'
import {
  Server,
  type Implementation,
  type ServerCapabilities,
  type StandardSchemaV1
} from '@modelcontextprotocol/server'
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/server/validators/ajv'
import { isObject } from '../../../members.js'
import type { ReusableServer } from '../fast-path/reusable-server.js'
import type { ModernCall } from '../modern-call.js'
import type { BridgedServer } from './bridged-server.js'
import { Forwarding, type BridgeOptions, type Params } from './forwarding.js'
import { SharedServer, type Forward } from './shared-server.js'

// a server that advertises itself differently to everybody has one made for each
const MAX_SHARED = 16

// of no use here, and costly to make for every server
const jsonSchemaValidator = new AjvJsonSchemaValidator()
/** The server of SDK 1.x is the one to check parameters. */
const anyParams: StandardSchemaV1<Params> = {
  '~standard': { version: 1, vendor: 'fastify-mcp-oauth', validate: value => ({ value: isObject(value) ? value : {} }) }
}

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
  async serving (instance: BridgedServer, description: Record<string, unknown>): Promise<ReusableServer> {
    const { serverInfo, capabilities, instructions } = description
    const key = JSON.stringify([serverInfo, capabilities, instructions])
    const shared = this.#shared.get(key) ?? this.#share(key, description)
    return new BridgedReusableServer(this.#options, instance, await shared)
  }

  /** Makes a server for the SDK's entry, which serves one request, or none where it sent a notification. */
  async serverFor (
    instance: BridgedServer,
    description: Record<string, unknown>,
    { message, caller }: ModernCall
  ): Promise<Server> {
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

  makeServer ({ serverInfo, capabilities, instructions }: Record<string, unknown>, forward?: Forward): Server {
    const { log, requestStates } = this.#options
    const advertised = toCapabilities(capabilities)
    const server = new Server(toImplementation(serverInfo), {
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

/** An instance of SDK 1.x with what carries its calls. */
class BridgedReusableServer implements ReusableServer {
  readonly plugged: McpServer1 | Server1
  readonly #options: BridgeOptions
  readonly #instance: BridgedServer
  readonly #shared: SharedServer

  constructor (options: BridgeOptions, instance: BridgedServer, shared: SharedServer) {
    this.plugged = instance.server
    this.#options = options
    this.#instance = instance
    this.#shared = shared
  }

  get isOpen (): boolean {
    return this.#instance.isOpen
  }

  serve (call: ModernCall, request: JSONRPCRequest, onFree: () => void): boolean {
    const forwarding = new Forwarding(this.#options, this.#instance, request, call.caller, onFree)
    const taken = this.#instance.handles(request.method) && this.#shared.carry(call, request, forwarding)
    if (!taken) forwarding.over()
    return taken
  }

  close (): void {
    this.#instance.close()
  }
}

// what a server says of itself is of its own SDK's types already: to check all of it again would cost at every request
function toImplementation (serverInfo: unknown): Implementation {
  return isImplementation(serverInfo) ? serverInfo : { name: 'unknown', version: '0' }
}

function isImplementation (value: unknown): value is Implementation {
  return isObject(value) && typeof value.name === 'string' && typeof value.version === 'string'
}

/** What the server advertises, less what this revision does otherwise. */
function toCapabilities (advertised: unknown): ServerCapabilities {
  if (!isObject(advertised)) return {}
  const { tasks, ...capabilities } = advertised
  return capabilities
}
