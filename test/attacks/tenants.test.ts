import { InMemoryTaskStore } from '@modelcontextprotocol/sdk/experimental/tasks/stores/in-memory.js'
import { McpServer as McpServer1 } from '@modelcontextprotocol/sdk/server/mcp.js'
import { McpServer as McpServer2 } from '@modelcontextprotocol/server'
import t, { type Test } from 'tap'
import * as z from 'zod'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { createRedisStores } from '../../src/stores/redis/stores.js'
import type { Stores } from '../../src/stores/stores.js'
import { modernRequest } from '../../src/testing/modern-request.js'
import { objectOf, parseObject, valueAt } from '../support/json.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'
import { host, newEncryptionKeys, WAYS, type EraCaller, type HostedService, type Told } from './eras.js'

/*
 * What a server keeps by `sessionId`, it keeps for one caller: where there is no session, the id stands for who calls.
 */
const NOTHING = z.object({})
const text = (value: unknown) => ({ content: [{ type: 'text' as const, text: String(value) }] })

/** Its tool tells the session id that it sees; with `tasks`, another one is a task for ever. */
const serverOfSdk1 = (tasks = new InMemoryTaskStore()): CreateServer => () => {
  const server = new McpServer1({ name: 'tenants', version: '1' }, {
    taskStore: tasks,
    capabilities: { tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } } }
  })
  server.registerTool('id', { inputSchema: NOTHING }, (_input, { sessionId }) => text(sessionId))
  server.registerTool('ask', { inputSchema: NOTHING }, async (_input, { requestId: relatedRequestId }) => {
    const { content } = await server.server.elicitInput({
      message: '?',
      requestedSchema: { type: 'object', properties: { a: { type: 'string' } } }
    }, { relatedRequestId })
    return text(content?.a)
  })
  server.experimental.tasks.registerToolTask('work', { inputSchema: NOTHING, execution: { taskSupport: 'required' } }, {
    createTask: async (_input, { taskStore, taskRequestedTtl }) => ({
      task: await taskStore.createTask({ ttl: taskRequestedTtl ?? null })
    }),
    getTask: async (_input, { taskId, taskStore }) => await taskStore.getTask(taskId),
    getTaskResult: async () => text('never')
  })
  return server
}

const serverOfSdk2: CreateServer = () => {
  const server = new McpServer2({ name: 'tenants', version: '1' })
  server.registerTool('id', { inputSchema: NOTHING }, (_input, { sessionId }) => text(sessionId))
  return server
}

const SDKS = { 'SDK 1.x': serverOfSdk1(), 'SDK 2.x': serverOfSdk2 }
const ID = [{ method: 'tools/call', params: { name: 'id', arguments: {} } }]

function idOf ({ responses: [response] }: Told): string {
  return String(valueAt(response, 'result', 'content', 0, 'text') ?? `none: ${JSON.stringify(response)}`)
}

async function checkIds (t: Test, kept: string, newStores: () => Stores): Promise<void> {
  for (const [way, { connect, sessionMode, reuseInstances }] of Object.entries(WAYS)) {
    for (const [sdk, createServer] of Object.entries(SDKS)) {
      const line = `tenant: ${way} × ${sdk} × ${kept}`
      await t.test(line, async t => {
        const encryptionKeys = newEncryptionKeys()
        const start = async () => {
          const stores = newStores()
          t.teardown(() => stores.close())
          return await host(t, {
            createServer,
            stores,
            encryptionKeys,
            sessionMode,
            ...reuseInstances === true && { reuseInstances }
          })
        }
        const [one, other] = [await start(), await start()]
        const hasSession = !/sessionless|2026/.test(way)
        const [alice, bob] = [await connect(t, one, 'alice'), await connect(t, one, 'bob')]
        // in turn, and at once: an id is that of the call, not of the one before
        const told = [
          await alice.ask('alice', ID),
          await bob.ask('bob', ID),
          await alice.ask('alice', ID),
          ...await Promise.all([alice.ask('alice', ID), bob.ask('bob', ID)])
        ]
        const [first = '', second = '', ...more] = told.map(idOf)
        t.match(first, /^[\w-]{32,}$/, `${line}: opaque`)
        t.not(first, second, `${line}: of one person alone`)
        t.strictSame(more, [first, first, second], `${line}: the same at each call`)
        t.notOk([first, second].some(id => /alice|bob|client/.test(id)))
        if (hasSession) return
        for (const { headers } of told) t.equal(headers.get('mcp-session-id'), null, `${line}: no client gets it`)
        t.equal(
          idOf(await (await connect(t, other, 'alice')).ask('alice', ID)),
          first,
          `${line}: the same on every replica`
        )
      })
    }
  }
}
t.test('tenants, with what is kept in memory', async t => {
  await checkIds(t, 'memory', () => createMemoryStores({ sessionIdleSeconds: 60 }))
})
redisTest('tenants, with what is kept in Redis', async (t, { url }) => {
  await checkIds(t, 'Redis', () => createRedisStores({ url, sessionIdleSeconds: 60 }))
})

const WORK = { method: 'tools/call', params: { name: 'work', arguments: {}, task: { ttl: 60_000 } } }
const LIST = { method: 'tasks/list' }

function taskIdOf ({ responses: [response] }: Told): unknown {
  return valueAt(response, 'result', 'task', 'taskId')
}

/** What one person's client finds of a task that is not theirs. */
async function checkStranger (
  t: Test,
  line: string,
  bob: EraCaller,
  taskId: unknown,
  at: HostedService
): Promise<void> {
  for (const method of ['tasks/get', 'tasks/result', 'tasks/cancel']) {
    t.match(await bob.ask('bob', [{ method, params: { taskId } }], false, at), {
      responses: [{ error: { code: -32602 } }]
    }, `${line}: ${method}: bob does not`)
  }
  t.match(
    await bob.ask('bob', [LIST], false, at),
    { responses: [{ result: { tasks: [] } }] },
    `${line}: bob lists none`
  )
}

/**
 * One task store for all, as of a service whose tasks outlive its instances; two replicas where `newStores` are shared.
 */
async function checkTasks (t: Test, kept: string, newStores: readonly Stores[]): Promise<void> {
  for (const [way, { connect, sessionMode, reuseInstances }] of Object.entries(WAYS)) {
    const line = `tenant: tasks × ${way} × ${kept}`
    await t.test(line, async t => {
      const tasks = new InMemoryTaskStore()
      t.teardown(() => { tasks.cleanup() })
      const encryptionKeys = newEncryptionKeys()
      const createServer = serverOfSdk1(tasks)
      const replicas = await Promise.all(
        newStores.map(async stores =>
          await host(t, {
            createServer,
            stores,
            encryptionKeys,
            sessionMode,
            ...reuseInstances === true && { reuseInstances }
          })
        )
      )
      const [one] = replicas
      if (one === undefined) throw new Error('no replica')
      const [alice, bob] = [await connect(t, one, 'alice'), await connect(t, one, 'bob')]
      if (way.startsWith('2026')) return await checkNoTasks(t, line, [alice, bob], tasks)
      const taskId = taskIdOf(await alice.ask('alice', [WORK]))
      t.type(taskId, 'string')
      for (const at of replicas) {
        t.match(await alice.ask('alice', [{ method: 'tasks/get', params: { taskId } }], false, at), {
          responses: [{ result: { taskId } }]
        }, `${line}: alice finds it again`)
        await checkStranger(t, line, bob, taskId, at)
        t.match(await alice.ask('alice', [LIST], false, at), {
          responses: [{ result: { tasks: [{ taskId, status: 'working' }] } }]
        }, `${line}: nobody has ended it`)
      }
    })
  }
}

/** The bridge knows no tasks: what the server keeps of them, nobody of this revision sees. */
async function checkNoTasks (
  t: Test,
  line: string,
  callers: readonly EraCaller[],
  tasks: InMemoryTaskStore
): Promise<void> {
  const kept = await Promise.all(
    ['of a session', undefined].map(async sessionId => await tasks.createTask({ ttl: 60_000 }, 1, WORK, sessionId))
  )
  for (const [index, caller] of callers.entries()) {
    const token = index === 0 ? 'alice' : 'bob'
    t.notOk(taskIdOf(await caller.ask(token, [WORK])), `${line}: a call is no task`)
    for (const { taskId } of kept) {
      for (const method of ['tasks/get', 'tasks/result', 'tasks/cancel', 'tasks/list']) {
        t.match(
          await caller.ask(token, [{ method, params: { taskId } }]),
          { status: 404, responses: [] },
          `${line}: ${method}`
        )
      }
    }
  }
  t.strictSame(
    tasks.getAllTasks().map(({ status }) => status),
    ['working', 'working'],
    `${line}: no call has made or ended one`
  )
}

t.test('tasks, with what is kept in memory', async t => {
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  t.teardown(() => stores.close())
  await checkTasks(t, 'memory', [stores])
})
redisTest('tasks, with what is kept in Redis', async (t, server) => {
  await checkTasks(t, 'Redis, two replicas', await redisReplicas(t, server))
})

t.test('every replica with the same keys can read what a client sends back, in every auth mode', async t => {
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  t.teardown(() => stores.close())
  const encryptionKeys = newEncryptionKeys()
  const createServer = serverOfSdk1()
  const [one, other] = [
    await host(t, { createServer, stores, encryptionKeys }),
    await host(t, { createServer, stores, encryptionKeys })
  ]
  const stranger = await host(t, { createServer, stores, encryptionKeys: newEncryptionKeys() })
  const call = async ({ url }: { url: string }, more: object = {}) => {
    const { headers, ...request } = modernRequest(1, 'tools/call', { name: 'ask', arguments: {}, ...more }, {
      'io.modelcontextprotocol/clientCapabilities': { elicitation: { form: {} } }
    })
    const response = await fetch(`${url}/mcp`, { ...request, headers: { ...headers, authorization: 'Bearer alice' } })
    return parseObject(await response.text())
  }
  const { result } = await call(one)
  t.match(result, { resultType: 'input_required', requestState: String })
  const { requestState, inputRequests } = objectOf(result)
  const [key = ''] = Object.keys(objectOf(inputRequests))
  const brought = { requestState, inputResponses: { [key]: { action: 'accept', content: { a: 'blue' } } } }
  t.match(await call(stranger, brought), { error: { code: -32602 } }, 'another service cannot')
  t.match(await call(other, brought), { result: { content: [{ text: 'blue' }] } }, 'the other replica goes on')
})
