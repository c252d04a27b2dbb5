import {
  CLIENT_CAPABILITIES_META_KEY,
  McpServer,
  PROTOCOL_VERSION_META_KEY,
  type JSONRPCRequest,
  type Server,
  type Transport
} from '@modelcontextprotocol/server'
import { serveStdio } from '@modelcontextprotocol/server/stdio'
import { derive } from '../../../derive.js'
import { REVISION_2026_07_28 } from '../../wire/protocol-versions.js'

const OPENING: JSONRPCRequest = {
  jsonrpc: '2.0',
  id: 0,
  method: 'server/discover',
  params: { _meta: { [PROTOCOL_VERSION_META_KEY]: REVISION_2026_07_28, [CLIENT_CAPABILITIES_META_KEY]: {} } }
}

/**
 * Connects a server of SDK 2.x that serves this revision for as long as it is connected. Only the SDK's entries bind a
 * server to it: here the one for lasting connections, which takes any transport, up to where it connects the server.
 */
export async function connectModern (plugged: McpServer | Server, transport: Transport): Promise<void> {
  const server = plugged instanceof McpServer ? plugged.server : plugged
  await new Promise<void>((resolve, reject) => {
    const connect = async () => { await server.connect(transport).then(resolve, reject) }
    const opened: McpServer = derive(McpServer.prototype, { server: { value: server }, connect: { value: connect } })
    const wire: Transport = { async start () {}, async send () {}, async close () {} }
    serveStdio(() => opened, { transport: wire, legacy: 'reject', onerror: reject })
    wire.onmessage?.(OPENING)
  })
}
