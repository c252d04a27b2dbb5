import type { JSONRPCMessage, JSONRPCRequest } from '@modelcontextprotocol/server'
import { isObject } from '../../members.js'

/*
 * Roots are folders of the client's machine. Servers that were made to run there take them for folders of their own
 * (server-filesystem replaces what it was started with): on this machine they would be whatever a caller names. So a
 * hosted server is not told that its client has any, nor that they have changed, and is not answered if it asks.
 */

/** `initialize` of a client that has no roots. */
export function withoutRoots (initialize: JSONRPCRequest): JSONRPCRequest {
  const { params } = initialize
  if (!isObject(params?.capabilities)) return initialize
  const { roots, ...capabilities } = params.capabilities
  return { ...initialize, params: { ...params, capabilities } }
}

/** Whether a client says that its roots have changed. */
export function saysRootsChanged (message: JSONRPCMessage): boolean {
  return 'method' in message && message.method === 'notifications/roots/list_changed'
}

/** Whether a server asks for the roots of its client. */
export function asksForRoots ({ method }: JSONRPCRequest): boolean {
  return method === 'roots/list'
}
