import { EventEmitter, once } from 'node:events'
import type { JSONRPCMessage, Transport } from '@modelcontextprotocol/server'
import pino from 'pino'
import t, { type Test } from 'tap'
import { PipedServer } from '../../src/hosted/piped-server.js'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { kSessions } from '../../src/plugins/mcp/sessions.js'
import { FeatureServer } from '../mcp/feature-server.js'
import { emitted } from '../support/emitted.js'
import { parseObject, textAt } from '../support/json.js'
import { RawClient, startMcp } from '../support/mcp-harness.js'
import { piped } from './piped.js'

const log = pino({ level: 'silent' })
const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

/** What the hosted server responds at once. */
const results: Record<string, Record<string, unknown>> = {
  initialize: { protocolVersion: '2025-06-18', capabilities: {}, serverInfo: { name: 'hosted', version: '1' } },
  ping: {}
}

/** The connection to a hosted server that does what the test says; it emits what it is sent by its method. */
class Connection extends EventEmitter implements Transport {
  onmessage?: NonNullable<Transport['onmessage']>
  onclose?: () => void
  onerror?: (error: Error) => void
  version: string | undefined
  failing: Error | undefined
  isClosed = false
  sessionId: string | undefined

  async start (): Promise<void> {}

  async send (message: JSONRPCMessage): Promise<void> {
    if (this.failing !== undefined) throw this.failing
    const result = 'method' in message ? results[message.method] : undefined
    if (result !== undefined && 'id' in message && message.id !== undefined) {
      const { id } = message
      queueMicrotask(() => { this.onmessage?.({ jsonrpc: '2.0', id, result }) })
    }
    this.emit('method' in message ? message.method : 'response', message)
  }

  setProtocolVersion (version: string): void {
    this.version = version
  }

  async close (): Promise<void> {
    this.isClosed = true
    this.emit('closed')
  }
}

async function start (t: Test) {
  const connections: Connection[] = []
  const createServer: CreateServer = () =>
    new PipedServer(sessionId => {
      const connection = new Connection()
      connection.sessionId = sessionId
      connections.push(connection)
      return connection
    }, log)
  const service = await startMcp(t, { createServer })
  const client = await new RawClient(service).connect('2025-06-18', { sampling: {} })
  const newest = () => {
    const connection = connections.at(-1)
    if (connection === undefined) throw new Error('no connection was made')
    return connection
  }
  return { service, client, connections, newest }
}

const bodyOf = async (response: Response) => parseObject(await response.text())

t.test('a connection is told the revision, and the session', async t => {
  const { newest, client } = await start(t)
  t.equal(newest().version, '2025-06-18')
  t.equal(newest().sessionId, client.sessionId)
})

t.test('a hosted server that closes: the call gets an error, the next one a new connection', async t => {
  const { client, newest, connections } = await start(t)
  const first = newest()
  const called = once(first, 'tools/list')
  const response = client.request('tools/list')
  await called
  first.onclose?.()
  t.match(await bodyOf(await response), { error: { code: -32000, message: /closed the connection/ } })
  t.match(await bodyOf(await client.request('ping')), { result: {} }, 'and answers')
  t.equal(connections.length, 2)
})

t.test('a hosted server that cannot be reached: the call gets an error that says so', async t => {
  const { client, newest } = await start(t)
  newest().failing = new Error('the pipe is full')
  t.match(await bodyOf(await client.request('tools/list')), {
    error: { code: -32000, message: 'The hosted server cannot be reached: the pipe is full' }
  })
})

t.test('a ping of the hosted server is answered without the client', async t => {
  const { newest } = await start(t)
  const answered = once(newest(), 'response')
  newest().onmessage?.({ jsonrpc: '2.0', id: 7, method: 'ping' })
  t.same(await answered, [{ jsonrpc: '2.0', id: 7, result: {} }])
})

t.test('a session that ends cancels what runs, and answers what it was asked', async t => {
  const { service, client, newest } = await start(t)
  const called = emitted(newest(), 'tools/call')
  const response = client.request('tools/call', { name: 'slow' })
  const [call] = await called
  const [cancelled, answered, closed] = [
    once(newest(), 'notifications/cancelled'),
    once(newest(), 'response'),
    once(newest(), 'closed')
  ]
  newest().onmessage?.({ jsonrpc: '2.0', id: 'ask-1', method: 'sampling/createMessage', params: { messages: [] } })
  await service.app[kSessions].delete(String(client.sessionId))
  t.match(await cancelled, [{ params: { requestId: isObject(call) && 'id' in call ? call.id : undefined } }])
  t.match(await answered, [{ id: 'ask-1', error: { message: 'The client has gone.' } }])
  await closed
  await (await response).text()
})

t.test('a session that was dropped as idle is replayed to a new connection', async t => {
  const plug = new FeatureServer()
  const service = await startMcp(t, { createServer: piped(plug.createServer) })
  const client = await new RawClient(service).connect('2025-06-18', { roots: {}, sampling: {} })
  await client.request('resources/subscribe', { uri: 'file:///b' })
  const first = plug.instance
  service.app[kSessions].tidy(Date.now() + 31_000)
  await plug.closed(first)
  const { result } = await bodyOf(await client.request('tools/call', { name: 'state', arguments: {} }))
  t.match(JSON.parse(textAt(result, 'content', 0, 'text')), { capabilities: ['sampling', 'roots'] })
  t.not(plug.instance, first)
  t.same([...plug.instance.subscriptions], ['file:///b'])
})
