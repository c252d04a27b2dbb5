import { McpServer as McpServer1 } from '@modelcontextprotocol/sdk/server/mcp.js'
import { Server as Server1 } from '@modelcontextprotocol/sdk/server/index.js'
import { fromJsonSchema, McpServer as McpServer2, Server as Server2 } from '@modelcontextprotocol/server'
import Fastify from 'fastify'
import mcp, { createMemoryStores, requireScopes, type CreateServer } from 'fastify-mcp-oauth'
import { ScriptableUpstream, testClient } from 'fastify-mcp-oauth/testing'

/* A project with its own copies of both SDKs. It prints which revision each of its servers was asked in. */

const info = { name: 'copies', version: '1.0.0' }
const text = (value: string | undefined) => ({ content: [{ type: 'text' as const, text: String(value) }] })
const inHeader = { type: 'object', properties: { city: { type: 'string', 'x-mcp-header': 'City' } } }

const createServers: Record<string, CreateServer> = {
  'McpServer of SDK 1.x': () => {
    const server = new McpServer1(info)
    server.registerTool('revision', {}, ({ requestInfo }) =>
      text(String(requestInfo?.headers['mcp-protocol-version'] ?? 'bridged')))
    requireScopes(server, { revision: ['mcp'] })
    return server
  },
  'Server of SDK 1.x': () => new Server1(info),
  'McpServer of SDK 2.x': () => {
    const server = new McpServer2(info)
    server.registerTool('revision', {}, () => text(server.server.getNegotiatedProtocolVersion()))
    server.registerTool('forecast', { inputSchema: fromJsonSchema(inHeader) }, () => text('served'))
    requireScopes(server, { revision: ['mcp'] })
    return server
  },
  'Server of SDK 2.x': async () => new Server2(info)
}

for (const [name, createServer] of Object.entries(createServers)) {
  const upstream = new ScriptableUpstream()
  const app = Fastify()
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  await app.register(mcp, { publicUrl: 'https://mcp.example.com', createServer, stores, upstream: upstream.options })
  for (const protocolVersion of ['2025-11-25', '2026-07-28'] as const) {
    const session = await testClient(app, { upstream }).login({ protocolVersion })
    const call = async (tool: string) => await session.callTool(tool, { city: 'Oslo' }).then(
      ({ content: [first] }) => first?.type === 'text' ? first.text : first,
      (error: Error) => error.message
    )
    const said = { revision: await call('revision'), forecast: await call('forecast') }
    process.stdout.write(`${JSON.stringify({ name, protocolVersion, ...said })}\n`)
    await session.close()
  }
  await app.close()
  await stores.close()
}
