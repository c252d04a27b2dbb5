import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { ElicitResultSchema } from '@modelcontextprotocol/sdk/types.js'
import type { Test } from 'tap'
import type { CreateServer } from '../../src/mcp/create-server.js'
import type { McpTransportsOptions } from '../../src/mcp/options.js'
import { requireScopes } from '../../src/mcp/scopes/required-scopes.js'
import { kSessions } from '../../src/plugins/mcp/sessions.js'
import type { SessionStores } from '../../src/stores/stores.js'
import { ControlledServer, say } from '../support/controlled-server.js'
import { startMcp, type McpService } from '../support/mcp-harness.js'
import { SseClient } from '../support/sse-client.js'
import { testOverStores } from './over-stores.js'
import { HeldBus, NoReplicaLeases } from './unwell-stores.js'

/*
 * HTTP+SSE over two replicas: a session runs where its stream is, and what its client posts elsewhere is handed over.
 * The client cannot tell the difference.
 */
interface Pair {
  plug: ControlledServer
  /** The replica that has the streams. */
  holder: McpService
  /** Where clients post. */
  other: McpService
  /** What they share. */
  stores: SessionStores
}

type Overrides = Partial<McpTransportsOptions>

const HOUR_MS = 3_600_000
const SECRET = 'a-secret-of-the-client'
const call = (id: number | string, name: string, input: Record<string, unknown> = {}) => ({
  jsonrpc: '2.0',
  id,
  method: 'tools/call',
  params: { name, arguments: input, _meta: { progressToken: id } }
})
const wait = (id: number | string, name: string) => call(id, 'wait', { name })
const ping = (id: number | string) => ({ jsonrpc: '2.0', id, method: 'ping' })

/** With a tool that needs the scope `more`. */
const scopedServer = (plug: ControlledServer): CreateServer => async context => {
  await plug.createServer(context)
  const { server } = plug
  server.registerTool('guarded', {}, () => ({ content: [] }))
  requireScopes(server, { guarded: ['more'] })
  return server
}

async function startPair (
  t: Test,
  [one, two]: readonly SessionStores[],
  { both = {}, holder = {}, other = {} }: { both?: Overrides, holder?: Overrides, other?: Overrides } = {}
): Promise<Pair> {
  if (one === undefined || two === undefined) throw new Error('two replicas, please')
  const plug = new ControlledServer()
  const shared = { requestStateKeys: [randomBytes(32)], createServer: scopedServer(plug), ...both }
  return {
    plug,
    holder: await startMcp(t, { ...one, ...shared, ...holder }),
    other: await startMcp(t, { ...two, ...shared, ...other }),
    stores: two
  }
}

/** Each response came once. */
function oncePerId (t: Test, client: SseClient): void {
  const ids = client.received.filter(({ method }) => method === undefined).map(({ id }) => id)
  t.strictSame(ids, [...new Set(ids)], 'each response came once')
}

async function requests (t: Test, stores: readonly SessionStores[]): Promise<void> {
  const { plug, holder, other } = await startPair(t, stores)
  const client = await SseClient.open(t, holder)
  await client.initialize(other, '2025-03-26', { elicitation: {} })
  t.match(await client.response('initialize'), { result: { protocolVersion: '2025-03-26' } }, 'initialize')

  const quiet = client.say(other, wait('quiet', 'quiet'), { 'x-secret': SECRET })
  const { extra, finish } = await plug.call('quiet')
  t.match(extra.authInfo, { token: 'alice', scopes: ['mcp'], extra: { grantId: 'grant-of-alice' } }, 'who calls')
  t.match(extra.requestInfo?.headers, { 'x-secret': SECRET }, 'the headers of the request')
  finish('done')
  await quiet
  t.match(await client.response('quiet'), { result: { content: [{ text: 'done' }] } }, 'a quiet call')

  await client.say(other, wait('again', 'again'), { authorization: 'Bearer alice-again' })
  const again = await plug.call('again')
  t.match(again.extra.authInfo, { token: 'alice-again', scopes: ['mcp', 'more'] }, 'each call has its own token')
  for (const data of ['one', 'two']) await say(again, data)
  again.finish('done')
  await client.response('again')
  const logged = client.received.filter(({ method }) => method === 'notifications/message')
  t.match(logged, [{ params: { data: 'one' } }, { params: { data: 'two' } }], 'a call with messages, in order')

  await client.say(other, wait('asking', 'asking'))
  const asking = await plug.call('asking')
  const elicited = asking.extra.sendRequest({
    method: 'elicitation/create',
    params: { message: 'Which?', requestedSchema: { type: 'object', properties: {} } }
  }, ElicitResultSchema)
  const { id } = await client.message('elicitation/create')
  await client.say(other, { jsonrpc: '2.0', id, result: { action: 'accept', content: {} } })
  t.match(await elicited, { action: 'accept' }, 'a request of the server')
  asking.finish('done')
  t.match(await client.response('asking'), { result: {} })

  await client.say(other, wait('cancelled', 'cancelled'))
  const cancelled = await plug.call('cancelled')
  await client.say(other, { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 'cancelled' } })
  t.ok(cancelled.extra.signal.aborted, 'a cancellation')

  await client.say(other, [ping('first'), { jsonrpc: '2.0', method: 'notifications/x' }, ping('second')])
  t.match(await client.response('second'), { result: {} }, 'a batch')
  t.match(await client.response('first'), { result: {} })

  const large = 'x'.repeat(3_500_000)
  await client.say(other, wait('large', large))
  t.equal((await plug.call(large)).name.length, large.length, 'a large message')
  ;(await plug.call(large)).finish('done')
  t.match(await client.response('large'), { result: { content: [{ text: 'done' }] } })

  const names = ['burst 1', 'burst 2', 'burst 3']
  for (const name of names) await client.say(other, wait(name, name))
  const burst = await Promise.all(names.map(name => plug.call(name)))
  for (const { finish } of burst) finish('x'.repeat(700_000))
  for (const name of names) t.match(await client.response(name), { result: {} }, `${name} of three large results`)

  const ids = Array.from({ length: 60 }, (_, index) => index)
  await Promise.all(ids.map(index => client.say(index % 2 === 0 ? other : holder, ping(index))))
  await Promise.all(ids.map(index => client.response(index)))
  t.notOk(client.received.some(({ id, method }) => id === 'cancelled' && method === undefined))
  oncePerId(t, client)
  t.strictSame(other.app.mcpSessions.counts, { sessions: 0, instances: 0, streams: 0 }, 'the other holds nothing of it')
  t.equal(plug.servers.length, 1, 'there was one server')
}

/** What a client sees of a response; what differs from one to the next is left out. */
async function seen (response: Response, { url }: McpService): Promise<unknown> {
  const { status, headers } = response
  const challenge = headers.get('www-authenticate')?.replaceAll(url, '')
  const names = ['content-type', 'content-length', 'cache-control', 'retry-after', 'access-control-allow-origin']
  const body = (await response.text()).replaceAll(/req-\w+/g, 'req').replaceAll(/"retryAfterMs":\d+/g, '"retryAfterMs":0')
  return { status, challenge, body, headers: names.map(name => headers.get(name)) }
}

interface Refused {
  status: number
  post: (client: SseClient, at: McpService) => Promise<Response>
}

const posts = (status: number, body: unknown, headers: Record<string, string> = {}): Refused =>
  ({ status, post: (client, at) => client.post(at, body, headers) })

const REFUSED: Readonly<Record<string, Refused>> = {
  'the token of another person': posts(404, ping(1), { authorization: 'Bearer bob' }),
  'another client of the person': posts(404, ping(1), { authorization: 'Bearer alice-elsewhere' }),
  'no token': posts(401, ping(1), { authorization: '' }),
  'an unknown session': {
    status: 404,
    post: (client, at) => client.post({ url: `${at.url}/messages?sessionId=unknown&x=` }, ping(1))
  },
  'a missing scope': posts(403, call(1, 'guarded')),
  'a missing scope, by the second token': posts(403, call(1, 'guarded'), { authorization: 'Bearer alice' }),
  'no JSON': posts(400, '{'),
  'an empty body': posts(400, ''),
  'not a message': posts(400, { jsonrpc: '2.0' }),
  'invalid parameters': posts(400, { ...ping(1), params: 1 }),
  'a text': posts(415, ping(1), { 'content-type': 'text/plain' }),
  'too large': posts(413, ping('x'.repeat(5000))),
  'a batch in a revision without': posts(400, [ping(1)]),
  'initialize again': posts(400, { ...ping(7), method: 'initialize', params: {} }),
  'the id of a request that runs': posts(400, ping('running')),
  'more than one person may have': posts(429, wait(2, 'too much')),
  'a call too many': posts(429, call(3, 'rated')),
  'a URI that is too long': posts(429, { ...ping(4), method: 'resources/subscribe', params: { uri: 'x'.repeat(3000) } })
}

async function refusals (t: Test, stores: readonly SessionStores[]): Promise<void> {
  const both: Overrides = {
    maxBodyBytes: 4096,
    limits: { maxRequestsInFlightPerPerson: 2, toolCallsPerMinute: 2, maxUriBytes: 2000 }
  }
  const { plug, holder, other } = await startPair(t, stores, { both })
  const client = await (await SseClient.open(t, holder)).initialize(other, '2024-11-05')
  for (const id of ['rated-1', 'rated-2']) {
    await client.say(other, call(id, 'rated'))
    await client.response(id)
  }
  // one leaves room for another
  await client.say(other, wait('running', 'running'))
  await plug.call('running')
  await client.say(other, wait('running too', 'running too'))
  await plug.call('running too')
  const before = client.received.length
  for (const [what, { status, post }] of Object.entries(REFUSED)) {
    const [here, there] = [await seen(await post(client, holder), holder), await seen(await post(client, other), other)]
    t.match(here, { status }, what)
    t.strictSame(there, here, `${what}: the same elsewhere`)
  }
  t.equal(client.received.length, before, 'nothing has run')
  t.notOk(plug.calls.some(({ name }) => name === 'too much'))
}

async function full (t: Test, stores: readonly SessionStores[]): Promise<void> {
  const { plug, holder, other } = await startPair(t, stores, { both: { limits: { maxInstancesPerPerson: 1 } } })
  const busy = await (await SseClient.open(t, holder)).initialize(other)
  await busy.say(other, wait('busy', 'busy'))
  await plug.call('busy')
  const client = await SseClient.open(t, holder)
  const here = await seen(await client.post(holder, ping(1)), holder)
  t.match(here, { status: 429 })
  t.strictSame(await seen(await client.post(other, ping(1)), other), here)
}

/** With an open stream a session lasts, and its server is rebuilt where the stream is. */
async function idle (t: Test, stores: readonly SessionStores[]): Promise<void> {
  const { plug, holder, other, stores: { sessions } } = await startPair(t, stores)
  const client = await (await SseClient.open(t, holder)).initialize(other)
  for (const { app } of [holder, other]) app[kSessions].tidy(Date.now() + HOUR_MS)
  t.equal(holder.app.mcpSessions.counts.instances, 0, 'the server was dropped')
  t.not(await sessions.get(client.sessionId), undefined, 'the session was not')
  await client.say(other, wait('woken', 'woken'))
  ;(await plug.call('woken')).finish('done')
  t.match(await client.response('woken'), { result: {} })
  t.equal(plug.servers.length, 2)
  t.strictSame(other.app.mcpSessions.counts, { sessions: 0, instances: 0, streams: 0 })
}

async function serverFails (t: Test, stores: readonly SessionStores[]): Promise<void> {
  const { holder, other } = await startPair(t, stores, {
    both: { createServer: () => { throw new Error('there is no server') } }
  })
  const client = await SseClient.open(t, holder)
  const here = await seen(await client.post(holder, ping(1)), holder)
  t.match(here, { status: 500 })
  t.strictSame(await seen(await client.post(other, ping(1)), other), here)
}

async function isOver (t: Test, { other, stores }: Pair, client: SseClient, what: string): Promise<void> {
  await client.end()
  while (await stores.sessions.get(client.sessionId) !== undefined) await new Promise(resolve => setImmediate(resolve))
  const response = await client.post(other, ping('after'))
  t.equal(response.status, 404, `${what}: the session is over`)
  t.match(await response.json(), { error: { code: -32001 } })
}

async function endings (t: Test, stores: readonly SessionStores[]): Promise<void> {
  const pair = await startPair(t, stores)
  const { plug, holder, other } = pair
  const open = async () => (await SseClient.open(t, holder)).initialize(other)

  const [client, closed, evicted] = [await open(), await open(), await open()]
  await client.say(other, wait('renewed', 'renewed'), { authorization: 'Bearer alice-again' })
  const renewed = await plug.call('renewed')
  await pair.stores.bus.publish('grantEnded', { grantId: 'grant-of-alice-again' })
  t.match(await client.response('renewed'), { error: { code: -32000 } }, 'a call ends with its own grant')
  t.ok(renewed.extra.signal.aborted)
  await client.say(other, ping('still there'))
  await client.response('still there')

  closed.close()
  await isOver(t, pair, closed, 'the stream was closed')
  await pair.stores.sessions.delete(evicted.sessionId)
  await pair.stores.bus.publish('sessionEnded', { sessionId: evicted.sessionId })
  await isOver(t, pair, evicted, 'ended elsewhere')
  await pair.stores.bus.publish('grantEnded', { grantId: 'grant-of-alice' })
  await isOver(t, pair, client, 'its grant has ended')
}

async function leaving (t: Test, stores: readonly SessionStores[]): Promise<void> {
  const pair = await startPair(t, stores)
  const { plug, holder, other } = pair
  const client = await (await SseClient.open(t, holder)).initialize(other)
  await client.say(other, wait('interrupted', 'interrupted'))
  await plug.call('interrupted')
  await holder.app.close()
  t.match(await client.response('interrupted'), { error: { code: -32000, message: /shutting down/ } })
  await isOver(t, pair, client, 'the replica has left')
}

/** The holder lives, as far as anybody knows, but gets nothing. */
async function silent (t: Test, stores: readonly SessionStores[]): Promise<void> {
  const [one] = stores
  if (one === undefined) throw new Error('two replicas, please')
  const bus = new HeldBus(one.bus)
  const { plug, holder, other } = await startPair(t, stores, {
    holder: { bus },
    other: { limits: { maxRequestsInFlightPerPerson: 3 } }
  })
  const client = await (await SseClient.open(t, holder)).initialize(other)
  bus.hold('messagePosted')
  const names = ['one', 'two', 'three', 'four']
  const responses = await Promise.all(names.map(name => client.post(other, wait(name, name))))
  t.strictSame(responses.map(({ status }) => status).sort(), [429, 503, 503, 503], 'as many wait as one may have')
  for (const response of responses) {
    t.equal(response.headers.get('retry-after'), '1')
    const text = await response.text()
    if (response.status === 503) t.match(text, /The message was not processed/)
  }
  bus.release()
  await client.say(other, wait('later', 'later'))
  ;(await plug.call('later')).finish('done')
  await client.response('later')
  t.strictSame(plug.calls.map(({ name }) => name), ['later'], 'what was given up never runs')
}

/** The holder's word comes late: its client waits for it. */
async function late (t: Test, stores: readonly SessionStores[]): Promise<void> {
  const [, two] = stores
  if (two === undefined) throw new Error('two replicas, please')
  const bus = new HeldBus(two.bus)
  const { plug, holder, other } = await startPair(t, stores, { other: { bus } })
  const client = await (await SseClient.open(t, holder)).initialize(other)
  bus.hold('postSettled')
  const posted = client.post(other, wait('late', 'late'))
  ;(await plug.call('late')).finish('done')
  await client.response('late')
  t.equal(await Promise.race([posted, delay(2500)]), undefined, 'it was taken up: it is not given up')
  bus.release()
  t.equal((await posted).status, 202)
  bus.hold('postSettled')
  const last = client.post(other, wait('last', 'last'))
  await plug.call('last')
  const closed = other.app.close()
  t.equal((await last).status, 503, 'a replica that leaves says so')
  await closed
  t.strictSame(plug.calls.map(({ name }) => name), ['late', 'last'], 'each has run once')
}

async function twice (t: Test, stores: readonly SessionStores[]): Promise<void> {
  const [one] = stores
  if (one === undefined) throw new Error('two replicas, please')
  const { plug, holder, other } = await startPair(t, stores, { holder: { bus: new HeldBus(one.bus, 2) } })
  const client = await (await SseClient.open(t, holder)).initialize(other)
  for (const name of ['one', 'two']) {
    await client.say(other, wait(name, name))
    ;(await plug.call(name)).finish(name)
    await client.response(name)
  }
  t.equal(plug.calls.length, 2, 'a message that the bus delivers twice runs once')
  oncePerId(t, client)
}

/** The holder holds no lease: it has died. */
async function dead (t: Test, stores: readonly SessionStores[]): Promise<void> {
  const [one, two] = stores
  if (one === undefined || two === undefined) throw new Error('two replicas, please')
  const bus = new HeldBus(one.bus)
  const leases = new NoReplicaLeases(two.leases)
  const pair = await startPair(t, stores, { holder: { bus }, other: { leases } })
  const client = await (await SseClient.open(t, pair.holder)).initialize(pair.other)
  bus.hold('messagePosted')
  leases.seesNone = true
  let status = 503
  while (status === 503) ({ status } = await client.post(pair.other, wait('lost', 'lost')))
  t.equal(status, 404, 'its client begins again')
  await isOver(t, pair, client, 'the holder has died')
  bus.release()
  t.strictSame(pair.plug.calls, [], 'and nothing has run')
}

async function otherKeys (t: Test, stores: readonly SessionStores[]): Promise<void> {
  const { holder, other } = await startPair(t, stores, { other: { requestStateKeys: [randomBytes(32)] } })
  const client = await SseClient.open(t, holder)
  t.equal((await client.post(other, ping(1))).status, 500, 'a key that the holder does not have')
}

testOverStores({
  checks: { requests, refusals, full, idle, serverFails, endings, leaving, silent, late, twice, dead, otherKeys },
  jobs: 4,
  handOver: async (t, stores) => {
    const { plug, holder, other } = await startPair(t, stores)
    const client = await (await SseClient.open(t, holder)).initialize(other)
    await client.say(other, wait(SECRET, 'done'), { 'x-secret': SECRET })
    ;(await plug.call('done')).finish('done')
    return { holder, secrets: ['Bearer', 'alice', SECRET] }
  }
})
