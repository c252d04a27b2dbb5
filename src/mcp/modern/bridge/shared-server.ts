import type { JSONRPCRequest } from '@modelcontextprotocol/sdk/types.js'
import type { Result, Server, ServerContext } from '@modelcontextprotocol/server'
import { connectModern } from '../fast-path/bind-revision.js'
import { ReusableTransport, type ReusableTransportOptions } from '../fast-path/reusable-transport.js'
import type { ModernCall } from '../modern-call.js'
import type { Forwarding, Params } from './forwarding.js'

export type Forward = (params: Params | undefined, context: ServerContext) => Promise<Result>

/** A server of SDK 2.x that stays connected, and carries calls of whichever instance. */
export class SharedServer {
  readonly transport: ReusableTransport
  readonly #forwards = new WeakMap<Request, Forwarding>()
  #requests = 0

  private constructor (carrier: ReusableTransportOptions) {
    this.transport = new ReusableTransport(carrier)
  }

  static async make (
    makeServer: (forward: Forward) => Server,
    carrier: ReusableTransportOptions
  ): Promise<SharedServer> {
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
    return this.transport.carry({
      call,
      request,
      id: `exchange-${++this.#requests}`,
      onOver: () => {
        forwarding.over()
      }
    })
  }
}
