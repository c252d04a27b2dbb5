import { once } from 'node:events'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js'
import t, { type Test } from 'tap'
import { client1, requestInit } from './feature-clients.js'
import { FeatureServer } from './feature-server.js'
import { startMcp, type McpService } from '../support/mcp-harness.js'
import { kSessions } from '../../src/plugins/mcp/sessions.js'

const think = (about: string, ask = false) => ({ name: 'think', arguments: { about, ask } })
const task = { ttl: 60_000 }

async function startTasks (t: Test) {
  const plug = new FeatureServer()
  t.teardown(() => plug.tasks.cleanup())
  const service = await startMcp(t, { createServer: plug.createServer })
  return { plug, service }
}

async function connect (t: Test, service: McpService) {
  const connected = await client1(new StreamableHTTPClientTransport(new URL(`${service.url}/mcp`), { requestInit }))
  t.teardown(() => connected.close())
  const { client, heard } = connected
  return { client, heard, tasks: client.experimental.tasks }
}

t.test('a task, from its creation to its result', async t => {
  const { service } = await startTasks(t)
  const { heard, tasks } = await connect(t, service)
  const status = once(heard, 'notifications/tasks/status')
  const seen: string[] = []
  for await (const message of tasks.callToolStream(think('whales'), CallToolResultSchema, { task })) {
    seen.push(message.type)
    if (message.type === 'result') t.match(message.result, { content: [{ text: 'whales' }] })
  }
  t.equal(seen[0], 'taskCreated')
  t.equal(seen.at(-1), 'result')
  t.match(await status, [{ status: 'completed' }], 'its status is announced')
  t.match(await tasks.listTasks(), { tasks: [{ status: 'completed' }] })
})

t.test('a task that asks the client does so on the stream of tasks/result', async t => {
  const { service } = await startTasks(t)
  const { heard, tasks } = await connect(t, service)
  const asked = once(heard, 'asked')
  let text: unknown
  for await (const message of tasks.callToolStream(think('Which colour?', true), CallToolResultSchema, { task })) {
    if (message.type === 'result') text = message.result.content
    if (message.type === 'error') t.fail(message.error.message)
  }
  t.same(await asked, ['Which colour?'])
  t.match(text, [{ text: 'blue' }])
})

t.test('a task is cancelled', async t => {
  const { service, plug } = await startTasks(t)
  const { tasks } = await connect(t, service)
  plug.thinking = new Promise(() => {})
  for await (const message of tasks.callToolStream(think('forever'), CallToolResultSchema, { task })) {
    if (message.type === 'taskCreated') {
      t.match(await tasks.cancelTask(message.task.taskId), { status: 'cancelled' })
    }
    if (message.type === 'error') t.match(message.error.message, /cancelled/)
  }
  t.match(await tasks.listTasks(), { tasks: [{ status: 'cancelled' }] })
})

t.test('tasks belong to their session', async t => {
  const { service, plug } = await startTasks(t)
  const mine = await connect(t, service)
  const other = await connect(t, service)
  plug.thinking = new Promise(() => {})
  for await (const message of mine.tasks.callToolStream(think('secrets'), CallToolResultSchema, { task })) {
    if (message.type !== 'taskCreated') continue
    await t.rejects(other.tasks.getTask(message.task.taskId))
    await t.rejects(other.tasks.cancelTask(message.task.taskId))
    t.same((await other.tasks.listTasks()).tasks, [])
    await mine.tasks.cancelTask(message.task.taskId)
  }
})

t.test('an instance that works on a task stays; its result outlives the instance', async t => {
  const { service, plug } = await startTasks(t)
  const { tasks, heard } = await connect(t, service)
  let finish = () => {}
  plug.thinking = new Promise(resolve => { finish = resolve })
  let taskId = ''
  const calls = tasks.callToolStream(think('whales'), CallToolResultSchema, { task })
  for await (const message of calls) {
    if (message.type !== 'taskCreated') continue
    taskId = message.task.taskId
    break
  }
  const first = plug.instance
  service.app[kSessions].tidy(Date.now() + 31_000)
  t.match(await tasks.getTask(taskId), { status: 'working' })
  t.equal(plug.instance, first, 'while the task runs')

  const done = once(heard, 'notifications/tasks/status')
  finish()
  await done
  service.app[kSessions].tidy(Date.now() + 31_000)
  await plug.closed(first)
  t.match(await tasks.getTaskResult(taskId, CallToolResultSchema), { content: [{ text: 'whales' }] })
  t.not(plug.instance, first)
})
