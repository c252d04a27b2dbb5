import {
  CLIENT_CAPABILITIES_META_KEY,
  McpServer,
  PROTOCOL_VERSION_META_KEY,
  type JSONRPCRequest,
  type Transport
} from '@modelcontextprotocol/server'
import { serveStdio } from '@modelcontextprotocol/server/stdio'
import { derive } from '../../../derive.js'
import { REVISION_2026_07_28 } from '../../wire/protocol-versions.js'
import { bareServer, type SdkServer2 } from '../../sdk-servers.js'

/*
 * What this is: it binds an SDK 2.x server to revision 2026-07-28 for as long as it is connected. Only the SDK's entry
 * points do that. `serveStdio`, the one for lasting connections, takes any transport: it gets one that opens the
 * revision, and an object that passes for an McpServer, whose `connect` is the last thing that it calls.
 * What it is not: stdio. Nothing is read from or written to the process's streams.
 * What breaks: if `serveStdio` uses more of the server than `server` and `connect`, or binds later than `connect`,
 * every call of the fast path fails (test/eras/wire.test.ts).
 * Delete it when the SDK exports a way to connect a server for a revision.
 */

const OPENING: JSONRPCRequest = {
  jsonrpc: '2.0',
  id: 0,
  method: 'server/discover',
  params: { _meta: { [PROTOCOL_VERSION_META_KEY]: REVISION_2026_07_28, [CLIENT_CAPABILITIES_META_KEY]: {} } }
}

/** Connects a server of SDK 2.x, bound to revision 2026-07-28. */
export async function connectModern (plugged: SdkServer2, transport: Transport): Promise<void> {
  const server = bareServer(plugged)
  await new Promise<void>((resolve, reject) => {
    const connect = async () => { await server.connect(transport).then(resolve, reject) }
    const opened: McpServer = derive(McpServer.prototype, { server: { value: server }, connect: { value: connect } })
    const wire: Transport = { async start () {}, async send () {}, async close () {} }
    serveStdio(() => opened, { transport: wire, legacy: 'reject', onerror: reject })
    wire.onmessage?.(OPENING)
  })
}
