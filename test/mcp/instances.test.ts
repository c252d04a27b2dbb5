import { once } from 'node:events'
import t from 'tap'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { parseObject, textAt, valueAt } from '../support/json.js'
import { ControlledServer } from '../support/controlled-server.js'
import { featureClients } from './feature-clients.js'
import { FeatureServer } from './feature-server.js'
import { parseData, readEvents, next } from '../support/raw-http.js'
import { RawClient, startMcp, type McpService } from '../support/mcp-harness.js'
import { kSessions } from '../../src/plugins/mcp/sessions.js'

const tool = (name: string, args: Record<string, unknown> = {}) => ({ name, arguments: args })
/** What a tool has answered, which is JSON. */
const jsonOf = (result: unknown): unknown => JSON.parse(textAt(result, 'content', 0, 'text'))

const resultOf = async (response: Response) => parseObject(await response.text()).result

/** Half a minute later: instances without work have been dropped. */
function later (service: McpService): void {
  service.app[kSessions].tidy(Date.now() + 31_000)
}

t.test('an instance without work is dropped, and rebuilt where the session stands', async t => {
  const plug = new FeatureServer()
  const service = await startMcp(t, { createServer: plug.createServer })
  const client = await new RawClient(service).connect('2025-06-18', { roots: {}, sampling: {} })
  await client.request('logging/setLevel', { level: 'warning' })
  for (const uri of ['file:///a', 'file:///b']) await client.request('resources/subscribe', { uri })
  await client.request('resources/unsubscribe', { uri: 'file:///a' })

  const first = plug.instance
  later(service)
  await plug.closed(first)
  t.match(service.app.mcpSessions.counts, { sessions: 0, instances: 0 }, 'only the record is left')

  t.match(jsonOf(await resultOf(await client.request('tools/call', tool('state')))), {
    client: { name: 'test' },
    capabilities: ['sampling', 'roots']
  }, 'it knows its client')
  const second = plug.instance
  t.not(second, first)
  t.ok(second.initialized, 'it is initialized')
  t.same([...second.subscriptions], ['file:///b'], 'with its subscriptions')

  const stream = readEvents(await client.get())
  await client.request('tools/call', tool('log'))
  await client.request('tools/call', tool('touch', { uri: 'file:///b' }))
  t.match(parseData(await next(stream)), { params: { level: 'warning' } }, 'and log level')
  t.match(parseData(await next(stream)), { params: { level: 'error' } })
  t.match(parseData(await next(stream)), { method: 'notifications/resources/updated', params: { uri: 'file:///b' } })
})

for (const [name, connect] of Object.entries(featureClients)) {
  t.test(`${name}: notices nothing; its open stream keeps no instance alive`, async t => {
    const plug = new FeatureServer()
    const service = await startMcp(t, { createServer: plug.createServer })
    const client = await connect(service)
    t.teardown(() => client.close())
    t.match(
      jsonOf(await client.call('ask-aside', { question: 'before' })),
      { content: { colour: 'blue' } },
      'its stream is open'
    )
    for (const question of ['one', 'two']) {
      const dropped = plug.instance
      later(service)
      await plug.closed(dropped)
      t.equal(service.app.mcpSessions.counts.streams, 1, 'the stream is open still')
      t.match(jsonOf(await client.call('ask', { question })), { content: { colour: 'blue' } })
      t.match(
        jsonOf(await client.call('ask-aside', { question })),
        { content: { colour: 'blue' } },
        'the open stream carries what the new instance sends'
      )
      t.not(plug.instance, dropped)
    }
    t.equal(plug.instances.length, 3)
  })
}

t.test('identity comes from the request, never from the record', async t => {
  const plug = new FeatureServer()
  const service = await startMcp(t, { createServer: plug.createServer })
  const client = await new RawClient(service).connect()
  const again = new RawClient(service, 'alice-again')
  again.sessionId = client.sessionId
  const who = async (as: RawClient) => jsonOf(await resultOf(await as.request('tools/call', tool('who'))))
  t.same(await who(client), { token: 'alice', subject: 'alice', scopes: ['mcp'] })
  t.same(
    await who(again),
    { token: 'alice-again', subject: 'alice', scopes: ['mcp', 'more'] },
    'another token, in the same instance'
  )
  const first = plug.instance
  later(service)
  await plug.closed(first)
  t.same(await who(again), { token: 'alice-again', subject: 'alice', scopes: ['mcp', 'more'] }, 'and in a rebuilt one')
  t.equal(plug.instance.context.authInfo.token, 'alice-again')
  t.same(await who(client), { token: 'alice', subject: 'alice', scopes: ['mcp'] })
})

t.test('an instance with work stays', async t => {
  const plug = new FeatureServer()
  const service = await startMcp(t, { createServer: plug.createServer })
  const { instances } = plug

  await t.test('a request runs', async t => {
    const client = await new RawClient(service).connect()
    const hanging = once(plug, 'hanging')
    const pending = client.post({
      jsonrpc: '2.0',
      id: 'hang',
      method: 'tools/call',
      params: tool('hang', { name: 'x' })
    })
    await hanging
    later(service)
    await client.notify('notifications/cancelled', { requestId: 'hang' })
    await (await pending).text()
    t.equal(instances.length, 1)
  })

  await t.test('the server waits for the client, although nobody is connected', async t => {
    const client = await new RawClient(service).connect('2025-11-25', { elicitation: { form: {} } })
    const abort = new AbortController()
    const response = await client.post(
      { jsonrpc: '2.0', id: 'ask', method: 'tools/call', params: tool('ask', { question: '?' }) },
      {},
      abort.signal
    )
    const events = readEvents(response)
    const { id = '' } = await next(events)
    const asked = valueAt(parseData(await next(events)), 'id')
    abort.abort()
    await t.rejects(events.next())
    later(service)
    await client.post({ jsonrpc: '2.0', id: asked, result: { action: 'decline' } })
    const rest = readEvents(await client.get({ 'last-event-id': id }))
    await next(rest)
    t.match(parseData(await next(rest)), { id: 'ask', result: { content: [{ text: '{"action":"decline"}' }] } })
    t.equal(instances.length, 2)
  })

  await t.test('it has subscribers who listen', async t => {
    const client = await new RawClient(service).connect()
    await client.request('resources/subscribe', { uri: 'file:///a' })
    const abort = new AbortController()
    const stream = readEvents(await client.get({}, abort.signal))
    await next(stream)
    later(service)
    await plug.instance.server.server.sendResourceUpdated({ uri: 'file:///a' })
    t.match(parseData(await next(stream)), { params: { uri: 'file:///a' } })
    abort.abort()
    await t.rejects(stream.next())
    while (service.app.mcpSessions.counts.streams > 0) await new Promise(resolve => setImmediate(resolve))
    later(service)
    await plug.closed(plug.instance)
    t.pass('nobody listens any more: it is dropped')
  })
})

t.test('what comes while an instance is rebuilt waits for it', async t => {
  const plug = new ControlledServer()
  let gate = Promise.resolve()
  let open = () => {}
  const createServer: CreateServer = async context => {
    const server = plug.createServer(context)
    await gate
    return server
  }
  const service = await startMcp(t, { createServer })
  const client = await new RawClient(service).connect()
  const closed = once(plug, 'closed')
  later(service)
  await closed

  gate = new Promise(resolve => { open = resolve })
  const rebuilding = once(plug, 'server')
  const first = client.request('ping')
  await rebuilding
  const others = [client.request('ping'), client.request('ping')]
  open()
  for (const response of await Promise.all([first, ...others])) t.match(await response.json(), { result: {} })
  t.equal(plug.servers.length, 2, 'one instance for all')
  t.same(plug.server.server.getClientVersion(), { name: 'test', version: '1.0.0' })

  await t.test('a session that ends meanwhile', async t => {
    const closed = once(plug, 'closed')
    later(service)
    await closed
    gate = new Promise(resolve => { open = resolve })
    const rebuilding = once(plug, 'server')
    const pending = client.request('ping')
    await rebuilding
    t.equal((await fetch(`${service.url}/mcp`, { method: 'DELETE', headers: client.headers() })).status, 200)
    const late = once(plug, 'closed')
    open()
    t.equal((await pending).status, 404)
    await late
    t.match(service.app.mcpSessions.counts, { sessions: 0, instances: 0 })
  })
})

t.test('an instance that cannot be made costs a call, not the session', async t => {
  const plug = new ControlledServer()
  let broken = false
  const service = await startMcp(t, {
    createServer: context => {
      if (broken) throw new Error('out of order')
      return plug.createServer(context)
    }
  })
  const client = await new RawClient(service).connect()
  const closed = once(plug, 'closed')
  later(service)
  await closed
  broken = true
  const response = await client.request('ping')
  t.equal(response.status, 500)
  t.match(await response.json(), { jsonrpc: '2.0', id: null, error: { code: -32603 } })
  t.equal(service.app.mcpSessions.counts.instances, 0)
  broken = false
  t.match(await (await client.request('ping')).json(), { result: {} })
})

t.test('a server that closes itself fails what runs, and is rebuilt', async t => {
  const plug = new ControlledServer()
  const service = await startMcp(t, { createServer: plug.createServer })
  const client = await new RawClient(service).connect()
  const pending = client.request('tools/call', tool('wait', { name: 'x' }))
  await plug.call('x')
  await plug.server.close()
  t.match(await (await pending).json(), { error: { code: -32000, message: /closed the connection/ } })
  t.match(await (await client.request('ping')).json(), { result: {} })
  t.equal(plug.servers.length, 2)
})
