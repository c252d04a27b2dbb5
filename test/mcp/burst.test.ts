import { EventEmitter, once } from 'node:events'
import { Server } from '@modelcontextprotocol/sdk/server/index.js'
import { LOG_LEVEL_META_KEY } from '@modelcontextprotocol/server'
import t, { type Test } from 'tap'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { PacedQueue } from '../../src/mcp/transport/paced-queue.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import type { SessionStores } from '../../src/stores/stores.js'
import { textAt, valueAt } from '../support/json.js'
import { RawClient, startMcp } from '../support/mcp-harness.js'
import { parseData, post, readEvents } from '../support/raw-http.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'
import { SseClient } from '../support/sse-client.js'

/*
 * A server that sends a lot in one turn of the event loop, and awaits nothing: others are answered before all of it is
 * passed on; everything arrives, or the call fails, and its answer arrives.
 */

const COUNT = 10_000

/** What the tool `flood` has sent. */
class Plug extends EventEmitter {
  passed = 0
}

const createServer = (plug: Plug): CreateServer => () => {
  const server = new Server({ name: 'burst', version: '1' }, { capabilities: { tools: {}, logging: {} } })
  server.fallbackRequestHandler = async ({ params }, { sendNotification }) => {
    if (params?.name !== 'flood') return { content: [] }
    const given = params.arguments
    const send = valueAt(given, 'isOfCall') === true ? sendNotification : server.notification.bind(server)
    const padding = 'x'.repeat(Number(valueAt(given, 'bytes') ?? 0))
    // another person calls now
    plug.emit('begins')
    const pass = () => { plug.passed++ }
    for (let number = 0; number < Number(valueAt(given, 'count')); number++) {
      const params = { level: 'info' as const, data: `${number} ${padding}` }
      send({ method: 'notifications/message', params }).then(pass, pass)
    }
    return { content: [{ type: 'text', text: 'sent' }] }
  }
  return server
}

type Arguments = Record<string, unknown>

/** Calls the tool. @returns the numbers of its messages, and the call's answer */
type Flood = (given: Arguments) => Promise<{ numbers: number[], answer: unknown }>

function sort (messages: readonly unknown[]) {
  const numbers = messages.filter(message => valueAt(message, 'method') !== undefined)
    .map(message => Number.parseInt(textAt(message, 'params', 'data')))
  return { numbers, answer: messages.findLast(message => valueAt(message, 'method') === undefined) }
}

async function readMessages (response: Response, count = Infinity): Promise<unknown[]> {
  const messages: unknown[] = []
  for await (const event of readEvents(response)) {
    const message = parseData(event)
    if (message !== undefined) messages.push(message)
    if (messages.length === count) break
  }
  return messages
}

async function callFlood (client: RawClient, given: Arguments) {
  return sort(await readMessages(await client.request('tools/call', { name: 'flood', arguments: given })))
}

type Transport = (t: Test, service: { url: string }) => Promise<Flood>

const TRANSPORTS: Record<string, { isStateless?: boolean, isOfCall: boolean, begin: Transport }> = {
  'a call of a session': {
    isOfCall: true,
    begin: async (_t, service) => {
      const alice = await new RawClient(service).connect()
      return async given => await callFlood(alice, given)
    }
  },
  'the own stream of a session': {
    isOfCall: false,
    begin: async (_t, service) => {
      const alice = await new RawClient(service).connect()
      const standalone = await alice.get()
      return async given => {
        const called = alice.request('tools/call', { name: 'flood', arguments: given })
        const messages = await readMessages(standalone, Number(given.count))
        return sort([...messages, await (await called).json()])
      }
    }
  },
  'a call without a session': {
    isStateless: true,
    isOfCall: true,
    begin: async (_t, service) => {
      const alice = new RawClient(service)
      return async given => await callFlood(alice, given)
    }
  },
  'a call of 2026-07-28': {
    isOfCall: true,
    begin: async (_t, { url }) => async given => {
      const meta = { [LOG_LEVEL_META_KEY]: 'debug' }
      return sort(await readMessages(await post(url, 'tools/call', { name: 'flood', arguments: given }, { meta })))
    }
  },
  'HTTP+SSE': {
    isOfCall: true,
    begin: async (t, service) => {
      const client = await SseClient.open(t, service)
      await client.initialize(service)
      return async given => {
        const params = { name: 'flood', arguments: given }
        client.received.length = 0
        await client.post(service, { jsonrpc: '2.0', id: 'flood', method: 'tools/call', params })
        await client.response('flood')
        return sort(client.received)
      }
    }
  }
}

async function check (t: Test, stores: SessionStores): Promise<void> {
  for (const [name, { isStateless = false, isOfCall, begin }] of Object.entries(TRANSPORTS)) {
    const plug = new Plug()
    const service = await startMcp(t, {
      ...stores,
      createServer: createServer(plug),
      sessionMode: isStateless ? 'stateless' : 'stateful'
    })
    const flood = await begin(t, service)
    const bob = new RawClient(service, 'bob')
    if (!isStateless) await bob.connect()

    const begins = once(plug, 'begins').then(async () => {
      await (await bob.request('tools/call', { name: 'other' })).text()
      return plug.passed
    })
    const { numbers, answer } = await flood({ count: COUNT, isOfCall })
    const passed = await begins
    t.ok(passed < COUNT, `${name}: another is answered when ${passed} of ${COUNT} messages are passed on`)
    t.equal(numbers.length, COUNT, 'all arrive')
    t.ok(numbers.every((number, index) => number === index), 'in order, each once')
    t.match(answer, { result: { content: [{ text: 'sent' }] } })
    if (!isOfCall) continue

    const tooMuch = await flood({ count: 40, bytes: 1_000_000, isOfCall })
    t.ok(tooMuch.numbers.length >= 16 && tooMuch.numbers.length < 40, `${tooMuch.numbers.length} MB of 40 MB arrive`)
    t.match(tooMuch.answer, { error: { code: -32000, message: /read its response|too much of its response waits/ } }, 'and the call fails')
  }
}

t.test('stores in memory', async t => {
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  t.teardown(() => stores.close())
  await check(t, stores)
})

redisTest('stores in Redis', async (t, server) => {
  const [stores] = await redisReplicas(t, server, {}, 1)
  if (stores === undefined) throw new Error('There is no replica.')
  await check(t, stores)
})

t.test('a queue passes on a few at once, and the rest in order, as there is room', async t => {
  const passed: number[] = []
  let room: Promise<void> | undefined
  const queue = new PacedQueue<number>({ deliver: item => { passed.push(item) }, room: () => room, count: () => 1 })
  const add = (count: number) => { for (let item = 0; item < count; item++) queue.add(item) }
  add(3000)
  t.equal(passed.length, 32, 'in this turn')
  await queue.room
  t.same(passed, Array.from({ length: 3000 }, (_, index) => index))
  t.equal(queue.characters, 0)
  t.equal(queue.room, undefined)

  let makeRoom = () => {}
  room = new Promise(resolve => { makeRoom = resolve })
  passed.length = 0
  add(100)
  for (let turn = 0; turn < 3; turn++) await new Promise(resolve => setImmediate(resolve))
  t.equal(passed.length, 32, 'there is no room')
  const waiting = queue.room
  room = undefined
  makeRoom()
  await waiting
  t.equal(passed.length, 100)

  add(100)
  queue.flush()
  t.equal(passed.length, 200, 'at once, if need be')
  add(100)
  const dropped = queue.room
  queue.clear()
  await dropped
  t.equal(queue.characters, 0)
})
