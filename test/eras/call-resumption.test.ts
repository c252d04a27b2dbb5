import { EventEmitter, once } from 'node:events'
import { LOG_LEVEL_META_KEY } from '@modelcontextprotocol/client'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/sdk/validation/ajv'
import t, { type Test } from 'tap'
import * as z from 'zod'
import type { CreateServer } from '../../src/mcp/create-server.js'
import type { LeaseStore } from '../../src/stores/leases.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import type { SessionStores } from '../../src/stores/stores.js'
import { parseJson, parseObject } from '../support/json.js'
import { startMcp, type McpService } from '../support/mcp-harness.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'
import { clock } from '../support/clock.js'
import { answerAll, parseAsked, type Asked } from './input-required.js'
import { post, request } from '../support/raw-http.js'

const NOT_WAITING = { code: -32602, message: /no longer waiting for input.* without requestState/ }
const OF_ANOTHER = { code: -32602, message: /requestState is of another request/ }
const DEAD = { code: -32602, message: /has stopped.* To make the call again, send it without requestState/ }
const DIED_RUNNING = { code: -32000, message: /has stopped.*may have had its effect/ }
/** What a `requestState` names: where the call waits. */
const SEALED = z.object({ p: z.looseObject({ replicaId: z.string(), callId: z.string(), round: z.number() }) })
const call = { name: 'ask', arguments: {} }
const jsonSchemaValidator = new AjvJsonSchemaValidator()

/** Hears of what the tool does: `ran`, `resumed`, `aborted`; emit `go` to let it go on after its first question. */
class Plug extends EventEmitter {
  runs = 0
}

/** A server whose tool asks, tells of its progress, logs, and asks again. */
const asking = (plug: Plug): CreateServer => () => {
  const server = new McpServer({ name: 'asking', version: '1' }, { jsonSchemaValidator, capabilities: { logging: {} } })
  server.registerTool('ask', {}, async ({ requestId: relatedRequestId, signal, sendNotification, _meta }) => {
    plug.runs++
    signal.addEventListener('abort', () => { plug.emit('aborted') })
    const ask = async (message: string) => (await server.server.elicitInput({
      message, requestedSchema: { type: 'object', properties: { colour: { type: 'string' } } }
    }, { relatedRequestId })).content?.colour
    const first = await ask('first')
    const go = once(plug, 'go')
    if (_meta?.progressToken !== undefined) {
      await sendNotification({
        method: 'notifications/progress',
        params: { progressToken: _meta.progressToken, progress: 1 }
      })
    }
    for (const level of ['debug', 'error'] as const) {
      await sendNotification({ method: 'notifications/message', params: { level, data: level } })
    }
    plug.emit('resumed')
    await go
    return { content: [{ type: 'text', text: `${first}, ${await ask('second')}` }] }
  })
  return server
}

interface Both {
  plug: Plug
  first: McpService
  second: McpService
  storesOfSecond: SessionStores
}

/** Two replicas that share their stores. */
async function startBoth (t: Test, [storesOfFirst, storesOfSecond]: [SessionStores, SessionStores]): Promise<Both> {
  const plug = new Plug()
  const options = {
    createServer: asking(plug),
    requestStateKeys: [Buffer.alloc(32, 1)],
    limits: { repeatedInputMs: 1000 }
  }
  return {
    plug,
    storesOfSecond,
    first: await startMcp(t, { ...options, ...storesOfFirst }),
    second: await startMcp(t, { ...options, ...storesOfSecond })
  }
}

/** What a client sends that comes back with answers to what a call has asked. */
const back = (asked: Asked, name = 'ask') =>
  ({ name, arguments: {}, requestState: asked.requestState, inputResponses: answerAll(asked) })

function checkHandingOver (t: Test, { plug, first, second, storesOfSecond: { bus, eventLog } }: Both): void {
  const ask = async () =>
    parseAsked((await request(first.url, 'tools/call', call, { meta: { progressToken: 'first' } })).result)
  const going = () => {
    plug.once('resumed', () => {
      setImmediate(() => plug.emit('go'))
    })
  }

  t.test('a call that asks twice, and is answered elsewhere each time: all comes back, and it runs once', async t => {
    plug.runs = 0
    const asked = await ask()
    going()
    const response = await post(second.url, 'tools/call', back(asked), {
      meta: { progressToken: 'second', [LOG_LEVEL_META_KEY]: 'error' }
    })
    const messages = (await response.text()).split('\n').filter(line => line.startsWith('data: ')).map(line =>
      parseObject(line.slice(6))
    )
    t.match(messages, [
      { method: 'notifications/progress', params: { progressToken: 'second', progress: 1 } },
      { method: 'notifications/message', params: { level: 'error' } },
      {
        id: 7,
        result: { resultType: 'input_required', inputRequests: { 'request-1': { params: { message: 'second' } } } }
      }
    ])
    t.equal(messages.length, 3, 'of the log, what the client wants')
    const again = parseAsked(messages.at(-1)?.result)
    t.match((await request(second.url, 'tools/call', back(asked))).result, {
      resultType: 'input_required',
      inputRequests: again.inputRequests
    }, 'who repeats a round gets the same response')
    t.match((await request(second.url, 'tools/call', back(again))).result, {
      resultType: 'complete',
      content: [{ text: 'blue, blue' }]
    })
    const other = { ...back(again), inputResponses: {} }
    for (const { url } of [first, second]) {
      t.match((await request(url, 'tools/call', back(again))).result, { content: [{ text: 'blue, blue' }] })
      t.match((await request(url, 'tools/call', other)).error, { code: -32602, message: /other inputResponses/ })
    }
    t.equal(plug.runs, 1)
  })

  t.test('it may be answered here and there', async t => {
    const asked = await ask()
    going()
    const again = parseAsked((await request(second.url, 'tools/call', back(asked))).result)
    t.match((await request(first.url, 'tools/call', back(again))).result, { content: [{ text: 'blue, blue' }] })
  })

  t.test('a state is its caller\'s own, and of one call', async t => {
    const asked = await ask()
    for (const token of ['bob', 'alice-elsewhere']) {
      t.match((await request(second.url, 'tools/call', back(asked), { token })).error, {
        code: -32602,
        message: /requestState/
      })
    }
    t.match((await request(second.url, 'tools/call', back(asked, 'another'))).error, OF_ANOTHER)
    going()
    t.match((await request(second.url, 'tools/call', back(asked), { token: 'alice-again' })).result, {
      resultType: 'input_required'
    })
  })

  t.test('the replica that has the call does not trust the other with whose it is', async t => {
    const exchangeId = 'exchange-of-bob'
    const asked = await ask()
    const [sealed = ''] = asked.requestState.split('.').slice(1)
    const { p: state } = parseJson(Buffer.from(sealed, 'base64url').toString(), SEALED)
    await eventLog.open(exchangeId, 'answer', {})
    const answer = new Promise(resolve => {
      void eventLog.follow(exchangeId, 'answer', 'answer:0', {
        onEvent: ({ data }) => {
          resolve(JSON.parse(data))
        },
        onEnd () {}
      })
    })
    await bus.publish('callResumed', {
      ...state,
      origin: 'x',
      exchangeId,
      callee: JSON.stringify(['tools/call', 'ask', null]),
      owner: 'bob',
      person: 'bob',
      inputResponses: {}
    })
    t.same(await answer, { kind: 'unknown' })
  })

  t.test('a call goes away with its client', async t => {
    const asked = await ask()
    const leave = new AbortController()
    const resumed = once(plug, 'resumed')
    const aborted = once(plug, 'aborted')
    const left = post(second.url, 'tools/call', back(asked), { signal: leave.signal }).catch(() => {})
    await resumed
    leave.abort()
    await aborted
    await left
    t.match((await request(second.url, 'tools/call', back(asked))).error, NOT_WAITING)
  })

  t.test('a call ends with the grant', async t => {
    const asked = await ask()
    const resumed = once(plug, 'resumed')
    const aborted = once(plug, 'aborted')
    const answered = request(second.url, 'tools/call', back(asked))
    await resumed
    await bus.publish('grantEnded', { grantId: 'grant-of-alice' })
    await aborted
    t.match((await answered).error, { code: -32000 })
  })

  t.test('what its client cannot do ends it', async t => {
    const asked = await ask()
    going()
    const aborted = once(plug, 'aborted')
    t.match(await request(second.url, 'tools/call', back(asked), { capabilities: {} }), {
      status: 400,
      error: { code: -32021 }
    })
    await aborted
  })
}

t.test('in memory that two apps share', async t => {
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  t.teardown(() => stores.close())
  checkHandingOver(t, await startBoth(t, [stores, stores]))
})

redisTest('over Redis', async (t, server) => {
  const [first, second] = await redisReplicas(t, server)
  if (first === undefined || second === undefined) throw new Error('There are no two replicas.')
  const both = await startBoth(t, [first, second])
  checkHandingOver(t, both)
  await t.test('nothing of it is left in the log', async t => {
    const keys = async () => (await server.admin(t).keys('*:log:*')).filter(key => !key.includes('exchange-of-bob'))
    // the end is written after the answer
    while ((await keys()).length > 0) await second.check()
    t.same(await keys(), [])
  })
  await t.test('the replica that has the call leaves', async t => {
    const asked = parseAsked((await request(both.first.url, 'tools/call', call)).result)
    const resumed = once(both.plug, 'resumed')
    const answered = request(both.second.url, 'tools/call', back(asked))
    await resumed
    await both.first.app.close()
    t.match((await answered).error, { code: -32000, message: /Connection closed/ }, 'who waits is told')
  })
})

t.test('a replica that has died', async t => {
  const { forward } = clock(t)
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  const renewals = new EventEmitter()
  let dead = false
  const leasesOf = (name: string): LeaseStore => ({
    acquire: async (...lease) => {
      const acquired = name === 'first' && dead ? true : await stores.leases.acquire(...lease)
      setImmediate(() => renewals.emit(name))
      return acquired
    },
    isHeld: name => stores.leases.isHeld(name),
    release: (...lease) => stores.leases.release(...lease)
  })
  const { plug, first, second } = await startBoth(t, [{ ...stores, leases: leasesOf('first') }, {
    ...stores,
    leases: leasesOf('second')
  }])
  const waiting = parseAsked((await request(first.url, 'tools/call', call)).result)
  const asked = parseAsked((await request(first.url, 'tools/call', call)).result)
  const resumed = once(plug, 'resumed')
  const answered = request(second.url, 'tools/call', back(asked))
  await resumed
  dead = true
  // its lease runs out, while the other one renews its own
  for (let passed = 0; passed < 6; passed += 2) {
    const renewed = once(renewals, 'second')
    forward(2)
    await renewed
  }
  t.match((await answered).error, DIED_RUNNING, 'who waits for it is told')
  stores.bus.subscribe('callResumed', () => { t.fail('nothing is handed to the dead') })
  t.match((await request(second.url, 'tools/call', back(waiting))).error, DEAD, 'and who comes back later, at once')
  t.equal(plug.runs, 2, 'nothing is run again')
})
