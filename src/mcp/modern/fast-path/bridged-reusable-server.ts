import type { JSONRPCRequest } from '@modelcontextprotocol/server'
import type { Bridge } from '../bridge/bridge.js'
import type { BridgedServer } from '../bridge/bridged-server.js'
import { Forwarding } from '../bridge/forwarding.js'
import type { ModernCall } from '../modern-call.js'
import type { ReusableServer, Served } from './reusable-server.js'
import type { SharedServer } from './shared-servers.js'

/** A server of SDK 1.x, with the SDK 2.x server that carries its calls. */
export class BridgedReusableServer implements ReusableServer {
  readonly plugged: BridgedServer['server']
  readonly isForOneClient = true
  readonly #bridge: Bridge
  readonly #bridged: BridgedServer
  readonly #shared: SharedServer

  constructor (bridge: Bridge, bridged: BridgedServer, shared: SharedServer) {
    this.plugged = bridged.server
    this.#bridge = bridge
    this.#bridged = bridged
    this.#shared = shared
  }

  get isOpen (): boolean {
    return this.#bridged.isOpen
  }

  serve (call: ModernCall, request: JSONRPCRequest, onFree: () => void): Served {
    const forwarding = new Forwarding(
      this.#bridge.options, this.#bridged, call, this.#bridged.isForMany ? onFree : undefined
    )
    // if it was made for this call, it handles its method
    const isHandled = !this.#bridged.isForMany || this.#bridged.handles(request.method)
    const served = isHandled ? this.#shared.carry(call, request, forwarding) : 'left'
    if (served !== 'taken') forwarding.over()
    return served
  }

  close (): void {
    this.#bridged.close()
  }
}
