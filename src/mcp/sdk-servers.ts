import type { McpServer as McpServer2, Server as Server2, Transport } from '@modelcontextprotocol/server'
import type { CreateServer, PluggedServer, ServerContext } from './create-server.js'
import { warnOfUnsharedTasks } from './tasks/unshared-tasks.js'
import { warnOfUnlistableTools } from './unlistable-tools.js'

/*
 * What this is: it distinguishes the servers of the two SDKs by their members. Not by `instanceof`: an app may have
 * other copies of the SDKs than this package, and a class of one copy does not recognize the instances of another.
 * What it is not: a check of the SDK's version, which is npm's to make (peerDependencies).
 * What breaks: if SDK 1.x gets `getNegotiatedProtocolVersion`, its servers pass for 2.x ones
 * (test/package/copies.test.ts).
 * Delete it when servers of SDK 1.x are no longer taken.
 */

/** What is used of a `Server` of SDK 1.x. It is described here because that SDK need not be installed. */
export interface Server1 {
  readonly fallbackRequestHandler?: unknown
  /** Whether it is somewhere else, and announces changes to each of its connections apart. */
  readonly isElsewhere?: boolean
  connect (transport: Transport): Promise<void>
  close (): Promise<void>
  getClientCapabilities (): unknown
  assertCanSetRequestHandler (method: string): void
}

/** What is used of an `McpServer` of SDK 1.x. */
interface McpServer1 {
  readonly server: Server1
  connect (transport: Transport): Promise<void>
  close (): Promise<void>
}

export type SdkServer1 = McpServer1 | Server1
export type SdkServer2 = McpServer2 | Server2
export type SdkServer = SdkServer1 | SdkServer2

/** Whether a server is of SDK 2.x, which speaks revision 2026-07-28. One of SDK 1.x needs the bridge. */
export function isOfSdk2 (server: SdkServer): server is SdkServer2 {
  return 'getNegotiatedProtocolVersion' in ('server' in server ? server.server : server)
}

/** The `Server` of an `McpServer`. */
export function bareServer (server: SdkServer2): Server2
export function bareServer (server: SdkServer1): Server1
export function bareServer (server: SdkServer): Server1 | Server2 {
  return 'server' in server ? server.server : server
}

/**
 * Makes a server instance.
 * @throws {TypeError} (rejects with it) if `createServer` does not return a server of either SDK
 */
export async function makeServer (createServer: CreateServer, context: ServerContext): Promise<SdkServer> {
  const plugged = await createServer(context)
  if (!isSdkServer(plugged)) {
    throw new TypeError(
      'createServer must return an McpServer or a Server of @modelcontextprotocol/sdk 1.x ' +
        'or @modelcontextprotocol/server 2.x.'
    )
  }
  warnOfUnlistableTools(plugged, createServer, context.log)
  warnOfUnsharedTasks(bareServer(plugged), createServer, context.log)
  return plugged
}

// what JavaScript returns may be anything
function isSdkServer (plugged: PluggedServer | undefined): plugged is SdkServer {
  if (typeof plugged?.connect !== 'function') return false
  const bare = 'server' in plugged ? plugged.server : plugged
  return typeof bare?.getClientCapabilities === 'function' && 'assertCanSetRequestHandler' in bare
}

type ErrorListener = (error: Error) => void

/** Makes one listener of errors of two. */
export function chain (first: ErrorListener | undefined, second: ErrorListener): ErrorListener {
  return error => {
    first?.(error)
    second(error)
  }
}
