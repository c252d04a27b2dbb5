// An app that has installed the package, with the MCP service under /ai.
import { setTimeout as delay } from 'node:timers/promises'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import Fastify from 'fastify'
import { createMemoryStores, mcpDiscovery, mcpService } from 'fastify-mcp-oauth'
import * as z from 'zod'

const text = value => ({ content: [{ type: 'text', text: value }] })

function createServer () {
  const server = new McpServer({ name: 'consumer', version: '1.0.0' })
  server.registerTool(
    'add',
    { title: 'Add', inputSchema: { l: z.number(), r: z.number() } },
    ({ l, r }) => text(String(l + r))
  )
  server.registerTool('whoami', { inputSchema: {} }, (_input, { authInfo }) => text(JSON.stringify(authInfo?.extra)))
  const countdown = { inputSchema: { from: z.number(), intervalMs: z.number() } }
  server.registerTool('countdown', countdown, async ({ from, intervalMs }, { sendNotification, _meta }) => {
    for (let left = from; left > 0; left--) {
      await sendNotification(
        {
          method: 'notifications/progress',
          params: { progressToken: _meta?.progressToken, progress: from - left, total: from }
        }
      )
      await delay(intervalMs)
    }
    return text('Lift-off!')
  })
  return server
}

const app = Fastify({ forceCloseConnections: true })
const stores = createMemoryStores({ sessionIdleSeconds: 3600 })
app.addHook('onClose', () => stores.close())
const options = {
  publicUrl: `http://localhost:${process.env.PORT}`,
  createServer,
  stores,
  upstream: {
    issuerUrl: new URL(process.env.OAUTH_ISSUER_URL),
    scopes: ['openid', 'profile', 'email', 'offline_access']
  }
}
await app.register(mcpService, { ...options, prefix: '/ai' })
await app.register(mcpDiscovery, { ...options, servicePrefix: '/ai' })
process.once('SIGTERM', () => app.close())
await app.listen({ port: Number(process.env.PORT) })
