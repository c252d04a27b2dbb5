import { InMemoryTaskStore } from '@modelcontextprotocol/sdk/experimental/tasks/stores/in-memory.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import * as z from 'zod'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { requireScopes } from '../../src/mcp/scopes/required-scopes.js'
import { TaskTools } from '../../src/mcp/tasks/task-tools.js'
import { MemoryBus } from '../../src/stores/memory/bus.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import type { SessionStores } from '../../src/stores/stores.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'
import {
  host,
  newEncryptionKeys,
  WAYS,
  type Asked,
  type EraCaller,
  type HostedService,
  type Told,
  type Way
} from './eras.js'

/*
 * A task is its tool's: the same person, with a token that lacks the tool's scopes, neither sees, fetches nor ends it.
 */
const SCOPE_LESS = 'mallory_mcp'
const SCOPED = 'mallory_mcp.admin'
const NOTHING = z.object({})
const RELATED = 'io.modelcontextprotocol/related-task'
const content = [{ type: 'text' as const, text: 'done' }]

/** Its tools `guarded` and `open` are tasks that are over at once. */
const serverWith = (taskStore: InMemoryTaskStore): CreateServer => () => {
  const server = new McpServer({ name: 'tasks', version: '1' }, {
    taskStore,
    capabilities: { tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } } }
  })
  for (const name of ['guarded', 'open']) {
    server.experimental.tasks.registerToolTask(name, { inputSchema: NOTHING, execution: { taskSupport: 'required' } }, {
      createTask: async (_input, { taskStore }) => {
        const task = await taskStore.createTask({ ttl: null })
        await taskStore.storeTaskResult(task.taskId, 'completed', { content })
        return { task }
      },
      getTask: async (_input, { taskId, taskStore }) => await taskStore.getTask(taskId),
      getTaskResult: async (_input, { taskId, taskStore }) => ({
        content: [],
        ...await taskStore.getTaskResult(taskId)
      })
    })
  }
  requireScopes(server, { guarded: ['admin'] })
  return server
}

const call = (name: string): Asked => ({ method: 'tools/call', params: { name, arguments: {}, task: {} } })
const PING: Asked = { method: 'ping' }
const LIST: Asked = { method: 'tasks/list' }

function askingFor (taskId: string): Record<string, Asked> {
  return {
    'tasks/get': { method: 'tasks/get', params: { taskId } },
    'tasks/result': { method: 'tasks/result', params: { taskId } },
    'tasks/cancel': { method: 'tasks/cancel', params: { taskId } },
    'what is related to it': { method: 'tools/list', params: { _meta: { [RELATED]: { taskId } } } }
  }
}

function taskIdOf ({ responses: [response] }: Told): string {
  const task: unknown = response?.result?.task
  if (typeof task !== 'object' || task === null || !('taskId' in task)) {
    throw new Error(`no task: ${JSON.stringify(response)}`)
  }
  return String(task.taskId)
}

function listedIn ({ responses: [response] }: Told): unknown {
  const tasks: unknown = response?.result?.tasks
  return Array.isArray(tasks) ? tasks.map(({ taskId }: { taskId: unknown }) => taskId) : response
}

async function refused (
  t: Test,
  caller: EraCaller,
  taskId: string,
  takesBatches: boolean,
  at?: HostedService
): Promise<void> {
  for (const [what, asked] of Object.entries(askingFor(taskId))) {
    for (const batch of takesBatches ? [false, true] : [false]) {
      const { status, challenge, responses } = await caller.ask(SCOPE_LESS, batch ? [PING, asked] : [asked], batch, at)
      t.strictSame(
        [status, responses.length],
        [403, 0],
        `${what}${batch ? ', in a batch,' : ''} is refused before anything runs`
      )
      t.match(
        challenge,
        /^Bearer error="insufficient_scope", .*scope="mcp admin"/,
        'the challenge names what the token has and lacks'
      )
    }
  }
}

async function attack (t: Test, way: Way, replicas: readonly SessionStores[]): Promise<void> {
  const tasks = new InMemoryTaskStore()
  t.teardown(() => { tasks.cleanup() })
  const { sessionMode, takesBatches } = way
  const encryptionKeys = newEncryptionKeys()
  const start = async (stores: SessionStores): Promise<HostedService> =>
    await host(t, { createServer: serverWith(tasks), stores, encryptionKeys, sessionMode })
  const [one, ...others] = await Promise.all(replicas.map(start))
  if (one === undefined) throw new Error('no replica')
  const caller = await way.connect(t, one, SCOPED)
  const guarded = taskIdOf(await caller.ask(SCOPED, [call('guarded')]))
  await refused(t, caller, guarded, takesBatches)
  t.equal((await caller.ask(SCOPE_LESS, [call('guarded')])).status, 403, 'as the tool itself is')

  const open = taskIdOf(await caller.ask(SCOPE_LESS, [call('open')]))
  for (const [token, taskId] of [[SCOPED, guarded], [SCOPE_LESS, open]] as const) {
    const { 'tasks/get': get, 'tasks/result': result } = askingFor(taskId)
    if (get === undefined || result === undefined) throw new Error('nothing to ask')
    t.match(
      await caller.ask(token, [get]),
      { responses: [{ result: { taskId, status: 'completed' } }] },
      'who has the scope may ask'
    )
    t.match(await caller.ask(token, [result]), { responses: [{ result: { content } }] })
  }
  t.strictSame(
    listedIn(await caller.ask(SCOPE_LESS, [LIST])),
    [open],
    'the list is less what the token could not ask for'
  )
  t.strictSame(listedIn(await caller.ask(SCOPED, [LIST])), [guarded, open])

  for (const other of others) {
    await refused(t, caller, guarded, takesBatches, other)
    const { 'tasks/get': get } = askingFor(open)
    if (get === undefined) throw new Error('nothing to ask')
    // until it has heard which tool made it, it demands the scopes of all
    const deadline = Date.now() + 3000
    while ((await caller.ask(SCOPE_LESS, [get], false, other)).status === 403 && Date.now() < deadline);
    t.match(await caller.ask(SCOPE_LESS, [get], false, other), {
      responses: [{ result: { taskId: open } }]
    }, 'the other replica knows the tool, too')
    t.strictSame(listedIn(await caller.ask(SCOPE_LESS, [LIST], false, other)), [open])
  }

  // with HTTP+SSE, all of it runs where the stream is
  if (/HTTP\+SSE/.test(t.name)) return
  // a replica that has started since, as after a deploy: nobody knows which tool made it
  const forgetful = await start(replicas[0] ?? createMemoryStores({ sessionIdleSeconds: 60 }))
  await refused(t, caller, open, takesBatches, forgetful)
  await refused(t, caller, 'made up', takesBatches, forgetful)
  t.strictSame(listedIn(await caller.ask(SCOPE_LESS, [LIST], false, forgetful)), [])
  t.strictSame(
    listedIn(await caller.ask(SCOPED, [LIST], false, forgetful)),
    [guarded, open],
    'who has the scopes of all tools gets on'
  )
}

const legacy = Object.entries(WAYS).filter(([name]) => !name.startsWith('2026'))

for (const [name, way] of legacy) {
  t.test(`scope bypass: ${name} × tasks × alone${way.takesBatches ? ', batch' : ''} × memory`, async t => {
    const stores = createMemoryStores({ sessionIdleSeconds: 60 })
    t.teardown(() => stores.close())
    await attack(t, way, [stores])
  })
}

redisTest('Redis', async (t, server) => {
  for (const [name, way] of legacy) {
    const how = way.takesBatches ? 'alone, batch' : 'alone'
    await t.test(`scope bypass: ${name} × tasks × ${how} × Redis, two replicas`, async t => {
      await attack(t, way, await redisReplicas(t, server))
    })
  }
})

for (const [name, way] of Object.entries(WAYS).filter(([name]) => name.startsWith('2026'))) {
  t.test(`scope bypass: ${name} × tasks: there are none`, async t => {
    const tasks = new InMemoryTaskStore()
    const stores = createMemoryStores({ sessionIdleSeconds: 60 })
    t.teardown(() => stores.close())
    const service = await host(t, {
      createServer: serverWith(tasks),
      stores,
      sessionMode: way.sessionMode,
      reuseInstances: way.reuseInstances === true
    })
    const caller = await way.connect(t, service, SCOPED)
    t.equal((await caller.ask(SCOPE_LESS, [call('guarded')])).status, 403)
    t.strictSame(
      [(await caller.ask(SCOPED, [call('guarded')])).status, tasks.getAllTasks()],
      [200, []],
      'no call is made a task'
    )
    for (const asked of [...Object.values(askingFor('made up')).slice(0, 3), LIST]) {
      t.equal((await caller.ask(SCOPE_LESS, [asked])).status, 404, asked.method)
    }
  })
}

t.test('what is remembered of tasks is bounded, for each person and in all', async t => {
  const bus = new MemoryBus()
  const { log } = Fastify()
  const [tools, other] = [new TaskTools(bus, log), new TaskTools(bus, log)]
  const task = (person: string, taskId: string) => ({ person, holder: 'session', taskId })
  const begin = (person: string, count: number) => {
    for (let i = 0; i < count; i++) tools.begun({ ...task(person, `task ${i}`), tool: 'tool' })
  }
  begin('quiet', 1)
  begin('busy', 1000)
  t.equal(tools.findTool(task('quiet', 'task 0')), 'tool', 'nobody makes room for another person while there is some')
  t.strictSame([tools.size, other.size], [201, 201])
  t.strictSame(
    [tools.findTool(task('busy', 'task 799')), tools.findTool(task('busy', 'task 800'))],
    [undefined, 'tool'],
    'the oldest of the person go'
  )
  for (let person = 0; person < 100; person++) begin(`person ${person}`, 200)
  t.ok(tools.size <= 10_000 && tools.size > 9_700, String(tools.size))
  tools.begun({ ...task('long', 'x'.repeat(257)), tool: 'tool' })
  t.equal(tools.findTool(task('long', 'x'.repeat(257))), undefined)
  tools.close()
  other.close()
})
