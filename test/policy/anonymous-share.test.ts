import Fastify from 'fastify'
import { join } from 'node:path'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { ANONYMOUS_ID, limitKey, personKey } from '../../src/caller.js'
import { ServerFullError, TooManyRequestsError } from '../../src/errors.js'
import { createSqliteStores, type McpServiceOptions } from '../../src/index.js'
import { ServerPool } from '../../src/hosted/stdio/server-pool.js'
import { parseStdioOptions } from '../../src/hosted/stdio/options/settings.js'
import { Admission } from '../../src/mcp/admission/admission.js'
import { OpenResponses } from '../../src/mcp/admission/open-responses.js'
import { ToolRates } from '../../src/mcp/admission/tool-rates.js'
import { makeAnonymousCaller } from '../../src/mcp/anonymous-callers.js'
import { defaultLimits, type SessionLimits } from '../../src/mcp/limits.js'
import { TaskTools } from '../../src/mcp/tasks/task-tools.js'
import { mcpServiceParts } from '../../src/service/mcp-service.js'
import { ALL_CALLS, personHolder } from '../../src/stores/call-limits.js'
import { firstEventId } from '../../src/stores/event-log.js'
import { MemoryBus } from '../../src/stores/memory/bus.js'
import { MemoryCallLimitStore } from '../../src/stores/memory/call-limits.js'
import { MemoryEventLog } from '../../src/stores/memory/event-log.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { MemoryTaskRecords } from '../../src/stores/memory/tasks.js'
import { SqliteCallLimitStore } from '../../src/stores/sqlite/call-limits.js'
import { openDatabase } from '../../src/stores/sqlite/database/open.js'
import { SqliteTaskRecords } from '../../src/stores/sqlite/tasks.js'
import { separateStores } from '../../src/stores/separate-stores.js'
import type { Stores } from '../../src/stores/stores.js'
import { modernRequest } from '../../src/testing/modern-request.js'
import { callerOf, ISSUER } from '../attacks/eras.js'
import { initializeParams } from '../support/mcp-harness.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'

/*
 * Whoever has many addresses can be many callers who have not logged in. Of all that is bounded for everybody together,
 * they have half at most, so that people have room; and what they do pushes nothing out that is somebody's.
 */
const URL_ = 'http://localhost:5050'

async function serve (t: Test, stores: Stores, limits: Partial<SessionLimits> = {}) {
  const app = Fastify({ trustProxy: true, forceCloseConnections: true })
  await app.register(mcpServiceParts, {
    publicUrl: URL_,
    createServer: () => {
      const server = new McpServer({ name: 'plug', version: '1' }, { capabilities: { tools: { listChanged: true } } })
      server.registerTool('open', {}, () => ({ content: [{ type: 'text', text: 'done' }] }))
      return server
    },
    stores,
    limits,
    policy: { public: { tools: ['open'] } },
    auth: { mode: 'host', authorizationServers: [ISSUER], verifyAccessToken: callerOf }
  } satisfies McpServiceOptions)
  t.teardown(() => app.close())
  return app
}

const silentLog = pino({ enabled: false })
let addresses = 0
/** An address that nobody has come from. */
const elsewhere = () => ({ 'x-forwarded-for': `203.0.113.${++addresses}` })
const as = (person: string) => ({ ...elsewhere(), authorization: `Bearer ${person}_mcp` })

async function fillSessions (t: Test, stores: Stores): Promise<(headers: Record<string, string>) => Promise<number>> {
  const app = await serve(t, stores)
  const post = (headers: Record<string, string>, method: string, params: object) =>
    app.inject({
      method: 'POST',
      url: '/mcp',
      headers: { host: 'localhost:5050', accept: 'application/json, text/event-stream', ...headers },
      payload: { jsonrpc: '2.0', id: 1, method, params }
    })
  const begin = async (headers: Record<string, string>) => {
    const response = await post(headers, 'initialize', initializeParams())
    if (response.statusCode !== 200) return response.statusCode
    const session = { ...headers, 'mcp-session-id': String(response.headers['mcp-session-id']) }
    return (await post(session, 'tools/call', { name: 'open', arguments: {} })).statusCode
  }
  for (let index = 0; index < 3; index++) t.equal(await begin(elsewhere()), 200)
  for (let index = 0; index < 3; index++) t.equal(await begin(elsewhere()), 503, 'they have their share')
  const refused = await post(elsewhere(), 'initialize', initializeParams())
  t.match(refused.json(), { error: { data: { limit: 'sessions', retryAfterMs: 60_000 } } })
  t.equal(refused.headers['retry-after'], '60')
  for (const person of ['alice', 'alice', 'alice', 'bob']) t.equal(await begin(as(person)), 200, `${person} gets in`)
  t.equal(await begin(elsewhere()), 503, 'nobody makes room for who has not logged in')
  return begin
}

t.test('sessions in memory', async t => {
  const begin = await fillSessions(t, createMemoryStores({ sessionIdleSeconds: 60, maxSessions: 6 }))
  t.equal(await begin(as('carol')), 200, 'who has most makes room for others')
  t.equal(await begin(as('dave')), 503)
})

t.test('sessions in a file', async t => {
  const file = join(t.testdir({}), 'state.sqlite')
  const stores = createSqliteStores({ file, sessionIdleSeconds: 60, maxSessions: 6 })
  t.teardown(() => stores.close())
  const begin = await fillSessions(t, stores)
  t.equal(await begin(as('carol')), 200, 'who has most makes room for others')
  t.equal(await begin(as('dave')), 503)
})

redisTest('sessions in Redis', async (t, server) => {
  const [stores] = await redisReplicas(t, server, { maxSessions: 6 }, 1)
  if (stores === undefined) throw new Error('There is no replica.')
  await fillSessions(t, stores)
})

t.test('listeners of 2026-07-28', async t => {
  const app = await serve(t, createMemoryStores({ sessionIdleSeconds: 60 }), { maxStreams: 4 })
  const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/mcp`
  const leave = new AbortController()
  t.teardown(() => { leave.abort() })
  const listen = async (headers: Record<string, string>): Promise<number> => {
    const request = modernRequest(1, 'subscriptions/listen', { notifications: { toolsListChanged: true } }, {
      'io.modelcontextprotocol/clientCapabilities': {},
      'io.modelcontextprotocol/clientInfo': { name: 'c', version: '1' }
    })
    const response = await fetch(url, {
      ...request,
      headers: { ...request.headers, ...headers },
      signal: leave.signal
    })
    return response.status
  }
  t.strictSame([await listen(elsewhere()), await listen(elsewhere()), await listen(elsewhere())], [200, 200, 503])
  t.strictSame([await listen(as('alice')), await listen(as('bob'))], [200, 200])
  t.equal(await listen(elsewhere()), 503)
})

const nobody = (index: number) => personKey(makeAnonymousCaller(`address ${index}`).extra)
const ALICE = personKey({ issuer: ISSUER, subject: 'alice' })

t.test('what addresses call makes nobody else\'s calls forgotten', async t => {
  const database = openDatabase({ file: join(t.testdir({}), 'state.sqlite') })
  const stores = [new MemoryCallLimitStore({ maxEntries: 2 }), new SqliteCallLimitStore(database, { maxEntries: 2 })]
  const others = createMemoryStores({ sessionIdleSeconds: 60 })
  t.teardown(async () => {
    for (const store of [...stores, database]) store.close()
    await others.close()
  })
  const ofOne = stores.map(store => separateStores({ ...others, callLimits: store }, 'notes').callLimits ?? store)
  for (const store of [...stores, ...ofOne]) {
    for (const limit of ['callsPerDay', 'concurrentCalls'] as const) {
      const call = async (person: string, id: string) =>
        await store.take(personHolder(limitKey(person)), [
          { name: ALL_CALLS, calls: [id], counted: 1, limits: { [limit]: 1 } }
        ], 60_000)
      t.equal(await call(ALICE, `${limit} 1`), undefined)
      for (let index = 0; index < 5; index++) await call(nobody(index), `${limit} of ${index}`)
      t.match(await call(ALICE, `${limit} 2`), { limit }, `${store.constructor.name}: ${limit}`)
      t.match(await call(nobody(4), `${limit} 3`), { limit }, 'they are counted, too')
      await store.release(personHolder(ALICE), [{ name: ALL_CALLS, calls: [`${limit} 1`] }])
      await store.giveBack(personHolder(ALICE), [{ name: ALL_CALLS, calls: [], counted: 1, limits: { [limit]: 1 } }])
    }
  }
})

t.test('a tool that all addresses call is not used up for people', t => {
  const rates = new ToolRates(1, () => 0)
  for (let index = 0; index < 50_000; index++) rates.take(limitKey(nobody(index)), ['open'])
  for (const last of [false, true]) {
    const take = () => { rates.take(limitKey(nobody(50_001)), ['open']) }
    if (last) t.throws(take, TooManyRequestsError, 'addresses beyond share a bucket')
    else t.doesNotThrow(take)
  }
  for (const person of [ALICE, 'bob', 'carol']) t.doesNotThrow(() => { rates.take(person, ['open']) })
  t.end()
})

t.test('tasks', async t => {
  const database = openDatabase({ file: join(t.testdir({}), 'state.sqlite') })
  t.teardown(() => { database.close() })
  const bounds = { max: 4, maxBytes: 400 }
  for (const store of [new MemoryTaskRecords(bounds), new SqliteTaskRecords(database, bounds)]) {
    const name = store.constructor.name
    const create = async (holder: string) => {
      const task = { id: 'task', ttl: 60_000, pollInterval: 1 }
      return await store.create(holder, task) !== undefined
    }
    const created: boolean[] = []
    for (let index = 0; index < 3; index++) created.push(await create(`${ANONYMOUS_ID}${index}`))
    t.strictSame(created, [true, true, false], `${name}: half of the tasks`)
    t.strictSame([await create('alice'), await create('bob'), await create('carol')], [true, true, false])
    const say = (holder: string) => store.enqueue(holder, 'task', 'x'.repeat(110))
    t.strictSame(
      [await say(`${ANONYMOUS_ID}0`), await say(`${ANONYMOUS_ID}1`), await say('alice'), await say('bob')],
      ['done', 'full', 'done', 'done'],
      `${name}: half of the bytes`
    )
    await store.dequeue(`${ANONYMOUS_ID}0`, 'task')
    t.equal(await say(`${ANONYMOUS_ID}1`), 'done')
    await store.forget(`${ANONYMOUS_ID}0`)
    t.ok(await create(`${ANONYMOUS_ID}2`))
  }
})

t.test('which tool has made a person\'s task is not forgotten for theirs', t => {
  const tools = new TaskTools(new MemoryBus(), silentLog)
  t.teardown(() => { tools.close() })
  const alices = { person: ALICE, holder: 'session', taskId: 'task' }
  tools.begun({ ...alices, tool: 'report' })
  for (let index = 0; index < 10_001; index++) {
    tools.begun({ person: nobody(index), holder: `${ANONYMOUS_ID}${index}`, taskId: 'task', tool: 'open' })
  }
  t.equal(tools.findTool(alices), 'report')
  t.equal(tools.size, 10_001)
  t.end()
})

t.test('what streams have sent', async t => {
  const log = new MemoryEventLog({ maxBytes: 1000 })
  t.teardown(() => { log.close() })
  const write = async (sessionId: string) => {
    await log.open(sessionId, 'stream', {})
    await log.append(sessionId, 'stream', [{ data: 'x'.repeat(200), isFinal: true }])
  }
  const isKept = async (sessionId: string) => {
    const reader = { onEvent () {}, onEnd () {} }
    const following = await log.follow(sessionId, 'stream', firstEventId('stream'), reader)
    following?.stop()
    return following !== undefined
  }
  await write('alice')
  for (let index = 0; index < 10; index++) await write(`${ANONYMOUS_ID}${index}`)
  t.equal(log.bytes, 600, 'half is theirs')
  for (const session of ['bob', 'carol']) await write(session)
  for (const session of ['alice', 'bob', 'carol']) t.ok(await isKept(session), session)
  for (const session of ['dave', 'eve']) await write(session)
  t.strictSame([await isKept('alice'), await isKept('bob'), await isKept('carol'), await isKept('eve')],
    [false, false, true, true], 'what people have beyond theirs goes first')
  t.ok(log.bytes <= 1000)
})

t.test('what clients do not read', async t => {
  const cut: string[] = []
  const responses = new OpenResponses({
    admission: new Admission(defaultLimits),
    maxUnreadBytes: 1000,
    maxUnreadBytesPerPerson: 900,
    stalledMs: 60_000,
    onCut () {}
  })
  t.teardown(() => { responses.stop() })
  const open = (person: string, unreadBytes: number) =>
    responses.open(person, 0, { unreadBytes, takenBytes: undefined, cut () { cut.push(person) } })
  open(ALICE, 480)
  for (let index = 0; index < 12; index++) open(nobody(index), 50)
  await responses.weigh()
  await responses.weigh()
  t.equal(cut.length, 2)
  t.notOk(cut.includes(ALICE), 'those of people stay')
})

t.test('processes of a hosted server', async t => {
  const pool = new ServerPool(parseStdioOptions({
    per: 'session',
    command: process.execPath,
    args: ['-e', 'process.stdin.resume()'],
    limits: { maxProcesses: 4, graceSeconds: 0.1 }
  }))
  t.teardown(() => pool.close())
  const obtain = (person: string) => {
    const command = { command: process.execPath, args: ['-e', 'process.stdin.resume()'], env: {}, cwd: undefined }
    pool.obtain({ key: person, person: limitKey(person), era: 'legacy', command, log: silentLog })
  }
  for (let index = 0; index < 2; index++) obtain(nobody(index))
  t.throws(() => { obtain(nobody(2)) }, ServerFullError)
  obtain(ALICE)
  obtain('bob')
  t.equal(pool.size, 4)
})
