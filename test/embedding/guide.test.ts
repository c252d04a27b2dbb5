import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { McpServer } from '@modelcontextprotocol/server'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { createMemoryStores, mcpService } from 'fastify-mcp-oauth'
import { ScriptableUpstream, testClient } from 'fastify-mcp-oauth/testing'
import { buildApp as sdk1App } from '../../examples/sdk1-server/app.js'
import { createServer as sdk1Server } from '../../examples/sdk1-server/server.js'
import { buildApp as sdk2App } from '../../examples/sdk2-server/app.js'
import { createServer as sdk2Server } from '../../examples/sdk2-server/server.js'
import { startDemoUpstream } from '../../src/demo/upstream.js'
import { eraClients, heardBy, textOf, type EraClient } from '../eras/era-clients.js'
import { freePort } from '../support/free-port.js'
import { startMcp } from '../support/mcp-harness.js'
import { Person } from '../support/person.js'

/*
 * The two servers of docs/your-server.md do the same for every client.
 */
const examples = {
  'SDK 1.x': { buildApp: sdk1App, createServer: sdk1Server },
  'SDK 2.x': { buildApp: sdk2App, createServer: sdk2Server }
}
const BOARD = 'board://today'
const REFUSALS = [{ action: 'decline' }, { action: 'cancel' }, { action: 'accept', content: { sure: false } }]

/** An access token of somebody who logs in. */
async function logIn (url: string, name: string): Promise<string> {
  const person = new Person(name)
  const transport = new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { authProvider: person })
  await new Client({ name: 'guide', version: '1' }).connect(transport).catch(() => {})
  await transport.finishAuth((await person.logIn()).get('code') ?? '')
  return person.accessToken
}

/** What a person does with the server, while somebody else reads the board. */
async function journey (t: Test, client: EraClient, reader: EraClient): Promise<void> {
  const added = await client.call('add_note', { text: 'Buy milk' })
  t.same(added.structuredContent, { number: 1, text: 'Buy milk' })
  t.same(JSON.parse(textOf(added)), added.structuredContent, 'as text, too')
  t.match(await client.read('note://1'), { contents: [{ text: 'Buy milk' }] })
  t.match(await reader.read('note://1'), { contents: [{ text: 'There is no such note.' }] }, 'each has their own')

  await client.listen('note://1')
  const [update, changed] = await Promise.all([
    heardBy(client, 'notifications/resources/updated'),
    client.call('change_note', { number: 1, text: 'Buy tea' })
  ])
  t.equal(update.uri, 'note://1')
  t.equal(textOf(changed), 'It is changed.')
  t.match(await client.read('note://1'), { contents: [{ text: 'Buy tea' }] })
  t.match(await client.call('change_note', { number: 7, text: '-' }), { isError: true })

  const [news] = await Promise.all([
    heardBy(reader, 'notifications/resources/updated'),
    client.call('write_on_board', { text: 'There is tea.' })
  ])
  t.equal(news.uri, BOARD)
  t.match(await reader.read(BOARD), { contents: [{ text: 'There is tea.' }] })

  t.equal(textOf(await client.call('delete_notes')), 'They are deleted.')
  t.match(await client.read('note://1'), { contents: [{ text: 'There is no such note.' }] })
}

for (const [line, { buildApp, createServer }] of Object.entries(examples)) {
  t.test(`the example of ${line}, with each client`, async t => {
    const login = await startDemoUpstream({ port: 0 })
    t.teardown(() => login.close())
    const port = await freePort()
    const url = `http://localhost:${port}`
    const app = await buildApp({ publicUrl: url, issuer: login.issuer })
    t.teardown(() => app.close())
    await app.listen({ port, host: '127.0.0.1' })
    const [alice, bob] = [await logIn(url, 'alice'), await logIn(url, 'bob')]

    for (const [name, { connect }] of Object.entries(eraClients)) {
      await t.test(name, async t => {
        const connectAs = async (token: string) => {
          const client = await connect(url, { requestInit: { headers: { authorization: `Bearer ${token}` } } })
          t.teardown(() => client.close())
          return client
        }
        const [client, reader] = [await connectAs(alice), await connectAs(bob)]
        await reader.listen(BOARD)
        await journey(t, client, reader)
      })
    }
  })

  t.test(`the example of ${line} deletes nothing if the person declines`, async t => {
    const upstream = new ScriptableUpstream()
    const app = Fastify()
    t.teardown(() => app.close())
    const stores = createMemoryStores({ sessionIdleSeconds: 60 })
    t.teardown(() => stores.close())
    await app.register(mcpService, {
      publicUrl: 'https://notes.example.com',
      stores,
      upstream: upstream.options,
      createServer
    })
    for (const protocolVersion of ['2025-11-25', '2026-07-28'] as const) {
      for (const answer of REFUSALS) {
        const carol = await testClient(app, { upstream }).login({
          as: 'carol',
          protocolVersion,
          answers: { 'elicitation/create': () => answer }
        })
        t.match(await carol.callTool('delete_notes'), { content: [{ text: 'They are kept.' }] }, protocolVersion)
        await carol.close()
      }
    }
  })
}

t.test('with SDK 2.x, a tool that uses elicitInput fails for clients of 2026-07-28, and for no others', async t => {
  const { url } = await startMcp(t, {
    createServer: () => {
      const server = new McpServer({ name: 'asks', version: '1.0.0' })
      server.registerTool('ask', {}, async ({ mcpReq }) => {
        const { action } = await mcpReq.elicitInput({
          message: 'Sure?',
          requestedSchema: { type: 'object', properties: { sure: { type: 'boolean' } } }
        })
        return { content: [{ type: 'text', text: action }] }
      })
      return server
    }
  })
  for (const [name, { modern, connect }] of Object.entries(eraClients)) {
    const client = await connect(url)
    t.teardown(() => client.close())
    const result = await client.call('ask')
    t.equal(result.isError === true, modern, name)
    t.match(textOf(result), modern ? /inputRequired/ : 'accept', name)
  }
})
