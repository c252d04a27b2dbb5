import { randomBytes } from 'node:crypto'
import type { Test } from 'tap'
import type { StdioServerOptions } from '../../src/hosted/stdio/options/options.js'
import type { McpTransportsOptions } from '../../src/mcp/options.js'
import { kSessions } from '../../src/plugins/mcp/sessions.js'
import type { SessionStores } from '../../src/stores/stores.js'
import { callForJson, callTool, hostPlain, isAlive, readResponse, until } from '../hosted/stdio.js'
import { objectOf, parseObject, textAt } from '../support/json.js'
import { RawClient, type McpService } from '../support/mcp-harness.js'
import { readEvents } from '../support/raw-http.js'
import { testOverStores, type ReplicasCheck } from './over-stores.js'
import { HeldBus, NoReplicaLeases } from './unwell-stores.js'

/*
 * A stdio server over two replicas: its process is at one of them, and what a client posts at the other is handed over.
 * The client cannot tell the difference.
 */
interface Pair {
  /** Where sessions begin, and so their processes are. */
  holder: McpService
  other: McpService
  /** Both, in turn. */
  both: { readonly url: string }
  stores: SessionStores
}

interface PairOptions {
  stdio?: Partial<StdioServerOptions>
  /** Of the transports: of both, and of each. */
  overrides?: Partial<McpTransportsOptions>
  holder?: Partial<McpTransportsOptions>
  other?: Partial<McpTransportsOptions>
}

async function startPair (
  t: Test,
  [one, two]: readonly SessionStores[],
  { stdio = { per: 'session' }, overrides, holder: ofHolder, other: ofOther }: PairOptions = {}
): Promise<Pair> {
  if (one === undefined || two === undefined) throw new Error('two replicas, please')
  const shared = { requestStateKeys: [randomBytes(32)], streams: { silenceMs: 300 }, ...overrides }
  const holder = await hostPlain(t, stdio, [], { ...one, ...shared, ...ofHolder })
  const other = await hostPlain(t, stdio, [], { ...two, ...shared, ...ofOther })
  let turn = 0
  return { holder, other, both: { get url () { return (turn++ % 2 === 0 ? other : holder).url } }, stores: two }
}

/** A client whose session begins at the holder, and that talks to another place then. */
async function connectVia (
  pair: Pair,
  place: { readonly url: string },
  capabilities: Record<string, unknown> = {},
  revision = '2025-11-25'
): Promise<RawClient> {
  return (await new RawClient(pair.holder).connect(revision, capabilities)).at(place)
}

const hang = (id: string) => ({ jsonrpc: '2.0', id, method: 'tools/call', params: { name: 'hang', arguments: {} } })

async function state (t: Test, stores: readonly SessionStores[]): Promise<void> {
  for (const per of ['session', 'person'] as const) {
    const pair = await startPair(t, stores, { stdio: { per } })
    const client = await connectVia(pair, pair.both)
    const { text: pid } = await callTool(client, 'pid')
    const notes: string[] = []
    for (const note of ['a', 'b', 'c', 'd', 'e', 'f']) {
      notes.push(note)
      t.same(JSON.parse((await callTool(client, 'note', { text: note })).text ?? ''), notes, `${per}: ${note}`)
    }
    t.equal((await callTool(client, 'pid')).text, pid, `${per}: one process`)
    const quiet = await new RawClient(pair.other).post({ jsonrpc: '2.0', id: 1, method: 'ping' }, client.headers())
    t.match([quiet.status, quiet.headers.get('content-type')], [200, /application\/json/], 'a quiet response is JSON')
    t.same(await quiet.json(), { jsonrpc: '2.0', id: 1, result: {} })
    t.equal(pair.other.app.mcpSessions.counts.instances, 0, 'the other replica has no server')
    t.equal(pair.other.app.mcpSessions.counts.streams, 0, 'and holds no stream')
  }
}

async function shared (t: Test, stores: readonly SessionStores[]): Promise<void> {
  const pair = await startPair(t, stores, { stdio: { per: 'shared' } })
  const client = await connectVia(pair, pair.both)
  t.not((await callTool(client, 'pid')).text, (await callTool(client, 'pid')).text, 'each replica has a process')
}

async function streams (t: Test, stores: readonly SessionStores[]): Promise<void> {
  const pair = await startPair(t, stores)
  const client = await connectVia(pair, pair.other)
  const response = await client.request('tools/call', { name: 'progress', _meta: { progressToken: 'p' } })
  t.match(response.headers.get('content-type'), /event-stream/)
  const events = []
  for await (const event of readEvents(response)) events.push(event)
  const messages = events.filter(({ data }) => data !== '').map(({ data }) => parseObject(data))
  t.match(messages, [
    ...[1, 2, 3].map(progress => ({ method: 'notifications/progress', params: { progressToken: 'p', progress } })),
    { result: { content: [{ text: String }] } }
  ], 'progress, in order')

  const silent = await client.request('tools/call', { name: 'later', arguments: { ms: 700 } })
  t.match(silent.headers.get('content-type'), /event-stream/, 'a response that takes long is a stream')
  const reader = readEvents(silent)
  const { value: first } = await reader.next()
  t.match(first, { id: /^.+:0$/, retry: '1000', data: '' }, 'which can be resumed')
  await reader.return(undefined)
  for (const place of [pair.holder, pair.other]) {
    const resumed = await new RawClient(place).get({ ...client.headers(), 'last-event-id': first?.id ?? '' })
    t.match(await readResponse(resumed), { result: { content: [{ text: 'late' }] } }, 'here and there')
  }

  const large = await callTool(client, 'huge', { length: 3_500_000, padding: 'x'.repeat(3_500_000) })
  t.equal(large.text?.length, 3_500_000, 'large messages both ways')
  const all = await Promise.all(
    Array.from({ length: 20 }, (_, index) => callTool(client, 'huge', { length: 10_000 + index }))
  )
  t.same(all.map(({ text }) => text?.length), all.map((_, index) => 10_000 + index), 'many at once')
}

async function questions (t: Test, stores: readonly SessionStores[]): Promise<void> {
  const pair = await startPair(t, stores)
  const client = await connectVia(pair, pair.other, { elicitation: {} })
  const response = await client.request('tools/call', { name: 'ask', arguments: { message: 'Which?' } })
  let result
  for await (const { data } of readEvents(response)) {
    const message = data === '' ? {} : parseObject(data)
    if (message.method === 'elicitation/create') {
      const answer = { jsonrpc: '2.0', id: message.id, result: { action: 'accept', content: { colour: 'blue' } } }
      t.equal((await client.post(answer)).status, 202)
    } else if ('result' in message) ({ result } = message)
  }
  t.match(textAt(result, 'content', 0, 'text'), /blue/, 'a question to the client')

  const hanging = client.post(hang('hanging'))
  await until(() => pair.holder.app[kSessions].instances.running)
  t.equal((await client.post({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 'hanging' } }))
    .status, 202)
  t.notMatch(await (await hanging).text(), /"id":"hanging"/, 'a cancelled request has no response')
  t.match(await callForJson(client, 'state'), { cancelled: { length: 1 } }, 'and the server knows')
}

async function batches (t: Test, stores: readonly SessionStores[]): Promise<void> {
  const pair = await startPair(t, stores)
  const client = await connectVia(pair, pair.other, {}, '2025-03-26')
  const ping = (id: number) => ({ jsonrpc: '2.0', id, method: 'ping' })
  const response = await client.post([ping(1), { jsonrpc: '2.0', method: 'notifications/x' }, ping(2)])
  const bodies: unknown[] = []
  // a slow one is a stream
  if (response.headers.get('content-type')?.startsWith('text/event-stream') === true) {
    for await (const { data } of readEvents(response)) if (data !== '') bodies.push(JSON.parse(data))
  } else bodies.push(await response.json())
  const responses = bodies.flat()
  t.match(responses, [{ id: 1, result: {} }, { id: 2, result: {} }])
}

async function standalone (t: Test, stores: readonly SessionStores[]): Promise<void> {
  const pair = await startPair(t, stores)
  const client = await connectVia(pair, pair.other)
  const listening = await client.get()
  const reader = readEvents(listening)
  t.equal((await client.request('resources/subscribe', { uri: 'file:///a' })).status, 200)
  pair.holder.app[kSessions].tidy(Date.now() + 31_000)
  await callTool(client, 'touch', { uri: 'file:///a' })
  const methods = new Set()
  for await (const { data } of reader) {
    if (data !== '') methods.add(parseObject(data).method)
    if (methods.size === 2) break
  }
  t.same([...methods].sort(), ['notifications/resources/updated', 'notifications/tools/list_changed'])

  const { text: pid } = await callTool(client, 'pid')
  const response = await fetch(`${pair.other.url}/mcp`, { method: 'DELETE', headers: client.headers() })
  t.equal(response.status, 200)
  await until(() => !isAlive(Number(pid)))
  t.equal((await client.request('ping')).status, 404, 'a session that was ended elsewhere')
}

/** What a client sees of a response; what differs from one to the next is left out. */
async function seen (response: Response): Promise<unknown> {
  const { status, headers } = response
  const text = await response.text()
  const body = text.replaceAll(/req-\w+/g, 'req').replaceAll(/"retryAfterMs":\d+/g, '"retryAfterMs":0')
  const retryAfter = headers.get('retry-after')?.replace(/^\d+$/, 'some seconds')
  return { status, body, contentType: headers.get('content-type'), retryAfter }
}

async function refusals (t: Test, stores: readonly SessionStores[]): Promise<void> {
  const overrides = { maxBodyBytes: 4096, limits: { maxRequestsInFlightPerPerson: 2, toolCallsPerMinute: 2 } }
  const pair = await startPair(t, stores, { overrides })
  const client = await connectVia(pair, pair.other)
  const rated = (id: number) => ({ jsonrpc: '2.0', id, method: 'tools/call', params: { name: 'pid' } })
  for (const id of [1, 2]) await client.post(rated(id))
  const hanging = ['one', 'two'].map(id => client.post({ ...hang(id), params: { name: id } }))
  const refused: Record<string, [number, unknown, Record<string, string>?]> = {
    'the token of another person': [404, rated(3), { authorization: 'Bearer bob' }],
    'another client of the person': [404, rated(3), { authorization: 'Bearer alice-elsewhere' }],
    'no token': [401, rated(3), { authorization: '' }],
    'an unknown session': [404, rated(3), { 'mcp-session-id': 'unknown' }],
    'not a message': [400, { jsonrpc: '2.0' }],
    'too large': [413, { ...rated(3), params: { x: 'x'.repeat(5000) } }],
    'a batch in a revision without': [400, [rated(3)]],
    'a call too many': [429, rated(4)]
  }
  await Promise.all(hanging)
  for (const [what, [status, body, headers]] of Object.entries(refused)) {
    const ask = async ({ url }: McpService) =>
      await seen(await new RawClient({ url }).post(body, { ...client.headers(), ...headers }))
    const [here, there] = [await ask(pair.holder), await ask(pair.other)]
    t.match(here, { status }, what)
    t.same(there, here, `${what}: the same elsewhere`)
  }
}

/** As much runs, and is on its way, as one person may have. */
async function flood (t: Test, stores: readonly SessionStores[]): Promise<void> {
  const overrides = { limits: { maxRequestsInFlightPerPerson: 8 } }
  const pair = await startPair(t, stores, { overrides })
  const client = await connectVia(pair, pair.other)
  const abort = new AbortController()
  const responses = Array.from({ length: 60 }, (_, index) => client.post(hang(String(index)), {}, abort.signal))
  const statuses = (await Promise.all(responses)).map(({ status }) => status)
  t.same(new Set(statuses), new Set([200, 429]))
  t.ok(statuses.filter(status => status === 200).length <= 8)
  abort.abort()
  const bob = await new RawClient(pair.other, 'bob').connect()
  t.match(await callTool(bob, 'pid'), { text: /\d+/ }, 'others are served')
}

/** The holder shuts down. */
const leaving = (stdio: Partial<StdioServerOptions>, continues: boolean): ReplicasCheck => async (t, stores) => {
  const leases = new NoReplicaLeases(stores[1]?.leases ?? fail())
  const pair = await startPair(t, stores, { stdio, other: { leases } })
  const client = await connectVia(pair, pair.other)
  await callTool(client, 'note', { text: 'lost' })
  const hanging = client.post(hang('hanging'))
  await until(() => pair.holder.app[kSessions].instances.running)
  await pair.holder.app.close()
  t.match(await readResponse(await hanging), { error: { code: -32000, message: /shutting down/ } })
  leases.seesNone = true
  const response = await client.request('tools/call', { name: 'state' })
  const message = await readResponse(response)
  if (continues) t.match(JSON.parse(textAt(message.result, 'content', 0, 'text')), { notes: [], initializes: 1 })
  else {
    t.equal(response.status, 404)
    t.match(message, { error: { code: -32001, message: /the process that it had has ended/ } })
    t.equal((await client.request('ping')).status, 404, 'and so it stays')
  }
}

function fail (): never {
  throw new Error('two replicas, please')
}

/** The holder lives, as far as anybody knows, but gets nothing. */
async function silent (t: Test, stores: readonly SessionStores[]): Promise<void> {
  const bus = new HeldBus(stores[0]?.bus ?? fail())
  const pair = await startPair(t, stores, {
    holder: { bus },
    other: { limits: { maxRequestsInFlightPerPerson: 3 } }
  })
  const client = await connectVia(pair, pair.other)
  bus.hold('messagePosted')
  const responses = await Promise.all(['1', '2', '3', '4'].map(note => client.request('tools/call', {
    name: 'note',
    arguments: { text: note }
  })))
  t.same(responses.map(({ status }) => status).sort(), [429, 503, 503, 503], 'as many wait as one may have')
  for (const response of responses) {
    const { error } = objectOf(await response.json())
    if (response.status === 503) t.match(error, { message: /does not respond. The message was not processed/ })
  }
  bus.release()
  t.match(await callForJson(client, 'state'), { notes: [] }, 'what was given up never runs')
}

/** Others take the holder for dead, and it finds out. */
async function supersededHolder (t: Test, stores: readonly SessionStores[]): Promise<void> {
  const bus = new HeldBus(stores[0]?.bus ?? fail())
  const leases = new NoReplicaLeases(stores[1]?.leases ?? fail())
  const stdio = { per: 'session', restart: true } as const
  const pair = await startPair(t, stores, { stdio, holder: { bus }, other: { leases } })
  const client = await connectVia(pair, pair.other)
  const { text: pid } = await callTool(client, 'pid')
  bus.hold('messagePosted')
  leases.seesNone = true
  const { text: next } = await callTool(client, 'pid')
  t.match(next, /\d+/)
  t.not(next, pid, 'the session goes on elsewhere')
  leases.seesNone = false
  bus.release()
  await until(() => !isAlive(Number(pid)))
  t.equal((await callTool(client.at(pair.holder), 'pid')).text, next, 'the first holder hands over')
}

testOverStores({
  checks: {
    silent,
    supersededHolder,
    'leaving, per person': leaving({ per: 'person' }, true),
    'leaving, per session': leaving({ per: 'session' }, false),
    'leaving, with restart': leaving({ per: 'session', restart: true }, true),
    state,
    shared,
    streams,
    questions,
    batches,
    standalone,
    refusals,
    flood
  },
  // some wait for most of their time, until a replica is known to be dead
  jobs: 8,
  handOver: async (t, stores) => {
    const pair = await startPair(t, stores)
    const client = await connectVia(pair, pair.other)
    await client.post({ jsonrpc: '2.0', method: 'notifications/a-secret-of-the-client' })
    return { holder: pair.holder, secrets: ['Bearer', 'alice', 'a-secret'] }
  }
})
