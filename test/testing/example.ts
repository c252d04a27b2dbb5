import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import Fastify from 'fastify'
import t from 'tap'
import * as z from 'zod'
import { createMemoryStores, mcpService, requireScopes } from 'fastify-mcp-oauth'
import { ScriptableUpstream, testClient } from 'fastify-mcp-oauth/testing'

t.test('a server of notes', async t => {
  const upstream = new ScriptableUpstream()
  const app = Fastify()
  await app.register(mcpService, {
    publicUrl: 'https://notes.example.com',
    scopes: ['notes', 'notes:write'],
    stores: createMemoryStores({ sessionIdleSeconds: 60 }),
    upstream: upstream.options,
    createServer: () => {
      const server = new McpServer({ name: 'notes', version: '1.0.0' })
      server.registerTool('write', { inputSchema: z.object({ note: z.string() }) }, ({ note }, { authInfo }) => ({
        content: [{ type: 'text', text: `${authInfo?.extra?.subject} wrote: ${note}` }]
      }))
      requireScopes(server, { write: ['notes:write'] })
      return server
    }
  })
  t.teardown(() => app.close())
  const client = testClient(app, { upstream })

  // registers, logs in, consents, redeems the code
  const alice = await client.login({ as: 'alice', scopes: ['notes', 'notes:write'] })
  t.match(await alice.callTool('write', { note: 'milk' }), { content: [{ text: 'alice wrote: milk' }] })

  // somebody with fewer scopes, who speaks the revision without sessions
  const bob = await client.login({ as: 'bob', scopes: ['notes'], protocolVersion: '2026-07-28' })
  await t.rejects(bob.callTool('write', { note: 'beer' }), { code: 403 })

  // the login server goes away, and comes back
  upstream.outage()
  await t.rejects(client.login({ as: 'carol' }))
  upstream.restore()
  await client.login({ as: 'carol' })
  // three people; and after an outage the service asks, with a made-up code, whether its client is still known
  t.equal(upstream.tokenRequests('authorization_code').length, 4)

  await alice.revoke()
  await t.rejects(alice.callTool('write', { note: 'eggs' }), { code: 401 })
})
