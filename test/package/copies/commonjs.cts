import sdk1 = require('@modelcontextprotocol/sdk/server/mcp.js')
import sdk2 = require('@modelcontextprotocol/server')
import Fastify = require('fastify')
import mcp = require('fastify-mcp-oauth')
import testing = require('fastify-mcp-oauth/testing')

/* A CommonJS project, whose SDKs are other copies even if they are of the same package. */

const info = { name: 'copies', version: '1.0.0' }
const text = (value: string | undefined) => ({ content: [{ type: 'text' as const, text: String(value) }] })

const createServers: Record<string, mcp.CreateServer> = {
  'McpServer of SDK 1.x': () => {
    const server = new sdk1.McpServer(info)
    server.registerTool('revision', {}, ({ requestInfo }) =>
      text(String(requestInfo?.headers['mcp-protocol-version'] ?? 'bridged')))
    return server
  },
  'McpServer of SDK 2.x': () => {
    const server = new sdk2.McpServer(info)
    server.registerTool('revision', {}, () => text(server.server.getNegotiatedProtocolVersion()))
    return server
  }
}

async function main (): Promise<void> {
  for (const [name, createServer] of Object.entries(createServers)) {
    const upstream = new testing.ScriptableUpstream()
    const app = Fastify()
    const stores = mcp.createMemoryStores({ sessionIdleSeconds: 60 })
    const publicUrl = 'https://mcp.example.com'
    await app.register(mcp.default, { publicUrl, createServer, stores, upstream: upstream.options })
    for (const protocolVersion of ['2025-11-25', '2026-07-28'] as const) {
      const session = await testing.testClient(app, { upstream }).login({ protocolVersion })
      const { content: [first] } = await session.callTool('revision')
      const revision = first?.type === 'text' ? first.text : first
      process.stdout.write(`${JSON.stringify({ name, protocolVersion, revision })}\n`)
      await session.close()
    }
    await app.close()
    await stores.close()
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`)
  process.exitCode = 1
})
