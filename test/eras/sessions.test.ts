import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import t from 'tap'
import { startMcp } from '../support/mcp-harness.js'
import { connect2, heardBy, textOf } from './era-clients.js'
import { EraPlug, eraServer2, eraServers } from './era-servers.js'
import { kSessions } from '../../src/plugins/mcp/sessions.js'

/*
 * What is said of sessions elsewhere, with a server of SDK 2.x in them.
 */
t.test('an instance of SDK 2.x that was dropped is rebuilt where the session stands', async t => {
  const plug = new EraPlug()
  let made = 0
  const service = await startMcp(t, {
    createServer: context => {
      made++
      return eraServer2(plug)(context)
    },
    limits: { instanceIdleSeconds: 30 }
  })
  const client = await connect2(service.url, 'legacy')
  t.teardown(() => client.close())
  const said: unknown[] = []
  client.heard.on('notifications/message', ({ data }) => {
    said.push(data)
    if (data === 'of this call') plug.emit('seen')
  })
  await client.call('log', {}, { level: 'error' })
  await client.listen('file:///a')
  // with a resource that a client listens to, an instance stays
  const { [kSessions]: mcpSessions } = service.app
  mcpSessions.tidy(Date.now() + 31_000)
  t.equal(mcpSessions.counts.instances, 1)

  const other = await connect2(service.url, 'legacy')
  t.teardown(() => other.close())
  other.heard.on('notifications/message', ({ data }) => {
    said.push(data)
    if (data === 'of this call') plug.emit('seen')
  })
  said.length = 0
  await other.call('log', {}, { level: 'error' })
  mcpSessions.tidy(Date.now() + 31_000)
  t.equal(mcpSessions.counts.instances, 1, 'the other one is dropped')
  const before = made
  await other.call('log')
  t.equal(made, before + 1)
  t.same(said, ['error', 'of this call', 'error', 'of this call'], 'the log level is that of the session')
  t.match(
    JSON.parse(textOf(await other.call('ask', { message: 'Which?' }))),
    { action: 'accept' },
    'and the client\'s capabilities are known'
  )

  const updated = heardBy(client, 'notifications/resources/updated')
  await client.call('announce', { uri: 'file:///a' })
  t.match(await updated, { uri: 'file:///a' })
})

t.test('HTTP+SSE, and without sessions', async t => {
  for (const [name, createServer] of Object.entries(eraServers)) {
    const { url } = await startMcp(t, { createServer: createServer(new EraPlug()) })
    const requestInit = { headers: { authorization: 'Bearer alice' } }
    const client = new Client({ name: 'sse', version: '1' }, { capabilities: { elicitation: {} } })
    client.setRequestHandler(ElicitRequestSchema, () => ({ action: 'accept', content: { colour: 'blue' } }))
    await client.connect(
      new SSEClientTransport(new URL(`${url}/sse`), {
        requestInit,
        eventSourceInit: {
          fetch: (url, init) =>
            fetch(url, { ...init, headers: { ...requestInit.headers, accept: 'text/event-stream' } })
        }
      })
    )
    t.teardown(() => client.close())
    t.match(
      await client.callTool({ name: 'ask', arguments: { message: 'Which?' } }),
      { content: [{ text: /blue/ }] },
      name
    )

    const sessionless = await startMcp(t, { createServer: createServer(new EraPlug()), sessionMode: 'stateless' })
    const legacy = await connect2(sessionless.url, 'legacy')
    const modern = await connect2(sessionless.url, { pin: '2026-07-28' })
    t.teardown(() => Promise.all([legacy.close(), modern.close()]))
    t.equal(textOf(await legacy.call('plain')), 'plain')
    t.match(
      await legacy.call('ask', { message: 'Which?' }),
      { isError: true },
      'without sessions, clients of the earlier revisions cannot be asked'
    )
    t.match(textOf(await modern.call('ask', { message: 'Which?' })), /blue/, 'those of 2026-07-28 can')
  }
})
