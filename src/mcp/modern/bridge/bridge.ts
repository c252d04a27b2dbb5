import {
  Server,
  type Implementation,
  type Result,
  type ServerCapabilities,
  type ServerContext,
  type StandardSchemaV1
} from '@modelcontextprotocol/server'
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/server/validators/ajv'
import { isObject } from '../../../members.js'
import type { ModernCall } from '../modern-call.js'
import type { BridgedServer } from './bridged-server.js'
import { Forwarding, type BridgeOptions, type Params } from './forwarding.js'

// of no use here, and costly to make for every server
const jsonSchemaValidator = new AjvJsonSchemaValidator()
/** The SDK 1.x server checks parameters. */
const anyParams: StandardSchemaV1<Params> = {
  '~standard': { version: 1, vendor: 'fastify-mcp-oauth', validate: value => ({ value: isObject(value) ? value : {} }) }
}

/** Makes a call of a 1.x server. */
export type Forward = (params: Params | undefined, context: ServerContext) => Promise<Result>

/**
 * Serves requests of revision 2026-07-28 by servers of SDK 1.x: a server of SDK 2.x that advertises what such a
 * server does forwards to it every method that it handles; see docs/eras.md for what cannot be bridged. As nothing of
 * a call is kept in it, one such server carries all calls at once, of all instances that advertise the same.
 */
export class Bridge {
  readonly options: BridgeOptions

  constructor (options: BridgeOptions) {
    this.options = options
  }

  /** Makes a server for the SDK's entry, which serves one request, or none where it sent a notification. */
  async serverFor (
    instance: BridgedServer,
    description: Record<string, unknown>,
    call: ModernCall
  ): Promise<Server> {
    if (call.message === undefined || !instance.handles(call.message.method)) {
      // what it advertises is known, and it is not asked for more
      instance.close()
      return this.makeServer(description)
    }
    const forwarding = new Forwarding(this.options, instance, call)
    const server = this.makeServer(description, (params, context) => forwarding.forward(params, context))
    // also where the request never gets to the call
    server.onclose = () => { forwarding.over() }
    return server
  }

  makeServer ({ serverInfo, capabilities, instructions }: Record<string, unknown>, forward?: Forward): Server {
    const { log, requestStates } = this.options
    const advertised = toCapabilities(capabilities)
    const server = new Server(toImplementation(serverInfo), {
      jsonSchemaValidator,
      capabilities: advertised,
      requestState: { verify: (state, context) => requestStates.verify(state, context) },
      ...typeof instructions === 'string' && { instructions }
    })
    server.onerror = error => { log.debug({ err: error }, 'the SDK reports an error') }
    if (forward === undefined) return server
    // these may respond `input_required`; the SDK takes such a handler only from a server that has the feature
    if (advertised.tools !== undefined) server.setRequestHandler('tools/call', { params: anyParams }, forward)
    if (advertised.prompts !== undefined) server.setRequestHandler('prompts/get', { params: anyParams }, forward)
    if (advertised.resources !== undefined) server.setRequestHandler('resources/read', { params: anyParams }, forward)
    server.fallbackRequestHandler = ({ params }, context) => forward(params, context)
    return server
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
