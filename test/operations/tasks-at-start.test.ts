import { randomBytes } from 'node:crypto'
import { InMemoryTaskMessageQueue, InMemoryTaskStore } from '@modelcontextprotocol/sdk/experimental/tasks'
import type { ServerOptions } from '@modelcontextprotocol/sdk/server/index.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { McpServer as McpServer2 } from '@modelcontextprotocol/server'
import { pino } from 'pino'
import type { Test } from 'tap'
import * as z from 'zod'
import { ANYBODY } from '../../src/app.js'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { lookAtTools } from '../../src/process/look-at-tools.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import type { Stores } from '../../src/stores/stores.js'
import { createTaskMessageQueue } from '../../src/stores/tasks/message-queue.js'
import { createTaskStore } from '../../src/stores/tasks/store.js'
import { parseJson } from '../support/json.js'
import { bearer, callMcp, newTokens, register } from '../support/oauth-flow.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'
import { startMcp } from '../support/mcp-harness.js'
import { startService } from '../support/service.js'

/* A server that declares tasks, and keeps them where other replicas do not look, is named at the start, once. */

const LogLine = z.object({ level: z.number(), msg: z.string(), taskStore: z.string().optional() })
const isWarning = ({ msg }: { msg: string }) => /declares tasks/.test(msg)

const capabilities = { tasks: { list: {}, cancel: {} } }
const withOptions = (options: ServerOptions): CreateServer => () =>
  new McpServer({ name: 'a', version: '1' }, options)

/** Collects what is logged. */
function collect () {
  const lines: Array<z.output<typeof LogLine>> = []
  return { lines, write: (line: string) => { lines.push(parseJson(line, LogLine)) } }
}

/** What the start of a service with these stores says of a server's tasks. */
async function lookAt (t: Test, stores: Stores, createServer: CreateServer) {
  await startMcp(t, { ...stores, createServer })
  const stream = collect()
  const log = pino({}, stream)
  for (let times = 0; times < 2; times++) await lookAtTools(createServer, ANYBODY, log)
  return stream.lines
}

redisTest('where replicas share what is kept', async (t, server) => {
  const [stores, other] = await redisReplicas(t, server)
  if (stores === undefined || other === undefined) throw new Error('There are no replicas.')
  const memory = createMemoryStores({ sessionIdleSeconds: 60 })
  t.teardown(() => memory.close())
  const taskStore = createTaskStore(stores)
  const own = new InMemoryTaskStore()
  t.teardown(() => { own.cleanup() })

  const good: Record<string, CreateServer> = {
    ours: withOptions({ capabilities, taskStore, taskMessageQueue: createTaskMessageQueue(stores) }),
    'of other connections': withOptions({ capabilities, taskStore: createTaskStore(other) }),
    'no tasks': withOptions({ capabilities: { tools: {} } }),
    'a store, but tasks are not declared': withOptions({ taskStore: own, capabilities: {} }),
    'SDK 2.x': () => new McpServer2({ name: 'a', version: '1' })
  }
  for (const [name, createServer] of Object.entries(good)) t.same(await lookAt(t, stores, createServer), [], name)

  const bad: ReadonlyArray<readonly [string, CreateServer, object]> = [
    ['that of the SDK', withOptions({ capabilities, taskStore: own }), {
      taskStore: 'InMemoryTaskStore',
      msg: /Use createTaskStore\(stores\)/
    }],
    ['ours, in this process', withOptions({ capabilities, taskStore: createTaskStore(memory) }), {
      msg: /Use createTaskStore\(stores\)/
    }],
    ['none: handlers of its own', withOptions({ capabilities }), { msg: /Use createTaskStore\(stores\)/ }],
    ['ours, but not the messages', withOptions({
      capabilities,
      taskStore,
      taskMessageQueue: new InMemoryTaskMessageQueue()
    }), { msg: /Use createTaskMessageQueue\(stores\)/ }],
    ['a bare server', async context => {
      const made = await withOptions({ capabilities, taskStore: own })(context)
      return 'server' in made ? made.server : made
    }, { msg: /Use createTaskStore\(stores\)/ }],
    ['SDK 2.x', () => new McpServer2({ name: 'a', version: '1' }, { capabilities }), {
      msg: /Use createTaskStore\(stores\)/
    }]
  ]
  for (const [name, createServer, line] of bad) {
    t.same(await lookAt(t, memory, createServer), [], `${name}: one process shares with nobody`)
    t.match(await lookAt(t, stores, createServer), [{ level: 40, ...line }], name)
  }

  const environment = {
    LOG_LEVEL: 'warn',
    REDIS_URL: server.url,
    ENCRYPTION_KEYS: `test:${randomBytes(32).toString('base64url')}`
  }
  for (const SESSION_MODE of ['stateful', 'stateless']) {
    const stream = collect()
    const service = await startService(t, { ...environment, SESSION_MODE }, {}, {
      createServer: withOptions({ capabilities: { ...capabilities, tools: {} }, taskStore: own }),
      logStream: stream
    })
    const { accessToken } = await newTokens(service, await register(service))
    for (let calls = 0; calls < 2; calls++) await callMcp(service, bearer(accessToken))
    t.equal(stream.lines.filter(isWarning).length, 1, `${SESSION_MODE}: once, when a client comes`)
  }
})
