import {
  CLIENT_CAPABILITIES_META_KEY,
  CLIENT_INFO_META_KEY,
  isSpecType,
  specTypeSchemas,
  type JSONRPCRequest,
  type Server
} from '@modelcontextprotocol/server'
import { ReusableTransport, type ReusableTransportOptions } from './reusable-transport.js'
import type { ModernCall } from '../modern-call.js'
import { connectModern } from './bind-revision.js'
import type { ReusableServer, Served } from './reusable-server.js'
import { bareServer, type SdkServer2 } from '../../sdk-servers.js'

/*
 * What this is: an SDK 2.x server that stays connected and serves one request after the other. The SDK describes the
 * client to a server once for each connection, so the two methods that return it are replaced: they read the current
 * request.
 * What it is not: a server for several requests at the same time; the pool has one for each.
 * What breaks: if the SDK reads the client by anything but these methods, servers see the client of an earlier request
 * (test/eras/reused-instances.test.ts).
 * Delete it with the fast path.
 */

/** An SDK 2.x server that stays connected, and serves one request at a time. */
export class NativeServer implements ReusableServer {
  readonly plugged: SdkServer2
  readonly isForOneClient = false
  readonly #server: Server
  readonly #transport: ReusableTransport
  readonly #isReused: boolean
  /** Schemas of tools that have no parameters as headers. */
  readonly #plain = new Set<object>()
  #requests = 0
  /** The `_meta` of the current request. */
  #meta: Readonly<Record<string, unknown>> = {}

  private constructor (plugged: SdkServer2, isReused: boolean, options: ReusableTransportOptions) {
    this.plugged = plugged
    this.#server = bareServer(plugged)
    this.#transport = new ReusableTransport(options)
    this.#isReused = isReused
    this.#server.getClientVersion = () => {
      const info = this.#meta[CLIENT_INFO_META_KEY]
      return isSpecType.Implementation(info) ? info : undefined
    }
    this.#server.getClientCapabilities = () => {
      const read = specTypeSchemas.ClientCapabilities['~standard'].validate(this.#meta[CLIENT_CAPABILITIES_META_KEY])
      return 'value' in read ? read.value : undefined
    }
  }

  static async connect (
    plugged: SdkServer2,
    isReused: boolean,
    options: ReusableTransportOptions
  ): Promise<NativeServer> {
    const instance = new NativeServer(plugged, isReused, options)
    await connectModern(plugged, instance.#transport)
    return instance
  }

  get isOpen (): boolean {
    return this.#transport.isOpen
  }

  serve (call: ModernCall, request: JSONRPCRequest, onFree: () => void): Served {
    // of an instance that was made for the call it is known
    if (this.#isReused && needsEntry(this.plugged, request, this.#plain)) {
      onFree()
      return 'left'
    }
    this.#meta = request.params?._meta ?? {}
    const served = this.#transport.carry({
      call,
      request,
      id: this.#isReused ? `exchange-${++this.#requests}` : request.id,
      onOver: answered => {
        if (!this.#isReused) {
          // nothing is left to be told but who wants to be
          if (!answered || this.#server.onclose !== undefined) setImmediate(() => { this.close() })
          return
        }
        this.#meta = {}
        // what was cancelled may still run
        if (answered) onFree()
        else this.close()
      }
    })
    if (served !== 'taken') {
      if (this.#isReused) onFree()
      else this.close()
    }
    return served
  }

  close (): void {
    this.#server.close().catch((error: unknown) => {
      this.#transport.onerror?.(error instanceof Error ? error : new Error(String(error)))
    })
  }
}

const X_MCP_HEADER = 'x-mcp-header'

/**
 * Whether a call is one that the SDK's entry has something to check of that only it can: parameters as headers.
 * @param plain schemas that were looked at before, and have no such parameters
 */
export function needsEntry (plugged: SdkServer2, request: JSONRPCRequest, plain?: Set<object>): boolean {
  if (!('toolInputSchemaJson' in plugged)) return false
  const schema = request.method === 'tools/call' ? plugged.toolInputSchemaJson(String(request.params?.name)) : undefined
  if (schema === undefined || plain?.has(schema) === true) return false
  if (JSON.stringify(schema).includes(X_MCP_HEADER)) return true
  plain?.add(schema)
  return false
}
