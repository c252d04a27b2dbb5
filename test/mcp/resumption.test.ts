import { EventEmitter, once } from 'node:events'
import {
  Client as Client2,
  StreamableHTTPClientTransport as StreamableHTTPClientTransport2
} from '@modelcontextprotocol/client'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import t, { type Test } from 'tap'
import { MemoryEventLog } from '../../src/stores/memory/event-log.js'
import { valueAt } from '../support/json.js'
import { ControlledServer, say } from '../support/controlled-server.js'
import { requestInit } from './feature-clients.js'
import { parseData, readEvents, next } from '../support/raw-http.js'
import { RawClient, startMcp, type McpService } from '../support/mcp-harness.js'

const clientInfo = { name: 'test', version: '1.0.0' }
const wait = (name: string) => ({ name: 'wait', arguments: { name } })
const streams = { retryMs: 1 }

/** A client that keeps what it hears, and the means to wait for it. */
interface Listener {
  call (name: string): Promise<unknown>
  /** Waits until it has heard a log message with this text. */
  hears (text: string): Promise<void>
  readonly heard: readonly unknown[]
}

function listening () {
  const heard: unknown[] = []
  const news = new EventEmitter()
  return {
    heard,
    onMessage: (data: unknown) => {
      heard.push(data)
      news.emit('message')
    },
    hears: async (text: string) => {
      while (!heard.includes(text)) await once(news, 'message')
    }
  }
}

const clients: Record<string, (t: Test, service: McpService) => Promise<Listener>> = {
  'SDK 1.x client': async (t, service) => {
    const { heard, onMessage, hears } = listening()
    const client = new Client(clientInfo)
    client.fallbackNotificationHandler = async ({ params }) => { onMessage(params?.data) }
    await client.connect(new StreamableHTTPClientTransport(new URL(`${service.url}/mcp`), { requestInit }))
    t.teardown(() => client.close())
    return { heard, hears, call: async name => (await client.callTool(wait(name))).content }
  },
  'SDK 2.x client': async (t, service) => {
    const { heard, onMessage, hears } = listening()
    const client = new Client2(clientInfo)
    client.fallbackNotificationHandler = async ({ params }) => { onMessage(params?.data) }
    await client.connect(new StreamableHTTPClientTransport2(new URL(`${service.url}/mcp`), { requestInit }))
    t.teardown(() => client.close())
    return { heard, hears, call: async name => (await client.callTool(wait(name))).content }
  }
}

for (const [name, connect] of Object.entries(clients)) {
  t.test(`${name}: every connection is cut, and nothing is lost`, async t => {
    const plug = new ControlledServer()
    const service = await startMcp(t, { createServer: plug.createServer, streams })
    const client = await connect(t, service)
    const pending = client.call('cut')
    const call = await plug.call('cut')
    await say(call, 'one')
    await client.hears('one')
    await plug.server.sendLoggingMessage({ level: 'info', data: 'aside one' })
    await client.hears('aside one')
    for (const number of ['two', 'three']) {
      service.app.server.closeAllConnections()
      // said while nobody is connected
      await say(call, number)
      await plug.server.sendLoggingMessage({ level: 'info', data: `aside ${number}` })
      await Promise.all([client.hears(number), client.hears(`aside ${number}`)])
    }
    service.app.server.closeAllConnections()
    call.finish('done')
    t.match(await pending, [{ text: 'done' }])
    t.same(
      [...client.heard].sort(),
      ['aside one', 'aside three', 'aside two', 'one', 'three', 'two'],
      'every message once'
    )
  })

  t.test(`${name}: the server lets go of connections (SEP-1699)`, async t => {
    const plug = new ControlledServer()
    const service = await startMcp(t, { createServer: plug.createServer, streams })
    const client = await connect(t, service)
    await plug.server.sendLoggingMessage({ level: 'info', data: 'aside' })
    await client.hears('aside')
    const pending = client.call('polled')
    const call = await plug.call('polled')
    for (const number of ['one', 'two']) {
      call.extra.closeSSEStream?.()
      call.extra.closeStandaloneSSEStream?.()
      await say(call, number)
      await plug.server.sendLoggingMessage({ level: 'info', data: `aside ${number}` })
      await Promise.all([client.hears(number), client.hears(`aside ${number}`)])
    }
    call.extra.closeSSEStream?.()
    call.finish('done')
    t.match(await pending, [{ text: 'done' }])
    t.same([...client.heard].sort(), ['aside', 'aside one', 'aside two', 'one', 'two'])
  })
}

t.test('what does not fit into the log is lost from its beginning, and the answer is not', async t => {
  const eventLog = new MemoryEventLog({ maxEventsPerStream: 3 })
  t.teardown(() => eventLog.close())
  const plug = new ControlledServer()
  const client = await new RawClient(await startMcp(t, { createServer: plug.createServer, eventLog })).connect()
  const abort = new AbortController()
  const pending = client.request('tools/call', wait('long'), {}, abort.signal)
  const call = await plug.call('long')
  await say(call, '0')
  const events = readEvents(await pending)
  const { id = '' } = await next(events)
  abort.abort()
  await t.rejects((async () => { for await (const event of events) t.ok(event) })())
  for (let i = 1; i <= 5; i++) await say(call, String(i))
  call.finish('done')
  const rest = readEvents(await client.get({ 'last-event-id': id }))
  t.match([parseData(await next(rest)), parseData(await next(rest)), parseData(await next(rest))], [{
    params: { data: '4' }
  }, {
    params: { data: '5' }
  }, { result: {} }])
  t.ok((await rest.next()).done)
})

t.test('a large answer is resumed whole', async t => {
  const plug = new ControlledServer()
  const client = await new RawClient(
    await startMcp(t, { createServer: plug.createServer, limits: { maxBufferedBytes: 1000 } })
  ).connect()
  const pending = client.request('tools/call', wait('large'))
  const call = await plug.call('large')
  call.extra.closeSSEStream?.()
  const events = readEvents(await pending)
  const { id = '' } = await next(events)
  await say(call, 'a'.repeat(600_000))
  const large = 'b'.repeat(3_000_000)
  call.finish(large)
  for (const what of ['once', 'and again']) {
    let last = ''
    for await (const event of readEvents(await client.get({ 'last-event-id': id }))) {
      last = String(valueAt(parseData(event), 'result', 'content', 0, 'text') ?? '')
    }
    t.equal(last.length, large.length, what)
  }
})
