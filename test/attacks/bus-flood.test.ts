import { once } from 'node:events'
import { ElicitResultSchema } from '@modelcontextprotocol/sdk/types.js'
import type { Test } from 'tap'
import type { Stores } from '../../src/stores/stores.js'
import { ControlledServer } from '../support/controlled-server.js'
import { RawClient, startMcp, type McpService } from '../support/mcp-harness.js'
import { parseData, readEvents } from '../support/raw-http.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'

/*
 * What a client writes does not go to all replicas: a client could make them miss what they must not.
 */
const MEGABYTE = 'x'.repeat(1_000_000)
const jsonrpc = '2.0'

/** What a client sends without having been asked; `other`: the id of the other replica. */
const floods: Record<string, (other: string) => unknown> = {
  'a response to nothing': () => ({ jsonrpc, id: 'unknown', result: { text: MEGABYTE } }),
  'a response with a long id': () => ({ jsonrpc, id: MEGABYTE, result: {} }),
  'a response with a number': () => ({ jsonrpc, id: 7, result: { text: MEGABYTE } }),
  'an error': () => ({ jsonrpc, id: 'unknown', error: { code: 1, message: MEGABYTE } }),
  'a response to a replica that is not': () => ({ jsonrpc, id: 'AAAAAAAA1.0', result: { text: MEGABYTE } }),
  'a response to another replica': other => ({ jsonrpc, id: `${other}99.0`, result: { text: MEGABYTE } }),
  'progress of nothing': () => ({
    jsonrpc, method: 'notifications/progress', params: { progressToken: 'x', progress: 1, message: MEGABYTE }
  }),
  'progress for another replica': other => ({
    jsonrpc, method: 'notifications/progress', params: { progressToken: `${other}99.0`, progress: 1, message: MEGABYTE }
  }),
  'a long request cancelled': () => ({
    jsonrpc, method: 'notifications/cancelled', params: { requestId: MEGABYTE, reason: MEGABYTE, _meta: { MEGABYTE } }
  }),
  'other roots': () => ({ jsonrpc, method: 'notifications/roots/list_changed', params: { _meta: { MEGABYTE } } }),
  '100 long requests cancelled': () =>
    Array.from({ length: 100 }, (_, requestId) => ({
      jsonrpc, method: 'notifications/cancelled', params: { requestId: `r${requestId}`.padEnd(10_000) }
    }))
}

redisTest('what a client writes and nobody waits for', async (t, server) => {
  const [one, other] = await redisReplicas(t, server)
  if (one === undefined || other === undefined) throw new Error('There are no replicas.')
  const plug = new ControlledServer()
  const receiver = await startMcp(t, { ...one, createServer: plug.createServer })
  await startMcp(t, { ...other, createServer: plug.createServer })
  const redis = server.admin(t)
  const listening = (await redis.keys('*:bus:*:state')).map(key => /\{(.*)\}/.exec(key)?.[1] ?? '')
  const client = await new RawClient(receiver).connect('2025-03-26')
  const bytes = async () => {
    // what was begun before is written before
    await one.bus.publish('sessionEnded', { sessionId: 'none' })
    const states = (await redis.keys('*:{bus}*')).filter(key => key.endsWith('state'))
    return (await Promise.all(states.map(key => redis.hget(key, 'bytes')))).reduce((sum, n) => sum + Number(n), 0)
  }
  for (const [what, flood] of Object.entries(floods)) {
    await t.test(what, async t => {
      const before = await bytes()
      for (const id of listening) {
        const response = await client.post(flood(id))
        t.equal(response.status, 202)
      }
      // one person's hundred notifications a second, of a hundred bytes
      const written = await bytes() - before
      t.ok(written < 60_000, `${written} bytes for all`)
    })
  }
  const kept = (await redis.keys('*:bus:*')).map(key => /\{(.*)\}/.exec(key)?.[1] ?? '')
  t.same(new Set(kept), new Set(listening), 'nothing is kept for a replica that does not exist')
})

redisTest('what a client tells another replica than the one that waits', async (t, server) => {
  const stores = await redisReplicas(t, server)
  for (const [what, requestId] of Object.entries({ number: 77, text: 'a call', 'long text': 'x'.repeat(2000) })) {
    await t.test(`cancelled by ${what}`, async t => {
      const { plug, client, elsewhere } = await twoReplicas(t, stores)
      const call = client.post(wait(requestId))
      const { extra } = await plug.call('call')
      const aborted = once(extra.signal, 'abort')
      await elsewhere.notify('notifications/cancelled', { requestId, reason: 'no longer' })
      await aborted
      t.equal(extra.signal.reason, 'no longer')
      await call
    })
  }

  await t.test('a large response', async t => {
    const { plug, client, elsewhere } = await twoReplicas(t, stores)
    const leave = new AbortController()
    t.teardown(() => { leave.abort() })
    const call = await client.post(wait(1), {}, leave.signal)
    const { extra } = await plug.call('call')
    const answered = extra.sendRequest({
      method: 'elicitation/create', params: { message: 'How?', requestedSchema: { type: 'object', properties: {} } }
    }, ElicitResultSchema)
    for await (const event of readEvents(call)) {
      const message = parseData(event)
      if (typeof message !== 'object' || message === null || !('method' in message) || !('id' in message)) continue
      await elsewhere.post({ jsonrpc, id: message.id, result: { action: 'accept', content: { text: MEGABYTE } } })
      break
    }
    t.match(await answered, { action: 'accept', content: { text: MEGABYTE } })
  })
})

const wait = (id: string | number) =>
  ({ jsonrpc, id, method: 'tools/call', params: { name: 'wait', arguments: { name: 'call' } } })

interface TwoReplicas {
  plug: ControlledServer
  /** At the replica that runs the calls. */
  client: RawClient
  /** Of the same session, at the other. */
  elsewhere: RawClient
}

async function twoReplicas (t: Test, [one, other]: readonly Stores[]): Promise<TwoReplicas> {
  const plug = new ControlledServer()
  const start = async (stores: Stores | undefined): Promise<McpService> =>
    await startMcp(t, { ...stores, createServer: plug.createServer, streams: { silenceMs: 50 } })
  const client = await new RawClient(await start(one)).connect('2025-11-25', { elicitation: {} })
  const { sessionId, protocolVersion } = client
  const elsewhere = Object.assign(new RawClient(await start(other)), { sessionId, protocolVersion })
  await elsewhere.request('tools/list')
  return { plug, client, elsewhere }
}
