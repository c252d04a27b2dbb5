import { McpServer } from '@modelcontextprotocol/server'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import * as z from 'zod'
import { createMemoryStores, InvalidTokenError, mcpService, type CreateServer } from 'fastify-mcp-oauth'
import { ScriptableUpstream, testClient } from 'fastify-mcp-oauth/testing'
import { createServer as createMcpServer } from '../support/sample-server.js'

/*
 * The code of docs/moving.md, as it stands there: each starts, and asks for a login.
 */
const verifyAccessToken = async () => { throw new InvalidTokenError('The access token is unknown.') }
const rollInput = z.object({ sides: z.number().int().min(2) })

/** Everybody is asked to log in at the authorization server that the code names. */
async function challenges (app: FastifyInstance, server: string): Promise<unknown> {
  const { statusCode } = await app.inject({ method: 'POST', url: '/mcp' })
  t.equal(statusCode, 401)
  const metadata = await app.inject('/.well-known/oauth-protected-resource/mcp')
  t.match(metadata.json(), { resource: 'https://mcp.example.com/mcp', authorization_servers: [server] })
  return metadata.json()
}

t.test('from mcpAuthRouter', async t => {
  const createServer: CreateServer = createMcpServer
  const clientSecret = 'shh'

  const app = Fastify({ logger: { level: 'warn' } })
  const stores = createMemoryStores({ sessionIdleSeconds: 3600 })
  app.addHook('onClose', () => stores.close())
  await app.register(mcpService, {
    publicUrl: 'https://mcp.example.com',
    createServer,
    stores,
    upstream: {
      issuerUrl: new URL('https://login.example.com'),
      clientId: 'mcp',
      clientSecret,
      scopes: ['openid', 'profile', 'email', 'offline_access']
    }
  })

  t.teardown(() => app.close())
  await challenges(app, 'https://mcp.example.com')
})

t.test('from fastify-mcp', async t => {
  const app = Fastify()
  const stores = createMemoryStores({ sessionIdleSeconds: 3600 })
  t.teardown(async () => {
    await app.close()
    await stores.close()
  })

  await app.register(mcpService, {
    publicUrl: 'https://mcp.example.com',
    createServer: createMcpServer,
    stores,
    auth: { mode: 'host', authorizationServers: ['https://login.example.com'], verifyAccessToken }
  })

  await challenges(app, 'https://login.example.com')
})

t.test('from mcp-handler', async t => {
  const app = Fastify()
  const stores = createMemoryStores({ sessionIdleSeconds: 3600 })
  t.teardown(async () => {
    await app.close()
    await stores.close()
  })

  const createServer: CreateServer = () => {
    const server = new McpServer({ name: 'dice', version: '1.0.0' })
    server.registerTool('roll_dice', { inputSchema: rollInput }, async ({ sides }, { http }) => {
      const rolled = 1 + Math.floor(Math.random() * sides)
      return { content: [{ type: 'text', text: `${http?.authInfo?.extra?.subject} rolled ${rolled}.` }] }
    })
    return server
  }

  await app.register(mcpService, {
    publicUrl: 'https://mcp.example.com',
    createServer,
    stores,
    scopes: ['dice'],
    auth: { mode: 'resource-server', issuer: 'https://login.example.com' }
  })

  t.match(await challenges(app, 'https://login.example.com'), { scopes_supported: ['dice'] })

  await t.test('the tool says who rolled', async t => {
    const upstream = new ScriptableUpstream()
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(mcpService, {
      publicUrl: 'https://mcp.example.com',
      createServer,
      stores: createMemoryStores({ sessionIdleSeconds: 60 }),
      upstream: upstream.options
    })
    for (const protocolVersion of ['2025-11-25', '2026-07-28'] as const) {
      const alice = await testClient(app, { upstream }).login({ as: 'alice', protocolVersion })
      t.match(await alice.callTool('roll_dice', { sides: 2 }), { content: [{ text: /^alice rolled [12]\.$/ }] })
      await alice.close()
    }
  })
})
