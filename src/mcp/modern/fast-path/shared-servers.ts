import type { JSONRPCRequest } from '@modelcontextprotocol/server'
import type { Bridge, Forward } from '../bridge/bridge.js'
import type { Forwarding } from '../bridge/forwarding.js'
import type { ModernCall } from '../modern-call.js'
import { connectModern } from './bind-revision.js'
import type { Served } from './reusable-server.js'
import { ReusableTransport, type ReusableTransportOptions } from './reusable-transport.js'
import { BoundedMap } from '../../../collections/bounded-map.js'

// a server that describes itself differently to every client has one of these for each
const MAX_SHARED = 16

/** One SDK 2.x server for all SDK 1.x servers that describe themselves alike: it keeps nothing of a call. */
export class SharedServers {
  readonly #bridge: Bridge
  readonly #transport: ReusableTransportOptions
  readonly #servers = new BoundedMap<string, Promise<SharedServer>>(MAX_SHARED)

  constructor (bridge: Bridge, transport: ReusableTransportOptions) {
    this.#bridge = bridge
    this.#transport = transport
  }

  /** Finds or makes the server. @param description the 1.x server's response to `initialize` */
  async find (description: Record<string, unknown>): Promise<SharedServer> {
    const { serverInfo, capabilities, instructions } = description
    const key = JSON.stringify([serverInfo, capabilities, instructions])
    return this.#servers.get(key) ?? this.#make(key, description)
  }

  #make (key: string, description: Record<string, unknown>): Promise<SharedServer> {
    const made = SharedServer.make(this.#bridge, description, this.#transport)
    // the one that makes room finishes the calls that it carries
    this.#servers.set(key, made)
    made.catch(() => { this.#servers.delete(key) })
    return made
  }
}

/** A server of SDK 2.x that stays connected, and forwards each call to the 1.x server that it is for. */
export class SharedServer {
  readonly #transport: ReusableTransport
  readonly #forwardings = new WeakMap<Request, Forwarding>()
  #requests = 0

  private constructor (options: ReusableTransportOptions) {
    this.#transport = new ReusableTransport(options)
  }

  static async make (
    bridge: Bridge,
    description: Record<string, unknown>,
    options: ReusableTransportOptions
  ): Promise<SharedServer> {
    const shared = new SharedServer(options)
    const forward: Forward = async (params, context) => {
      const forwarding = context.http?.req && shared.#forwardings.get(context.http.req)
      if (forwarding === undefined) throw new Error('There is no call to forward to.')
      return await forwarding.forward(params, context)
    }
    await connectModern(bridge.makeServer(description, forward), shared.#transport)
    return shared
  }

  carry (call: ModernCall, request: JSONRPCRequest, forwarding: Forwarding): Served {
    this.#forwardings.set(call.request, forwarding)
    return this.#transport.carry({
      call,
      request,
      id: `exchange-${++this.#requests}`,
      onOver: () => { forwarding.over() }
    })
  }
}
