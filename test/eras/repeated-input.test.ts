import { EventEmitter, once } from 'node:events'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/sdk/validation/ajv'
import { inputRequired, inputResponse, McpServer as McpServer2 } from '@modelcontextprotocol/server'
import { AjvJsonSchemaValidator as AjvJsonSchemaValidator2 } from '@modelcontextprotocol/server/validators/ajv'
import t, { type Test } from 'tap'
import type { CreateServer } from '../../src/mcp/create-server.js'
import type { Bus } from '../../src/stores/bus.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import type { SessionStores } from '../../src/stores/stores.js'
import { startMcp } from '../support/mcp-harness.js'
import { post, request } from '../support/raw-http.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'
import { answerAll, parseAsked, type Asked } from './input-required.js'

/*
 * A client that brings what a call asked for, and does not hear of it: what the call does, it does once, wherever the
 * client tries again, and whatever it was told.
 */

const call = { name: 'pay', arguments: { amount: 7 } }
const PAID = { content: [{ text: 'paid once' }] }
const NOT_WAITING = { code: -32602, message: /no longer waiting/ }
const jsonSchemaValidator = new AjvJsonSchemaValidator()
const validator2 = new AjvJsonSchemaValidator2()

/** Emits `paying`; emit `go` to let it respond. */
class Till extends EventEmitter {
  payments = 0
  states = 0
}

/** A server whose tool asks, then has an effect. */
const paying = (till: Till): CreateServer => () => {
  const server = new McpServer({ name: 'paying', version: '1' }, { jsonSchemaValidator })
  server.registerTool('pay', {}, async ({ requestId: relatedRequestId, signal }) => {
    signal.addEventListener('abort', () => { till.emit('aborted') })
    await server.server.elicitInput({
      message: 'Pay?', requestedSchema: { type: 'object', properties: { colour: { type: 'string' } } }
    }, { relatedRequestId })
    till.payments++
    const go = once(till, 'go')
    till.emit('paying')
    await go
    return { content: [{ type: 'text', text: `paid ${till.payments === 1 ? 'once' : till.payments}` }] }
  })
  return server
}

/** The same with SDK 2.x, whose tool runs once for each request. */
const paying2 = (till: Till): CreateServer => () => {
  const server = new McpServer2({ name: 'paying', version: '2' }, { jsonSchemaValidator: validator2 })
  server.registerTool('pay', {}, async ({ mcpReq: { inputResponses, signal } }) => {
    signal.addEventListener('abort', () => { till.emit('aborted') })
    if (inputResponse(inputResponses, 'colour').kind !== 'elicit') {
      const requestedSchema = { type: 'object' as const, properties: { colour: { type: 'string' as const } } }
      return inputRequired({
        inputRequests: { colour: inputRequired.elicit({ message: 'Pay?', requestedSchema }) },
        requestState: `state-${till.states++}`
      })
    }
    till.payments++
    const go = once(till, 'go')
    till.emit('paying')
    await go
    return { content: [{ type: 'text', text: `paid ${till.payments === 1 ? 'once' : till.payments}` }] }
  })
  return server
}

async function startReplicas (
  t: Test,
  stores: readonly SessionStores[],
  { repeatedInputMs = 60_000, createServer = paying }: {
    repeatedInputMs?: number
    createServer?: (till: Till) => CreateServer
  } = {}
) {
  const till = new Till()
  const services = []
  for (const each of stores) {
    services.push(
      await startMcp(t, {
        ...each,
        createServer: createServer(till),
        requestStateKeys: [Buffer.alloc(32, 1)],
        limits: { repeatedInputMs }
      })
    )
  }
  const [first = '', second = ''] = services.map(({ url }) => url)
  return { till, first, second }
}

const ask = async (url: string) => parseAsked((await request(url, 'tools/call', call)).result)

const back = (asked: Asked) => ({ ...call, requestState: asked.requestState, inputResponses: answerAll(asked) })

async function checkRepeating (t: Test, stores: readonly SessionStores[]): Promise<void> {
  const { till, first, second } = await startReplicas(t, stores)

  for (const [name, from, again] of [['here', first, first], ['there', second, second], ['here', second, first]]) {
    await t.test(`the connection is cut while the call runs, and the client comes back ${name}`, async t => {
      till.payments = 0
      const asked = await ask(first)
      const leave = new AbortController()
      const running = once(till, 'paying')
      const cut = post(from ?? '', 'tools/call', back(asked), { signal: leave.signal }).catch(() => {})
      await running
      leave.abort()
      await cut
      const repeated = request(again ?? '', 'tools/call', back(asked))
      // the replica where it runs has both
      t.match((await request(again ?? '', 'tools/call', { ...back(asked), inputResponses: {} })).error, {
        code: -32602,
        message: /other inputResponses/
      }, 'who brings something else is refused')
      till.emit('go')
      t.match((await repeated).result, PAID)
      t.match((await request(again ?? '', 'tools/call', back(asked))).result, PAID, 'and again')
      t.equal(till.payments, 1)
    })
  }

  await t.test('others do not get it', async t => {
    till.payments = 0
    const asked = await ask(first)
    till.once('paying', () => { setImmediate(() => till.emit('go')) })
    t.match((await request(first, 'tools/call', back(asked))).result, PAID)
    for (const token of ['bob', 'alice-elsewhere']) {
      t.match((await request(second, 'tools/call', back(asked), { token })).error, { code: -32602 }, token)
    }
    t.match((await request(second, 'tools/call', { ...back(asked), arguments: { amount: 8 } })).error, {
      code: -32602,
      message: /another request/
    })
  })

  await t.test('a grant that ends cancels at once, also when the client may come back', async t => {
    const asked = await ask(first)
    const leave = new AbortController()
    const running = once(till, 'paying')
    const cut = post(first, 'tools/call', back(asked), { signal: leave.signal }).catch(() => {})
    await running
    leave.abort()
    await cut
    const aborted = once(till, 'aborted')
    await stores[0]?.bus.publish('grantEnded', { grantId: 'grant-of-alice' })
    await aborted
    t.match((await request(first, 'tools/call', back(asked))).error, NOT_WAITING)
  })
}

/** A server of SDK 2.x runs every request with input; one that is repeated is not another one. */
async function checkNative (t: Test, stores: readonly SessionStores[]): Promise<void> {
  const { till, first, second } = await startReplicas(t, stores, { createServer: paying2 })
  for (const [name, again] of [['here', first], ['there', second]] as const) {
    await t.test(`SDK 2.x: the connection is cut while it runs, and the client comes back ${name}`, async t => {
      till.payments = 0
      const asked = await ask(first)
      const leave = new AbortController()
      const running = once(till, 'paying')
      const cut = post(first, 'tools/call', back(asked), { signal: leave.signal }).catch(() => {})
      await running
      leave.abort()
      await cut
      const repeated = request(again, 'tools/call', back(asked))
      for (let turns = 0; turns < 100; turns++) await new Promise(resolve => setImmediate(resolve))
      till.emit('go')
      t.match((await repeated).result, PAID)
      t.match((await request(again, 'tools/call', back(asked))).result, PAID, 'and again')
      t.match((await request(first, 'tools/call', back(asked))).result, PAID, 'where it ran, too')
      t.equal(till.payments, 1)
    })

    await t.test(`SDK 2.x: who has the response, and asks for the same ${name}, gets it done`, async t => {
      till.payments = 0
      const asked = await ask(first)
      for (const url of [first, again]) {
        const running = once(till, 'paying')
        const answered = request(url, 'tools/call', back(asked))
        await running
        till.emit('go')
        t.match((await answered).result, { content: [{ text: /paid/ }] })
      }
      t.equal(till.payments, 2)
    })
  }

  await t.test('SDK 2.x: others do not get it, and an end of the grant cancels it', async t => {
    till.payments = 0
    const asked = await ask(first)
    const leave = new AbortController()
    let running = once(till, 'paying')
    const cut = post(first, 'tools/call', back(asked), { signal: leave.signal }).catch(() => {})
    await running
    leave.abort()
    await cut
    running = once(till, 'paying')
    const other = request(first, 'tools/call', back(asked), { token: 'bob' })
    await running
    t.equal(till.payments, 2, 'it runs for another person')
    const aborted = once(till, 'aborted')
    await stores[0]?.bus.publish('grantEnded', { grantId: 'grant-of-alice' })
    await aborted
    till.emit('go')
    t.match((await other).result, { content: [{ text: 'paid 2' }] })
  })
}

/** The second's messages for the first wait until they are let go. */
function holdBack (stores: SessionStores, held: Array<() => Promise<void>>): SessionStores {
  const { bus } = stores
  const slow: Bus = {
    publish: (...message) => bus.publish(...message),
    subscribe: (...subscription) => bus.subscribe(...subscription),
    listenAs: replicaId => bus.listenAs(replicaId),
    onGap: listener => bus.onGap(listener),
    send: async (...message) => { held.push(() => bus.send(...message)) }
  }
  return { ...stores, bus: slow }
}

/** A replica that stands still gets the input after the client was told that the call has not run. */
async function checkLateInput (t: Test, [first, second]: readonly [SessionStores, SessionStores]): Promise<void> {
  const held: Array<() => Promise<void>> = []
  const { till, first: here, second: there } = await startReplicas(t, [first, holdBack(second, held)])
  const asked = await ask(here)
  t.match((await request(there, 'tools/call', back(asked))).error, { code: -32000, message: /cannot be reached now/ })
  // as on a replica that wakes up
  for (const send of held) await send()
  const running = once(till, 'paying')
  const answered = request(here, 'tools/call', back(asked))
  await running
  till.emit('go')
  t.match((await answered).result, PAID, 'it has not run; the same request runs it')
  t.equal(till.payments, 1)
}

t.test('to a request that asks for nothing, input changes nothing', async t => {
  for (const [line, createServer] of [['1.x', paying], ['2.x', paying2]] as const) {
    const { first } = await startReplicas(t, [createMemoryStores({ sessionIdleSeconds: 60 })], { createServer })
    const others = [
      ['server/discover', {}],
      ['tools/list', {}],
      ['prompts/list', {}],
      ['resources/list', {}],
      ['completion/complete', { ref: { type: 'ref/prompt', name: 'none' }, argument: { name: 'a', value: '' } }],
      ['subscriptions/listen', { notifications: { toolsListChanged: true } }],
      ['unknown/method', {}]
    ] as const
    for (const [method, params] of others) {
      const told = async (input: Record<string, unknown>) => {
        const { status, headers, body } = await post(first, method, { ...params, ...input })
        await body?.cancel()
        return { status, type: headers.get('content-type') }
      }
      const input = { requestState: 'state', inputResponses: { colour: { action: 'accept', content: {} } } }
      t.same(await told(input), await told({}), `SDK ${line}, ${method}`)
    }
  }
})

t.test('in memory that two apps share', async t => {
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  t.teardown(() => stores.close())
  await checkRepeating(t, [stores, stores])
  await checkNative(t, [stores, stores])
  await t.test('input that comes too late', async t => { await checkLateInput(t, [stores, stores]) })
  await t.test('who does not come back in time has the call cancelled', async t => {
    const { till, first } = await startReplicas(t, [stores], { repeatedInputMs: 20 })
    const asked = await ask(first)
    const leave = new AbortController()
    const running = once(till, 'paying')
    const cut = post(first, 'tools/call', back(asked), { signal: leave.signal }).catch(() => {})
    await running
    const aborted = once(till, 'aborted')
    leave.abort()
    await cut
    await aborted
    t.match((await request(first, 'tools/call', back(asked))).error, NOT_WAITING)
  })
})

redisTest('over Redis', async (t, server) => {
  const [first, second] = await redisReplicas(t, server)
  if (first === undefined || second === undefined) throw new Error('There are no two replicas.')
  await checkRepeating(t, [first, second])
  await checkNative(t, [first, second])
  await t.test('input that comes too late', async t => { await checkLateInput(t, [first, second]) })
})
