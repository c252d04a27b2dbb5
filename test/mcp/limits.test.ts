import { request as httpRequest, type IncomingMessage } from 'node:http'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/config.js'
import { Metrics } from '../../src/observability/metrics.js'
import { serviceOptions } from '../../src/config/service-options.js'
import { MemoryEventLog } from '../../src/stores/memory/event-log.js'
import { MemorySessionStore } from '../../src/stores/memory/sessions.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { Person } from '../support/person.js'
import { clock } from '../support/clock.js'
import { emitted } from '../support/emitted.js'
import { textAt, valueAt } from '../support/json.js'
import { startService } from '../support/service.js'
import { ControlledServer, say } from '../support/controlled-server.js'
import { FeatureServer } from './feature-server.js'
import { parseData, readEvents, next } from '../support/raw-http.js'
import { initializeParams, RawClient, startMcp, type McpService } from '../support/mcp-harness.js'
import { kSessions } from '../../src/plugins/mcp/sessions.js'

const wait = (name: string) => ({ name: 'wait', arguments: { name } })

async function isRefused (
  t: Test,
  response: Response,
  status: number,
  code: number,
  retryAfter: string | null,
  what: string
) {
  t.equal(response.status, status, what)
  t.equal(response.headers.get('retry-after'), retryAfter, `${what}: when to try again`)
  const refusals: unknown[] = [await response.json()].flat()
  for (const refusal of refusals) {
    t.match(refusal, { jsonrpc: '2.0', error: { code, message: /./ } }, `${what}: a JSON-RPC error`)
  }
}

async function isAlive (t: Test, client: RawClient, what: string) {
  const response = await client.request('ping')
  t.equal(response.status, 200, what)
  t.match(await response.json(), { result: {} })
}

/** Waits until this process holds `count` streams. */
async function streamsAre (service: McpService, count: number): Promise<void> {
  while (service.app.mcpSessions.counts.streams !== count) await new Promise(resolve => setImmediate(resolve))
}

t.test('idle time: a session without requests and streams ends', async t => {
  const { forward } = clock(t)
  const service = await startMcp(t)
  const alice = await new RawClient(service).connect()
  const bob = await new RawClient(service, 'bob').connect()
  const stream = readEvents(await bob.get())
  await next(stream)
  for (let part = 0; part < 2; part++) {
    forward(1800)
    service.app[kSessions].tidy(Date.now())
  }
  await isRefused(t, await alice.request('ping'), 404, -32001, null, 'the idle one')
  await isAlive(t, bob, 'an open stream is a sign of life')
  await isAlive(t, await alice.connect(), 'a client that gets 404 begins anew')
})

t.test('lifetime: a session ends however much it is used', async t => {
  const { forward } = clock(t)
  const service = await startMcp(t, { limits: { lifetimeSeconds: 60 } })
  const alice = await new RawClient(service).connect()
  const stream = readEvents(await alice.get())
  await next(stream)
  forward(50)
  service.app[kSessions].tidy(Date.now())
  await isAlive(t, alice, 'before its end')
  forward(10)
  service.app[kSessions].tidy(Date.now())
  t.ok((await stream.next()).done, 'its stream ends')
  await isRefused(t, await alice.request('ping'), 404, -32001, null, 'after its end')
})

t.test('sessions per owner: one more ends the owner\'s least recently used', async t => {
  const service = await startMcp(t, { limits: { maxSessionsPerOwner: 2 } })
  const bob = await new RawClient(service, 'bob').connect()
  const elsewhere = await new RawClient(service, 'alice-elsewhere').connect()
  const first = await new RawClient(service).connect()
  const stream = readEvents(await first.get())
  await next(stream)
  const second = await new RawClient(service).connect()
  const third = await new RawClient(service, 'alice-again').connect()
  t.ok((await stream.next()).done, 'the stream of the first ends')
  await isRefused(t, await first.request('ping'), 404, -32001, null, 'the first')
  const others = { second, third, 'another person\'s': bob, 'another client\'s': elsewhere }
  for (const [what, client] of Object.entries(others)) await isAlive(t, client, what)

  for (let i = 0; i < 50; i++) await new RawClient(service).connect()
  t.same(service.sessions.size, 4, 'a client that never deletes its sessions costs a bounded number of them')
  t.match(service.app.mcpSessions.counts, { sessions: 4, instances: 4 })
  service.app[kSessions].tidy(Date.now() + 31_000)
  t.match(service.app.mcpSessions.counts, { sessions: 0, instances: 0 }, 'and idle ones only their records')
  await isAlive(t, bob, 'from which they are taken up again')
})

t.test('sessions per person: one more ends their least recently used, of whatever client', async t => {
  const service = await startMcp(t, { limits: { maxSessionsPerPerson: 2 } })
  const bob = await new RawClient(service, 'bob').connect()
  const first = await new RawClient(service, 'alice-elsewhere').connect()
  const stream = readEvents(await first.get())
  await next(stream)
  const second = await new RawClient(service).connect()
  const third = await new RawClient(service, 'alice-again').connect()
  t.ok((await stream.next()).done, 'the stream of the first ends')
  await isRefused(t, await first.request('ping'), 404, -32001, null, 'the first')
  for (const [what, client] of Object.entries({ second, third, 'another person\'s': bob })) {
    await isAlive(t, client, what)
  }
  t.equal(service.sessions.size, 3)
})

t.test('sessions at all: new ones are refused', async t => {
  const sessions = new MemorySessionStore({ idleSeconds: 3600, maxSessions: 1 })
  t.teardown(() => sessions.close())
  const service = await startMcp(t, { sessions, limits: { maxSessionsPerOwner: 1 } })
  const alice = await new RawClient(service).connect()
  await isRefused(
    t,
    await new RawClient(service, 'bob').request('initialize', initializeParams()),
    503,
    -32000,
    '60',
    'no room'
  )
  t.match(service.app.mcpSessions.counts, { sessions: 1, instances: 1 }, 'nothing is left of it')
  await isAlive(t, alice, 'the session there is')
  await isAlive(t, await new RawClient(service).connect(), 'whose owner may replace it')
})

t.test('live instances: idle ones give way, busy ones do not', async t => {
  const plug = new ControlledServer()
  const service = await startMcp(t, { createServer: plug.createServer, limits: { maxLiveInstances: 1 } })
  const alice = await new RawClient(service).connect()
  const bob = await new RawClient(service, 'bob').connect()
  t.equal(service.app.mcpSessions.counts.instances, 1)
  await isAlive(t, alice, 'a session whose instance gave way goes on')

  const pending = alice.request('tools/call', wait('busy'))
  const call = await plug.call('busy')
  await isRefused(t, await bob.request('ping'), 503, -32000, '1', 'a call')
  await isRefused(
    t,
    await new RawClient(service, 'bob').request('initialize', initializeParams()),
    503,
    -32000,
    '1',
    'a new session'
  )
  call.finish('done')
  t.match(await (await pending).json(), { result: { content: [{ text: 'done' }] } }, 'what runs is not disturbed')
  await isAlive(t, bob, 'afterwards there is room')
})

t.test('requests in flight', async t => {
  const plug = new ControlledServer()
  const service = await startMcp(t, { createServer: plug.createServer, limits: { maxRequestsInFlightPerPerson: 2 } })
  const alice = await new RawClient(service).connect('2025-03-26')
  const other = await new RawClient(service, 'bob').connect()
  const pending = alice.request('tools/call', wait('busy'))
  const call = await plug.call('busy')
  await isAlive(t, alice, 'a second one')
  await isRefused(
    t,
    await alice.post([{ jsonrpc: '2.0', id: 'a', method: 'ping' }, { jsonrpc: '2.0', id: 'b', method: 'ping' }]),
    429,
    -32000,
    '1',
    'two more'
  )
  await isAlive(t, other, 'another person')
  call.finish('done')
  await (await pending).json()
})

t.test('subscriptions', async t => {
  const plug = new FeatureServer()
  const service = await startMcp(t, { createServer: plug.createServer, limits: { maxSubscriptionsPerPerson: 1 } })
  const alice = await new RawClient(service).connect()
  t.equal((await alice.request('resources/subscribe', { uri: 'file:///a' })).status, 200)
  t.equal((await alice.request('resources/subscribe', { uri: 'file:///a' })).status, 200, 'again')
  await isRefused(t, await alice.request('resources/subscribe', { uri: 'file:///b' }), 429, -32000, '1', 'one more')
  await alice.request('resources/unsubscribe', { uri: 'file:///a' })
  t.equal((await alice.request('resources/subscribe', { uri: 'file:///b' })).status, 200)
})

t.test('streams: those asked for are refused, answers are not', async t => {
  const plug = new ControlledServer()
  const service = await startMcp(t, { createServer: plug.createServer, limits: { maxStreams: 1 } })
  const alice = await new RawClient(service).connect()
  const bob = await new RawClient(service, 'bob').connect()
  const abort = new AbortController()
  const stream = readEvents(await alice.get({}, abort.signal))
  await next(stream)
  await isRefused(t, await bob.get(), 503, -32000, '1', 'another GET')
  await isRefused(
    t,
    await fetch(`${service.url}/sse`, { headers: bob.headers({ accept: 'text/event-stream' }) }),
    503,
    -32000,
    '1',
    'HTTP+SSE'
  )
  t.equal(service.app.mcpSessions.counts.sessions, 2, 'no session is left of it')

  const pending = bob.request('tools/call', wait('streamed'))
  const call = await plug.call('streamed')
  await say(call, 'hello')
  const answer = readEvents(await pending)
  await next(answer)
  t.match(parseData(await next(answer)), { params: { data: 'hello' } }, 'an answer becomes a stream all the same')
  call.finish('done')
  for await (const event of answer) t.ok(event)

  const ended = stream.next()
  abort.abort()
  await t.rejects(ended)
  await streamsAre(service, 0)
  t.equal((await bob.get()).status, 200, 'afterwards there is room')
})

t.test('a client has few GET streams: the oldest ends', async t => {
  const service = await startMcp(t)
  const alice = await new RawClient(service).connect()
  const streams: Array<ReturnType<typeof readEvents>> = []
  for (let i = 0; i < 5; i++) {
    const stream = readEvents(await alice.get())
    await next(stream)
    streams.push(stream)
  }
  t.ok((await streams[0]?.next())?.done)
  t.equal(service.app.mcpSessions.counts.streams, 4)
})

t.test('a client too slow for its stream is cut off, and resumes', async t => {
  const eventLog = new MemoryEventLog({
    maxEventsPerStream: 100_000,
    maxBytesPerStream: 1e9,
    maxBytesPerSession: 1e9,
    maxBytes: 1e9
  })
  t.teardown(() => eventLog.close())
  const plug = new ControlledServer()
  const service = await startMcp(t, {
    createServer: plug.createServer,
    eventLog,
    limits: { maxBufferedBytes: 65_536 },
    streams: { stalledMs: 300 }
  })
  const alice = await new RawClient(service).connect()
  const slow = httpRequest(`${service.url}/mcp`, {
    method: 'POST',
    headers: alice.headers({ 'content-type': 'application/json', accept: 'application/json, text/event-stream' })
  })
  slow.on('error', () => {})
  slow.end(JSON.stringify({ jsonrpc: '2.0', id: 'slow', method: 'tools/call', params: wait('slow') }))
  const call = await plug.call('slow')
  await say(call, '0')
  const response = await new Promise<IncomingMessage>(resolve => slow.once('response', resolve))
  // its first chunk has the event that primes; then nobody reads
  const [chunk] = await emitted(response, 'data')
  response.pause()
  const eventId = /^id: (.+)$/m.exec(String(chunk))?.[1] ?? ''

  let count = 1
  while (service.app.mcpSessions.counts.streams > 0) {
    await say(call, `${count++}${' '.repeat(65_536)}`)
    await new Promise(resolve => setImmediate(resolve))
  }
  t.ok(count < 1000, `cut after ${count} messages`)
  slow.destroy()
  t.notOk(call.extra.signal.aborted, 'the call goes on')
  const rest = readEvents(await alice.get({ 'last-event-id': eventId }))
  call.finish('done')
  const seen: string[] = []
  for await (const event of rest) {
    const message = parseData(event)
    seen.push(valueAt(message, 'result') === undefined ? textAt(message, 'params', 'data').trim() : 'done')
  }
  t.same(seen, [...Array(count).keys(), 'done'].map(String), 'every message, once and in order')
})

t.test('every variable reaches its limit', async t => {
  const config = loadConfig({
    OAUTH_ISSUER_URL: 'https://login.example',
    SESSION_MODE: 'stateless',
    SESSION_IDLE_SECONDS: '1',
    SESSION_LIFETIME_SECONDS: '2',
    SESSIONS_PER_OWNER: '3',
    INSTANCE_IDLE_SECONDS: '4',
    MAX_LIVE_INSTANCES: '5',
    MAX_REQUESTS_IN_FLIGHT: '6',
    MAX_SUBSCRIPTIONS: '7',
    MAX_STREAMS: '8',
    INSTANCES_PER_PERSON: '13',
    REQUESTS_IN_FLIGHT_PER_PERSON: '14',
    RATE_LIMIT_TOOL_CALLS_PER_MINUTE: '0',
    STREAMS_PER_PERSON: '15',
    SUBSCRIPTIONS_PER_PERSON: '16',
    MAX_SUBSCRIPTION_BYTES: '17',
    SUBSCRIPTION_BYTES_PER_PERSON: '18',
    MAX_URI_BYTES: '19',
    MAX_SUSPENDED_CALLS: '20',
    SUSPENDED_CALLS_PER_PERSON: '21',
    MAX_OPEN_RESPONSES: '22',
    OPEN_RESPONSES_PER_PERSON: '23',
    MAX_REQUEST_BYTES: '24',
    REQUEST_BYTES_PER_PERSON: '25',
    MAX_UNREAD_BYTES: '26',
    UNREAD_BYTES_PER_PERSON: '27',
    SESSIONS_PER_PERSON: '28',
    STREAM_AFTER_MS: '9',
    STREAM_HEARTBEAT_SECONDS: '10',
    STREAM_RETRY_MS: '11',
    MAX_BODY_BYTES: '12'
  }, { dotenv: false })
  if (config.upstream === undefined) throw new Error('no upstream')
  const stores = createMemoryStores({ sessionIdleSeconds: 1 })
  t.teardown(() => stores.close())
  t.match(
    serviceOptions(config, {
      upstream: config.upstream,
      createServer: new ControlledServer().createServer,
      stores,
      metrics: new Metrics()
    }),
    {
      sessionMode: 'stateless',
      limits: {
        idleSeconds: 1,
        lifetimeSeconds: 2,
        maxSessionsPerOwner: 3,
        maxSessionsPerPerson: 28,
        instanceIdleSeconds: 4,
        maxLiveInstances: 5,
        maxRequestsInFlight: 6,
        maxSubscriptions: 7,
        maxStreams: 8,
        maxInstancesPerPerson: 13,
        maxRequestsInFlightPerPerson: 14,
        toolCallsPerMinute: 0,
        maxStreamsPerPerson: 15,
        maxSubscriptionsPerPerson: 16,
        maxSubscriptionBytes: 17,
        maxSubscriptionBytesPerPerson: 18,
        maxUriBytes: 19,
        maxSuspendedCalls: 20,
        maxSuspendedCallsPerPerson: 21,
        maxOpenResponses: 22,
        maxOpenResponsesPerPerson: 23,
        maxRequestBytes: 24,
        maxRequestBytesPerPerson: 25,
        maxUnreadBytes: 26,
        maxUnreadBytesPerPerson: 27
      },
      streams: { silenceMs: 9, heartbeatMs: 10_000, retryMs: 11 },
      maxBodyBytes: 12
    }
  )
})

t.test('from the environment, on the real service', async t => {
  const service = await startService(t, {
    SESSIONS_PER_OWNER: '1',
    MAX_SESSIONS: '2',
    MAX_STREAMS: '1',
    REQUESTS_IN_FLIGHT_PER_PERSON: '1',
    STREAM_AFTER_MS: '1',
    STREAM_RETRY_MS: '7'
  })
  const clientOf = async (name: string) => {
    const person = new Person(name)
    const transport = new StreamableHTTPClientTransport(new URL(`${service.url}/mcp`), { authProvider: person })
    await t.rejects(new Client({ name, version: '1.0.0' }).connect(transport), { message: /Unauthorized/ })
    await transport.finishAuth((await person.logIn()).get('code') ?? '')
    return new RawClient(service, person.accessToken)
  }
  const [alice, bob, carol] = [await clientOf('alice'), await clientOf('bob'), await clientOf('carol')]
  await alice.connect()
  await bob.connect()
  await isRefused(t, await carol.request('initialize', initializeParams()), 503, -32000, '60', 'MAX_SESSIONS')
  const first = alice.sessionId ?? ''
  await alice.connect()
  await isRefused(
    t,
    await alice.post({ jsonrpc: '2.0', id: 1, method: 'ping' }, { 'mcp-session-id': first }),
    404,
    -32001,
    null,
    'SESSIONS_PER_OWNER'
  )
  const stream = readEvents(await alice.get())
  await next(stream)
  await isRefused(t, await bob.get(), 503, -32000, '1', 'MAX_STREAMS')

  const countdown = await alice.request('tools/call', {
    name: 'countdown',
    arguments: { from: 1000, intervalMs: 60_000 }
  })
  const events = readEvents(countdown)
  t.match(await next(events), { data: '', retry: '7' }, 'STREAM_AFTER_MS, STREAM_RETRY_MS')
  await isRefused(t, await alice.request('ping'), 429, -32000, '1', 'REQUESTS_IN_FLIGHT_PER_PERSON')
  await events.return(undefined)
  t.equal((await fetch(`${service.url}/mcp`, { method: 'DELETE', headers: alice.headers() })).status, 200)
})
