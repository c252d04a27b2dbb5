import { Server } from '@modelcontextprotocol/sdk/server/index.js'
import t, { type Test } from 'tap'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import type { SessionStores } from '../../src/stores/stores.js'
import { textAt, valueAt } from '../support/json.js'
import { RawClient, startMcp, type McpService } from '../support/mcp-harness.js'
import { parseData, readEvents, type SseEvent } from '../support/raw-http.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'
import { SseClient } from '../support/sse-client.js'

/*
 * A client that reads gets everything that a server sends, in order and each once, whatever store there is; others are
 * served meanwhile.
 */

interface Flood {
  count: number
  bytes: number
  /** Whether the server waits for room. */
  isAwaited: boolean
  /** Whether the messages belong to the call; if not, they go to the session's own stream. */
  isOfCall: boolean
}

/** The tool `flood` sends numbered messages, and `ask` a question followed by messages; both respond when done. */
const createServer: CreateServer = () => {
  const server = new Server({ name: 'flood', version: '1' }, { capabilities: { tools: {}, logging: {} } })
  server.fallbackRequestHandler = async ({ params }, { sendNotification }) => {
    const given = params?.arguments
    const sent: Array<Promise<void>> = []
    const asks = params?.name === 'ask' ? server.listRoots().catch(() => {}) : undefined
    const send = valueAt(given, 'isOfCall') === true ? sendNotification : server.notification.bind(server)
    const [count, padding] = [Number(valueAt(given, 'count') ?? 0), 'x'.repeat(Number(valueAt(given, 'bytes') ?? 0))]
    for (let number = 0; number < count; number++) {
      const sending = send({ method: 'notifications/message', params: { level: 'info', data: `${number} ${padding}` } })
      if (valueAt(given, 'isAwaited') === true) await sending
      else sent.push(sending)
    }
    const refused = (await Promise.allSettled(sent)).filter(({ status }) => status === 'rejected').length
    await asks
    return { content: [{ type: 'text', text: `${refused} refused`.padEnd(Number(valueAt(given, 'result') ?? 0)) }] }
  }
  return server
}

const limits = { maxRequestsInFlightPerPerson: 100, toolCallsPerMinute: 0, maxUnreadBytesPerPerson: 268_435_456 }

async function start (t: Test, stores: SessionStores): Promise<McpService> {
  return await startMcp(t, { ...stores, createServer, limits })
}

/** The numbers of the messages of a stream, until there are so many or it ends; and its results. */
async function read (stream: AsyncIterable<SseEvent>, count = Infinity) {
  const numbers: number[] = []
  const results: string[] = []
  const asked: unknown[] = []
  for await (const event of stream) {
    const message = parseData(event)
    if (message === undefined) continue
    if (valueAt(message, 'method') === 'notifications/message') {
      numbers.push(Number.parseInt(textAt(message, 'params', 'data')))
    } else if (valueAt(message, 'method') === undefined) {
      results.push(textAt(message, 'result', 'content', '0', 'text'))
    } else {
      asked.push(valueAt(message, 'method'))
    }
    if (numbers.length >= count) break
  }
  return { numbers, results, asked }
}

const inOrder = (numbers: readonly number[]) => numbers.every((number, index) => number === index)

const FLOODS: readonly Flood[] = [true, false].flatMap(isAwaited => [true, false].flatMap(isOfCall => [
  { count: 3, bytes: 600_000, isAwaited, isOfCall },
  { count: 2, bytes: 5_000_000, isAwaited, isOfCall },
  { count: 5000, bytes: 10, isAwaited, isOfCall }
]))

/** Makes calls of another person until `over`. @returns how many */
async function callMeanwhile (service: McpService, over: Promise<unknown>): Promise<number> {
  const bob = await new RawClient(service, 'bob').connect()
  const state = { isOver: false }
  const end = () => { state.isOver = true }
  over.then(end, end)
  let calls = 0
  while (!state.isOver) {
    await (await bob.request('tools/call', { name: 'other' })).text()
    calls++
  }
  return calls
}

async function streamableHttp (t: Test, service: McpService): Promise<void> {
  for (const given of FLOODS) {
    const alice = await new RawClient(service).connect()
    const standalone = readEvents(await alice.get())
    const called = alice.request('tools/call', { name: 'flood', arguments: given })
    const reading = given.isOfCall
      ? called.then(async response => await read(readEvents(response)))
      : read(standalone, given.count)
    const calls = await callMeanwhile(service, reading)
    const { numbers } = await reading
    t.equal(numbers.length, given.count, JSON.stringify(given))
    t.ok(inOrder(numbers), 'in order')
    // how fast is for a bench to say
    if (given.isAwaited && given.count > 1000) t.ok(calls > 1, `${calls} calls of others are served meanwhile`)
    if (!given.isOfCall) t.equal((await called).status, 200)
  }
}

async function results (t: Test, service: McpService): Promise<void> {
  const alice = await new RawClient(service).connect()
  const sizes = [100_000, 5_000_000, 5_000_000, 10_000_000]
  const read1 = await Promise.all(sizes.map(async result => {
    const flood = { count: 1, bytes: 1, isAwaited: true, isOfCall: true, result }
    return await read(readEvents(await alice.request('tools/call', { name: 'flood', arguments: flood })))
  }))
  const lengths = read1.map(({ results }) => results.map(({ length }) => length))
  t.same(lengths, sizes.map(size => [size]), 'at once, streamed')

  const batching = new RawClient(service)
  await batching.connect('2025-03-26')
  const response = await batching.post([1, 2, 3].map(id => ({
    jsonrpc: '2.0',
    id: `b${id}`,
    method: 'tools/call',
    params: { name: 'flood', arguments: { count: 1, isOfCall: true, result: 1_500_000 } }
  })))
  t.same((await read(readEvents(response))).results.map(({ length }) => length), [1_500_000, 1_500_000, 1_500_000])

  const asked = await new RawClient(service).connect('2025-11-25', { roots: {} })
  const calling = asked.request('tools/call', { name: 'ask', arguments: { count: 300, bytes: 1, isAwaited: false } })
  calling.catch(() => {})
  const { numbers, asked: questions } = await read(readEvents(await asked.get()), 256)
  t.ok(numbers.length >= 256, 'the newest messages')
  t.same(questions, ['roots/list'], 'and the question that came before them')
}

async function httpSse (t: Test, service: McpService): Promise<void> {
  const client = await SseClient.open(t, service)
  await client.initialize(service)
  for (const id of [1, 2, 3]) {
    await client.post(service, {
      jsonrpc: '2.0',
      id: `r${id}`,
      method: 'tools/call',
      params: { name: 'flood', arguments: { count: 2000, bytes: 10, isAwaited: id === 1, result: 700_000 } }
    })
  }
  for (const id of [1, 2, 3]) await client.response(`r${id}`)
  const numbers = client.received.filter(({ method }) => method === 'notifications/message')
  t.equal(numbers.length, 6000)
}

async function refusal (t: Test, service: McpService): Promise<void> {
  const alice = await new RawClient(service).connect()
  const flood = { count: 40, bytes: 1_000_000, isAwaited: false, isOfCall: false }
  const response = await alice.request('tools/call', { name: 'flood', arguments: flood })
  t.match(textAt(await response.json(), 'result', 'content', '0', 'text'), /^2[0-9] refused$/, 'a server that does not wait is told')
}

const matrix = { streamableHttp, results, httpSse, refusal }

for (const [name, check] of Object.entries(matrix)) {
  t.test(`${name}, what is kept in memory`, async t => {
    const stores = createMemoryStores({ sessionIdleSeconds: 60 })
    t.teardown(() => stores.close())
    await check(t, await start(t, stores))
  })

  redisTest(`${name}, what is kept in Redis`, async (t, server) => {
    const [stores] = await redisReplicas(t, server, {}, 1)
    if (stores === undefined) throw new Error('There is no replica.')
    await check(t, await start(t, stores))
  })
}

t.test('a client gets everything, even if the log cannot take it', async t => {
  for (const method of ['open', 'append'] as const) {
    const stores = createMemoryStores({ sessionIdleSeconds: 60 })
    t.teardown(() => stores.close())
    stores.eventLog[method] = async () => { throw new Error(`${method} fails`) }
    const alice = await new RawClient(await start(t, stores)).connect()
    const flood = { count: 1000, bytes: 10, isAwaited: true, isOfCall: true }
    const response = await alice.request('tools/call', { name: 'flood', arguments: flood })
    const { numbers, results } = await read(readEvents(response))
    t.equal(numbers.length, 1000, method)
    t.equal(results.length, 1, 'and its result')
  }
})

redisTest('a client that resumes at another replica gets what the log has, and all that follows', async (t, server) => {
  const [one, two] = await redisReplicas(t, server)
  if (one === undefined || two === undefined) throw new Error('There are no replicas.')
  const [first, second] = [await start(t, one), await start(t, two)]
  const alice = await new RawClient(first).connect()
  const flood = { count: 3000, bytes: 1000, isAwaited: true, isOfCall: true }
  const response = await alice.request('tools/call', { name: 'flood', arguments: flood })
  const seen: number[] = []
  let eventId = ''
  for await (const event of readEvents(response)) {
    eventId = event.id ?? eventId
    if (event.data !== '') seen.push(Number.parseInt(textAt(parseData(event), 'params', 'data')))
    if (seen.length === 100) break
  }
  await response.body?.cancel().catch(() => {})
  const elsewhere = Object.assign(new RawClient(second), {
    sessionId: alice.sessionId,
    protocolVersion: alice.protocolVersion
  })
  const { numbers, results } = await read(readEvents(await elsewhere.get({ 'last-event-id': eventId })))
  t.same(results.length, 1, 'its result')
  t.equal(numbers.at(-1), 2999)
  t.same([...new Set(numbers)].sort((a, b) => a - b), numbers, 'in order, and each once')
})
