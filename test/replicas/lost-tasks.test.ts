import { once } from 'node:events'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js'
import type { Test } from 'tap'
import { createRedisStores } from '../../src/stores/redis/stores.js'
import { client1 } from '../mcp/feature-clients.js'
import { FeatureServer } from '../mcp/feature-server.js'
import { freePort } from '../support/free-port.js'
import { logInAt } from '../support/raw-session.js'
import { redisTest, type RedisServer } from '../support/redis-server.js'
import { ReplicaSet } from './replica-set.js'

/* Tasks (2025-11-25) whose process ends: they have failed, and everybody who asks is told. */

const ENDED = /process that ran the task has ended/

redisTest('tasks whose process ends', async (t, server) => {
  const { connect, victim } = await start(t, server)
  const [killed, leaving, asking] = await Promise.all([victim(), victim(), victim({ TASKS_ASK: 'true' })])
  const here = await connect()

  await Promise.all([
    t.test('kill -9', { buffered: true }, async t => {
      const there = await connect(killed.url, here.sessionId)
      const [waiting, asked] = [await begin(there.tasks, 'whales'), await begin(there.tasks, 'dolphins')]
      t.match(await here.tasks.getTask(asked), { status: 'working' })
      const result = here.tasks.getTaskResult(waiting, CallToolResultSchema)
      result.catch(() => {})
      await killed.stop('SIGKILL')
      const since = Date.now()
      await t.rejects(result, { code: -32000, message: ENDED }, 'who waits for the result gets an answer')
      const ms = Date.now() - since
      t.ok(ms < 15_000, `after ${ms} ms`)
      t.match(await here.tasks.getTask(asked), { status: 'failed', statusMessage: ENDED })
      await t.rejects(here.tasks.cancelTask(asked), /failed/)
    }),
    t.test('SIGTERM', { buffered: true }, async t => {
      const there = await connect(leaving.url, here.sessionId)
      const id = await begin(there.tasks, 'sharks')
      await leaving.stop('SIGTERM')
      t.match(await here.tasks.getTask(id), { status: 'failed', statusMessage: ENDED }, 'at once')
    }),
    t.test('kill -9 of one that asks its client, at another', { buffered: true }, async t => {
      const there = await connect(asking.url, here.sessionId)
      const question = once(here.heard, 'asked')
      const result = here.tasks.getTaskResult(await begin(there.tasks, 'in vain', true), CallToolResultSchema)
      result.catch(() => {})
      t.strictSame(await question, ['in vain'])
      await asking.stop('SIGKILL')
      const since = Date.now()
      await t.rejects(result, { code: -32000, message: ENDED }, 'who is asked gets an answer, too')
      const ms = Date.now() - since
      t.ok(ms < 15_000, `after ${ms} ms`)
      t.comment(`after ${ms} ms`)
    })
  ])
})

async function start (t: Test, server: RedisServer) {
  const port = await freePort()
  const replicas = await ReplicaSet.start(t, server.url, port)
  const stores = createRedisStores({ url: server.url, sessionIdleSeconds: 3600 })
  t.teardown(() => stores.close())
  const survivor = await replicas.local(port, new FeatureServer(stores).createServer)
  const { accessToken } = await logInAt(survivor.url)

  async function connect (url = survivor.url, sessionId?: string) {
    const transport = new StreamableHTTPClientTransport(new URL(`${url}/mcp`), {
      requestInit: { headers: { authorization: `Bearer ${accessToken}` } },
      ...sessionId !== undefined && { sessionId }
    })
    if (sessionId !== undefined) transport.setProtocolVersion('2025-11-25')
    const connected = await client1(transport)
    t.teardown(() => connected.close())
    return { tasks: connected.client.experimental.tasks, heard: connected.heard, sessionId: transport.sessionId }
  }

  const victim = (environment: NodeJS.ProcessEnv = {}) =>
    replicas.process({ SHUTDOWN_SECONDS: '1', ...environment }, 'test/replicas/task-replica')
  return { connect, victim }
}

type Tasks = Awaited<ReturnType<typeof client1>>['client']['experimental']['tasks']

async function begin (tasks: Tasks, about: string, ask = false): Promise<string> {
  const call = { name: 'think', arguments: { about, ask } }
  for await (const message of tasks.callToolStream(call, CallToolResultSchema, { task: { ttl: 60_000 } })) {
    if (message.type === 'taskCreated') return message.task.taskId
    if (message.type === 'error') throw message.error
  }
  throw new Error('no task')
}
