import { randomBytes } from 'node:crypto'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js'
import { createTaskMessageQueue, createTaskStore, type CreateServer } from 'fastify-mcp-oauth'
import t, { type Test } from 'tap'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import type { Stores } from '../../src/stores/stores.js'
import { client1, requestInit } from '../mcp/feature-clients.js'
import { FeatureServer } from '../mcp/feature-server.js'
import { startMcp, type McpService } from '../support/mcp-harness.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'

/* Tasks (2025-11-25) that one replica makes are asked for at another, and outlive the first. */

const task = { ttl: 60_000 }
const think = (about: string) => ({ name: 'think', arguments: { about } })

async function connect (t: Test, service: McpService, sessionId?: string, token = 'alice') {
  const transport = new StreamableHTTPClientTransport(new URL(`${service.url}/mcp`), {
    requestInit: token === 'alice' ? requestInit : { headers: { authorization: `Bearer ${token}` } },
    ...sessionId !== undefined && { sessionId }
  })
  if (sessionId !== undefined) transport.setProtocolVersion('2025-11-25')
  const connected = await client1(transport)
  t.teardown(() => connected.close())
  return { tasks: connected.client.experimental.tasks, transport }
}

type Tasks = Awaited<ReturnType<typeof connect>>['tasks']

async function begin (tasks: Tasks, about: string): Promise<string> {
  for await (const message of tasks.callToolStream(think(about), CallToolResultSchema, { task })) {
    if (message.type === 'taskCreated') return message.task.taskId
    if (message.type === 'error') throw message.error
  }
  throw new Error('no task')
}

// of the owner's id, too
const requestStateKeys = [randomBytes(32)]

type Mode = 'stateful' | 'stateless'

async function check (t: Test, sessionMode: Mode, [first, second]: readonly [Stores, Stores]): Promise<void> {
  const [one, two] = [new FeatureServer(first), new FeatureServer(second)]
  const here = await startMcp(t, { ...first, createServer: one.createServer, sessionMode, requestStateKeys })
  const there = await startMcp(t, { ...second, createServer: two.createServer, sessionMode, requestStateKeys })
  const mine = await connect(t, here)
  const { sessionId } = mine.transport
  const elsewhere = await connect(t, there, sessionId)
  const stranger = await connect(t, there, undefined, 'bob')

  let finish = () => {}
  one.thinking = new Promise(resolve => { finish = resolve })
  const taskId = await begin(mine.tasks, 'whales')
  const cancelled = await begin(mine.tasks, 'nothing')
  t.match(await elsewhere.tasks.getTask(taskId), { taskId, status: 'working' })
  t.match(await elsewhere.tasks.cancelTask(cancelled), { status: 'cancelled' })
  t.match(await mine.tasks.getTask(cancelled), { status: 'cancelled' })
  await t.rejects(stranger.tasks.getTask(taskId))
  await t.rejects(stranger.tasks.cancelTask(taskId))
  t.strictSame((await stranger.tasks.listTasks()).tasks, [])

  const refused = new Promise<void>(resolve => {
    // without a session, nobody is left to be told of the other's end
    one.on('error', ({ message }: Error) => { if (/has ended/.test(message)) resolve() })
  })
  const result = elsewhere.tasks.getTaskResult(taskId, CallToolResultSchema)
  finish()
  t.match(await result, { content: [{ text: 'whales' }] }, 'it waits at the other replica')
  await refused
  t.match(await mine.tasks.getTask(cancelled), { status: 'cancelled' }, 'what was cancelled there has ended here')

  await here.app.close()
  t.match(await elsewhere.tasks.getTask(taskId), { status: 'completed' })
  t.match(await elsewhere.tasks.getTaskResult(taskId, CallToolResultSchema), { content: [{ text: 'whales' }] })
  t.match(await elsewhere.tasks.listTasks(), {
    tasks: [{ taskId, status: 'completed' }, { taskId: cancelled, status: 'cancelled' }]
  })
}

async function ending (t: Test, stores: Stores): Promise<void> {
  const service = await startMcp(t, { ...stores, createServer: new FeatureServer(stores).createServer })
  const { tasks, transport } = await connect(t, service)
  const id = await begin(tasks, 'whales')
  const { sessionId = '' } = transport
  t.ok(await stores.tasks.get(sessionId, id))
  await transport.terminateSession()
  while (await stores.tasks.get(sessionId, id) !== undefined);
  t.strictSame((await stores.tasks.list(sessionId, 0, 10)).tasks, [], 'a session takes its tasks with it')
}

/** The server of docs/your-server.md. */
function documented (stores: Stores): CreateServer {
  const taskStore = createTaskStore(stores)
  const taskMessageQueue = createTaskMessageQueue(stores)
  const createServer: CreateServer = () =>
    new McpServer({ name: 'reports', version: '1.0.0' }, {
      taskStore,
      taskMessageQueue,
      capabilities: { tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } } }
    })
  return createServer
}

async function shown (t: Test, stores: Stores): Promise<void> {
  const { tasks, transport } = await connect(t, await startMcp(t, { ...stores, createServer: documented(stores) }))
  const { taskId } = await createTaskStore(stores).createTask({}, 1, {}, transport.sessionId)
  t.match(await tasks.listTasks(), { tasks: [{ taskId }] })
  t.match(await tasks.cancelTask(taskId), { status: 'cancelled' })
  await t.rejects(tasks.getTaskResult(taskId, CallToolResultSchema), { code: -32602, message: /\(cancelled\) has no result/ })
}

async function all (t: Test, stores: readonly [Stores, Stores]): Promise<void> {
  for (const mode of ['stateful', 'stateless'] as const) await t.test(mode, t => check(t, mode, stores))
  await t.test('the end of a session', t => ending(t, stores[0]))
  await t.test('as documented', t => shown(t, stores[0]))
}

t.test('memory', async t => {
  const stores = createMemoryStores({ sessionIdleSeconds: 3600 })
  t.teardown(() => stores.close())
  await all(t, [stores, stores])
})
redisTest('Redis', async (t, server) => {
  const [one, other] = await redisReplicas(t, server, { sessionIdleSeconds: 3600 })
  if (one === undefined || other === undefined) throw new Error('There are no replicas.')
  await all(t, [one, other])
})
