import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import Fastify from 'fastify'
import { createMemoryStores, mcpService } from 'fastify-mcp-oauth'
import { ScriptableUpstream, testClient } from 'fastify-mcp-oauth/testing'
import { createServer } from '../src/server.js'

// the whole service, and a login server, in memory
const upstream = new ScriptableUpstream()
const stores = createMemoryStores({ sessionIdleSeconds: 60 })
const app = Fastify()
await app.register(mcpService, {
  publicUrl: 'https://mcp.example.com',
  createServer,
  stores,
  upstream: upstream.options
})
after(async () => {
  await app.close()
  await stores.close()
})
const client = testClient(app, { upstream })

// a client with a session, and one without
for (const protocolVersion of ['2025-11-25', '2026-07-28'] as const) {
  test(`each person has their own notes (${protocolVersion})`, async () => {
    const [alice, bob] = [`alice-${protocolVersion}`, `bob-${protocolVersion}`]
    const first = await client.login({ as: alice, protocolVersion })
    const second = await client.login({ as: bob, protocolVersion })

    assert.match(JSON.stringify(await first.callTool('add_note', { text: 'Buy milk' })), /Note 1 is kept/)
    assert.deepEqual((await first.callTool('list_notes')).structuredContent, { notes: ['Buy milk'] })
    assert.deepEqual((await second.callTool('list_notes')).structuredContent, { notes: [] })
    assert.match(JSON.stringify(await first.callTool('who_am_i')), new RegExp(alice))

    await first.revoke()
    await assert.rejects(first.callTool('list_notes'), { code: 401 })
    await second.close()
  })
}
