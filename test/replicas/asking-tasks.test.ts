import { once } from 'node:events'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { CallToolResultSchema, ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import t, { type Test } from 'tap'
import * as z from 'zod'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import type { Stores } from '../../src/stores/stores.js'
import { client1, requestInit } from '../mcp/feature-clients.js'
import { FeatureServer } from '../mcp/feature-server.js'
import { RawClient, startMcp } from '../support/mcp-harness.js'
import { parseJson } from '../support/json.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'

/*
 * Tasks (2025-11-25) that ask the client: one replica runs them, another takes `tasks/result`, and a third what the
 * client responds.
 */

const SAID = z.object({ id: z.unknown().optional(), method: z.string().optional() })
type Said = z.output<typeof SAID>

async function start (t: Test, stores: readonly Stores[], factory?: FeatureServer) {
  const [first, ...more] = stores
  if (first === undefined) throw new Error('There are no stores.')
  const features = factory ?? new FeatureServer(first)
  const services = await Promise.all([first, ...more].map(one =>
    startMcp(t, { ...one, createServer: (one === first ? features : factory ?? new FeatureServer(one)).createServer })))
  const [runner, asked, answered] = services
  if (runner === undefined || asked === undefined || answered === undefined) throw new Error('There are too few.')

  const mine = new StreamableHTTPClientTransport(new URL(`${runner.url}/mcp`), { requestInit })
  const here = await client1(mine)
  const hooks = {
    /** Called with each message that is no request, before it is sent. */
    beforeResponse: async (_message: Said): Promise<void> => {}
  }
  const transport = new StreamableHTTPClientTransport(new URL(`${asked.url}/mcp`), {
    requestInit,
    ...mine.sessionId !== undefined && { sessionId: mine.sessionId },
    fetch: async (url, init) => {
      const said: Said = typeof init?.body === 'string' ? parseJson(init.body, SAID) : {}
      if (init?.method !== 'POST' || (said.id !== undefined && said.method !== undefined)) return await fetch(url, init)
      await hooks.beforeResponse(said)
      return await fetch(`${answered.url}/mcp`, init)
    }
  })
  transport.setProtocolVersion('2025-11-25')
  const there = await client1(transport)
  t.teardown(() => Promise.all([here.close(), there.close()]))

  return {
    features,
    services,
    here,
    there,
    heard: there.heard,
    tasks: there.client.experimental.tasks,
    begin: async (about: string, times = 1) => await begin(here.client.experimental.tasks, about, times),
    hooks
  }
}

type Tasks = Awaited<ReturnType<typeof client1>>['client']['experimental']['tasks']

async function begin (tasks: Tasks, about: string, times = 1): Promise<string> {
  const call = { name: 'think', arguments: { about, ask: true, times } }
  for await (const message of tasks.callToolStream(call, CallToolResultSchema, { task: { ttl: 60_000 } })) {
    if (message.type === 'taskCreated') return message.task.taskId
    if (message.type === 'error') throw message.error
  }
  throw new Error('no task')
}

async function check (t: Test, stores: readonly Stores[]): Promise<void> {
  await t.test('the client is asked at one replica, and answers at another', async t => {
    const { begin, tasks, heard } = await start(t, stores)
    const asked = once(heard, 'asked')
    const result = await tasks.getTaskResult(await begin('Which colour?'), CallToolResultSchema)
    t.match(result, { content: [{ text: 'blue' }] })
    t.strictSame(await asked, ['Which colour?'])
  })

  await t.test('so too if one factory and one queue serve all replicas of a process', async t => {
    const [first] = stores
    const { begin, tasks } = await start(t, stores, new FeatureServer(first))
    const result = await tasks.getTaskResult(await begin('Which colour?'), CallToolResultSchema)
    t.match(result, { content: [{ text: 'blue' }] })
  })

  await t.test('two questions of one task, and of another that begins with the same ids', async t => {
    const { begin, tasks, heard } = await start(t, stores)
    const questions: unknown[] = []
    heard.on('asked', question => { questions.push(question) })
    const ids = await Promise.all([begin('one', 2), begin('other', 2)])
    const results = await Promise.all(ids.map(id => tasks.getTaskResult(id, CallToolResultSchema)))
    t.match(results, [{ content: [{ text: 'blue, blue' }] }, { content: [{ text: 'blue, blue' }] }])
    t.strictSame(questions.toSorted(), ['one', 'one again', 'other', 'other again'], 'each is asked once')
  })

  await t.test('progress that the client reports reaches the one who asks', async t => {
    const { features, begin, there: { client }, tasks } = await start(t, stores)
    client.setRequestHandler(ElicitRequestSchema, async ({ params }) => {
      const progressToken = params._meta?.progressToken ?? 'none'
      const heard = once(features, 'heard')
      // not by `extra.sendNotification`: SDK 1.x would queue it, and a client has no queue
      await client.notification({ method: 'notifications/progress', params: { progressToken, progress: 7 } })
      t.match(await heard, [{ progress: 7 }])
      return { action: 'accept', content: { colour: 'green' } }
    })
    const result = await tasks.getTaskResult(await begin('Which colour?'), CallToolResultSchema)
    t.match(result, { content: [{ text: 'green' }] })
  })

  await t.test('a question of a task that is cancelled elsewhere fails, unasked', async t => {
    const { features, here, there } = await start(t, stores, new FeatureServer(stores[0]))
    const [one, other] = [here, there].map(({ client, heard }) => {
      heard.on('asked', () => { t.fail('it is asked') })
      return client.experimental.tasks
    })
    if (one === undefined || other === undefined) throw new Error('There are no clients.')
    for (const [runner, canceller] of [[one, other], [other, one]] as const) {
      const failed = once(features, 'error')
      const id = await begin(runner, 'Which colour?')
      while ((await canceller.getTask(id)).status !== 'input_required');
      t.match(await canceller.cancelTask(id), { status: 'cancelled' })
      t.match(await failed, [{ message: /Task cancelled or completed/ }])
    }
  })

  await t.test('a response in another session changes nothing', async t => {
    const { begin, tasks, services, hooks } = await start(t, stores)
    const [bob, second] = [new RawClient(services[0] ?? { url: '' }, 'bob'), new RawClient(services[1] ?? { url: '' })]
    await Promise.all([bob.connect(), second.connect()])
    const forged: number[] = []
    hooks.beforeResponse = async ({ id }) => {
      if (typeof id !== 'string') return
      const result = { action: 'accept', content: { colour: 'red' } }
      for (const { url } of services) {
        for (const attacker of [bob, second]) {
          const { status } = await new RawClient({ url }, attacker.token).post(
            { jsonrpc: '2.0', id, result },
            attacker.headers()
          )
          forged.push(status)
        }
      }
    }
    const result = await tasks.getTaskResult(await begin('Which colour?'), CallToolResultSchema)
    t.match(result, { content: [{ text: 'blue' }] })
    t.strictSame(forged, Array.from({ length: 2 * services.length }, () => 202))
  })
}

t.test('memory', async t => {
  const stores = createMemoryStores({ sessionIdleSeconds: 3600 })
  t.teardown(() => stores.close())
  await check(t, [stores, { ...stores }, { ...stores }])
})
redisTest('Redis', async (t, server) => {
  await check(t, await redisReplicas(t, server, { sessionIdleSeconds: 3600 }, 3))
})
