import { EventEmitter, once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { Server as Server1 } from '@modelcontextprotocol/sdk/server/index.js'
import { McpServer as McpServer1 } from '@modelcontextprotocol/sdk/server/mcp.js'
import { Server as Server2 } from '@modelcontextprotocol/server'
import t, { type Test } from 'tap'
import * as z from 'zod'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { FAST_PATH } from '../../src/mcp/modern/fast-path/fast-path.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import type { SessionStores } from '../../src/stores/stores.js'
import { modernRequest } from '../../src/testing/modern-request.js'
import { parseObject, valueAt } from '../support/json.js'
import { startMcp } from '../support/mcp-harness.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'

/*
 * What servers send in one go arrives with a client that reads, in order and once; with one that does not, a bounded
 * number of bytes waits, and the call has an end that says so.
 */

const META = {
  'io.modelcontextprotocol/clientInfo': { name: 'flooded', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': { elicitation: { form: {} } },
  'io.modelcontextprotocol/logLevel': 'debug'
}
const capabilities = { tools: {}, logging: {} }
const info = { name: 'flood', version: '1' }

interface Flood { count: number, bytes: number, isAwaited: boolean }

interface LogMessage { method: 'notifications/message', params: { level: 'info', data: string } }
type Send = (message: LogMessage) => Promise<void>

/** Says how many messages it has sent; responds with that. */
async function flood (plug: EventEmitter, send: Send, given: unknown, signal: AbortSignal) {
  const [count, bytes] = [Number(valueAt(given, 'count')), Number(valueAt(given, 'bytes'))]
  signal.addEventListener('abort', () => { plug.emit('aborted') })
  let sent = 0
  for (; sent < count && !signal.aborted; sent++) {
    const sending = send({
      method: 'notifications/message',
      params: { level: 'info', data: `${sent} ${'x'.repeat(bytes)}` }
    }).catch(() => {})
    plug.emit('sent', sent)
    if (valueAt(given, 'isAwaited') === true) await sending
  }
  return { content: [{ type: 'text' as const, text: `sent ${sent}` }] }
}

const servers: Record<string, (plug: EventEmitter) => CreateServer> = {
  '1.x': plug => () => {
    const server = new Server1(info, { capabilities })
    server.fallbackRequestHandler = async ({ params }, { sendNotification, signal }) =>
      params?.name === 'flood'
        ? await flood(plug, sendNotification, params.arguments, signal)
        : { content: [{ type: 'text', text: 'at once' }] }
    return server
  },
  '2.x': plug => () => {
    const server = new Server2(info, { capabilities })
    server.fallbackRequestHandler = async ({ params }, { mcpReq: { notify, signal } }) =>
      params?.name === 'flood'
        ? await flood(plug, notify, params.arguments, signal)
        : { content: [{ type: 'text', text: 'at once' }] }
    return server
  }
}

const limits = { maxRequestsInFlightPerPerson: 100, toolCallsPerMinute: 0 }

const start = async (t: Test, createServer: CreateServer, isOpen: boolean) =>
  await startMcp(t, { createServer, limits, ...!isOpen && { [FAST_PATH]: false } })

function toRequest (name: string, args: object, more: object = {}) {
  const request = modernRequest(7, 'tools/call', { name, arguments: args, ...more }, META)
  return { ...request, headers: { ...request.headers, authorization: 'Bearer alice' } }
}

/** Reads a response as it comes: the numbers of its messages, and its last message. */
async function read (response: AsyncIterable<unknown>) {
  const numbers: number[] = []
  let [rest, last] = ['', '']
  const decoder = new TextDecoder()
  for await (const chunk of response) {
    const events = (rest + decoder.decode(chunk instanceof Uint8Array ? chunk : undefined, { stream: true }))
      .split('\n\n')
    rest = events.pop() ?? ''
    for (const event of events) {
      const number = /"data":"(\d+) /.exec(event.slice(0, 300))?.[1]
      if (number !== undefined) numbers.push(Number(number))
      else if (!event.startsWith(':')) last = event
    }
  }
  return { numbers, last: parseObject(last.replace(/^event: message\ndata: /, '')) }
}

/** Makes calls of others until `over`. @returns how many */
async function callMeanwhile (url: string, over: Promise<unknown>): Promise<number> {
  const state = { isOver: false }
  const end = () => { state.isOver = true }
  over.then(end, end)
  let calls = 0
  while (!state.isOver) {
    await (await fetch(`${url}/mcp`, toRequest('other', {}))).text()
    calls++
  }
  return calls
}

/** A server whose tool asks, and then sends a lot. */
const askingServer: CreateServer = () => {
  const server = new McpServer1({ name: 'asking', version: '1' }, { capabilities: { logging: {} } })
  const input = { count: z.number(), bytes: z.number(), isAwaited: z.boolean() }
  server.registerTool('ask', { inputSchema: input }, async (given, extra) => {
    const { requestId: relatedRequestId, sendNotification, signal } = extra
    await server.server.elicitInput({
      message: 'Go on?', requestedSchema: { type: 'object', properties: {} }
    }, { relatedRequestId })
    const { content } = await flood(new EventEmitter(), sendNotification, given, signal)
    return { content: [...content, { type: 'text' as const, text: 'y'.repeat(3_000_000) }] }
  })
  return server
}

/** Everything comes through the replica that the client has come back to. */
async function checkHandedOver (t: Test, stores: readonly SessionStores[]): Promise<void> {
  const urls: string[] = []
  for (const each of stores) {
    const options = { ...each, createServer: askingServer, requestStateKeys: [Buffer.alloc(32, 1)] }
    urls.push((await startMcp(t, options)).url)
  }
  const [first = '', second = ''] = urls
  for (const isAwaited of [true, false]) {
    for (const [count, bytes] of [[2000, 1000], [3, 600_000], [1, 4_000_000]] as const) {
      const args = { count, bytes, isAwaited }
      const asked = parseObject(await (await fetch(`${first}/mcp`, toRequest('ask', args))).text())
      const requestState = valueAt(asked, 'result', 'requestState')
      const inputResponses = { 'request-0': { action: 'accept', content: {} } }
      const { body } = await fetch(`${second}/mcp`, toRequest('ask', args, { requestState, inputResponses }))
      const { numbers, last } = await read(body ?? new ReadableStream())
      t.equal(numbers.length, count, JSON.stringify(args))
      t.ok(numbers.every((number, index) => number === index), 'in order, and each once')
      t.match(last, { result: { content: [{ text: `sent ${count}` }, { text: /^y{3000000}$/ }] } })
    }
  }
}

t.test('a call that continues for a client of another replica, in memory', async t => {
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  t.teardown(() => stores.close())
  await checkHandedOver(t, [stores, stores])
})

redisTest('a call that continues for a client of another replica, over Redis', async (t, server) => {
  await checkHandedOver(t, await redisReplicas(t, server))
})

const FLOODS: readonly Flood[] = [true, false].flatMap(isAwaited => [
  { count: 3, bytes: 600_000, isAwaited },
  { count: 1, bytes: 10_000_000, isAwaited },
  { count: 20_000, bytes: 1, isAwaited }
])

for (const [sdk, createServer] of Object.entries(servers)) {
  for (const isOpen of [true, false]) {
    t.test(`SDK ${sdk}, fast path ${isOpen ? 'open' : 'shut'}: a client that reads gets everything`, async t => {
      const { url } = await start(t, createServer(new EventEmitter()), isOpen)
      for (const given of FLOODS) {
        const reading = fetch(`${url}/mcp`, toRequest('flood', given)).then(async ({ body }) =>
          await read(body ?? new ReadableStream())
        )
        const calls = await callMeanwhile(url, reading)
        const { numbers, last } = await reading
        t.equal(numbers.length, given.count, JSON.stringify(given))
        t.ok(numbers.every((number, index) => number === index), 'in order, and each once')
        t.match(last, { result: { content: [{ text: `sent ${given.count}` }] } })
        // how fast is for a bench to say
        if (given.isAwaited && given.count > 1000) t.ok(calls > 1, `${calls} calls of others are served meanwhile`)
      }
    })

    t.test(`SDK ${sdk}, fast path ${isOpen ? 'open' : 'shut'}: a client that does not read`, async t => {
      const plug = new EventEmitter()
      const { url } = await start(t, createServer(plug), isOpen)

      const stall = async (given: Flood): Promise<IncomingMessage> => {
        const { method, headers, body } = toRequest('flood', given)
        const sending = httpRequest(`${url}/mcp`, { method, headers })
        sending.end(body)
        const response = await new Promise<IncomingMessage>(resolve => sending.once('response', resolve))
        response.pause()
        return response
      }

      // a server that awaits its sends waits
      let sent = 0
      plug.on('sent', number => { sent = Number(number) })
      const slow = await stall({ count: 40, bytes: 1_000_000, isAwaited: true })
      let before = -1
      while (before < sent) {
        before = sent
        for (let turns = 0; turns < 200; turns++) await new Promise(resolve => setImmediate(resolve))
      }
      t.ok(sent < 20, `${sent} MB of 40 MB are sent`)
      t.equal((await read(slow)).numbers.length, 40, 'and all arrive once it reads')

      // one that does not has its call cancelled, and the client is told
      const aborted = once(plug, 'aborted')
      const stalled = await stall({ count: 40, bytes: 1_000_000, isAwaited: false })
      await aborted
      const { numbers, last } = await read(stalled)
      t.ok(numbers.length >= 16 && numbers.length < 40, `${numbers.length} MB of 40 MB have arrived`)
      t.match(last, { id: 7, error: { code: -32000, message: /too much of its response waits/ } })
    })
  }
}
