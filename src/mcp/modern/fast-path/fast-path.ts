import type { JSONRPCRequest } from '@modelcontextprotocol/server'
import { InvalidParamsError } from '../../../errors.js'
import type { McpObserver } from '../../observer.js'
import type { Bridge } from '../bridge/bridge.js'
import type { CallServers } from '../call-servers.js'
import { clientKey } from '../client-envelope.js'
import type { ModernCall } from '../modern-call.js'
import type { PreparedServer } from '../sdk-entry.js'
import { isOfSdk2, type SdkServer } from '../../sdk-servers.js'
import { BridgedReusableServer } from './bridged-reusable-server.js'
import { isPlainCall } from './eligible.js'
import { NativeServer, needsEntry } from './native-server.js'
import type { ReusableServer } from './reusable-server.js'
import type { ReusableTransportOptions } from './reusable-transport.js'
import { ServerPool } from './server-pool.js'
import { SharedServers } from './shared-servers.js'

/*
 * What this is: a way around the SDK's HTTP handler for plain requests, which that handler would pass on unchanged.
 * They go straight to a server that is connected and bound to the revision; docs/performance.md says what that saves.
 * What it is not: it checks nothing itself. All other requests, and those that the SDK refuses before a server runs,
 * are left to the SDK's handler. The rest of the code uses nothing in this folder but `FastPath`.
 * What breaks: if the SDK's handler begins to do more with a plain request, responses differ.
 * test/eras/fast-path.test.ts compares them byte for byte.
 * Delete this folder, and the door in modern-handler.ts, when the SDK's handler is as fast, or reuses servers itself.
 */

/** An option that shuts the fast path with `false`; a symbol, because only tests need it, to compare both ways. */
export const FAST_PATH = Symbol('fast path')

export interface FastPathOptions {
  servers: CallServers
  bridge: Bridge
  mcpObserver?: McpObserver | undefined
  /** Takes a call that the SDK's handler has to serve after all. Nothing has run for it. */
  leave: (call: ModernCall, prepared: PreparedServer) => void
}

/** The pool's key of servers that serve any client. */
const ANY_CLIENT = ''

/** Serves plain calls by servers that stay connected. */
export class FastPath {
  readonly leave: FastPathOptions['leave']
  readonly #servers: CallServers
  readonly #bridge: Bridge
  readonly #transport: Omit<ReusableTransportOptions, 'announce'>
  readonly #shared: SharedServers
  readonly #pool = new ServerPool()
  /** Whether there are servers of SDK 1.x: each serves clients with the same capabilities only. */
  #bridges = false

  constructor ({ servers, bridge, mcpObserver, leave }: FastPathOptions) {
    this.leave = leave
    this.#servers = servers
    this.#bridge = bridge
    this.#transport = { mcpObserver }
    this.#shared = new SharedServers(bridge, { ...this.#transport, announce: servers.announceForAll })
  }

  /** @returns whether it takes the call; if it does not, the call is for the SDK's handler */
  serve (call: ModernCall): boolean {
    const { message } = call
    if (message === undefined || !isPlainCall(message, call.headers)) return false
    const server = this.#servers.areReused
      ? this.#pool.take(this.#bridges ? clientKey(call.client) : ANY_CLIENT)
      : undefined
    if (server === undefined) this.#serveByNew(call, message).catch((error: unknown) => { call.fail(error) })
    else this.#serveByPooled(server, call, message)
    return true
  }

  close (): void {
    this.#pool.close()
  }

  /** A server from the pool was made for another call: whether this caller may make theirs is not known. */
  #serveByPooled (server: ReusableServer, call: ModernCall, request: JSONRPCRequest): void {
    const serve = () => { this.#serveBy(server, call, request) }
    const refuse = (error: unknown) => {
      this.#putBack(server, call)
      call.fail(error)
    }
    try {
      const pending = this.#servers.checkOrPromise(server.plugged, call)
      if (pending === undefined) serve()
      else pending.then(serve).catch(refuse)
    } catch (error) {
      refuse(error)
    }
  }

  async #serveByNew (call: ModernCall, request: JSONRPCRequest): Promise<void> {
    let prepared: PreparedServer
    try {
      const server = await this.#servers.make(call)
      const connected = await this.#connect(server, call, request)
      if (connected !== undefined) {
        this.#serveBy(connected, call, request)
        return
      }
      prepared = { server }
    } catch (error) {
      // a 1.x server cannot read what the client says about itself: the SDK's handler looks at that before
      const isEnvelope = error instanceof InvalidParamsError
      if (!isEnvelope && this.#servers.refuse(call, error)) return
      prepared = isEnvelope ? {} : { error }
    }
    this.leave(call, prepared)
  }

  /** @returns undefined if the SDK's handler has to connect it */
  async #connect (
    server: SdkServer,
    call: ModernCall,
    request: JSONRPCRequest
  ): Promise<ReusableServer | undefined> {
    if (isOfSdk2(server)) {
      return needsEntry(server, request)
        ? undefined
        : NativeServer.connect(server, this.#servers.areReused, {
          ...this.#transport,
          announce: this.#servers.announceFor(call)
        })
    }
    this.#bridges = true
    const bridged = this.#servers.bridged(server, call)
    if (!bridged.handles(request.method)) return undefined
    const description = await bridged.begin(call.client, { authInfo: call.caller })
    return new BridgedReusableServer(this.#bridge, bridged, await this.#shared.find(description))
  }

  /** Serves a call that its caller may make. */
  #serveBy (server: ReusableServer, call: ModernCall, request: JSONRPCRequest): void {
    call.server = server.plugged
    const served = server.serve(call, request, () => { this.#putBack(server, call) })
    if (served !== 'taken') this.leave(call, { isObserved: served === 'refused' })
  }

  #putBack (server: ReusableServer, call: ModernCall): void {
    this.#pool.put(server.isForOneClient ? clientKey(call.client) : ANY_CLIENT, server)
  }
}
