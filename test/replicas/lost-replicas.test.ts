import type { Test } from 'tap'
import type { LeaseStore } from '../../src/stores/leases.js'
import { objectOf, parseObject } from '../support/json.js'
import { ControlledServer, say } from '../support/controlled-server.js'
import { parseData, readEvents as blocksOf, next } from '../support/raw-http.js'
import { RawClient, startMcp } from '../support/mcp-harness.js'
import { freePort } from '../support/free-port.js'
import { redisReplicas, redisTest, type RedisServer } from '../support/redis-server.js'
import { readEvents } from '../support/raw-http.js'
import { logInAt, RawSession } from '../support/raw-session.js'
import { ReplicaSet } from './replica-set.js'

/*
 * A replica that is gone, or seems so: whoever waits for it is told, nothing runs twice, and there is one answer.
 */
redisTest('replicas that are lost', async (t, server) => {
  t.jobs = 2
  await Promise.all([
    t.test('kill -9 in the middle of calls', { buffered: true }, t => killed(t, server)),
    t.test('a replica that was only slow', { buffered: true }, t => slow(t, server))
  ])
})

async function killed (t: Test, server: RedisServer): Promise<void> {
  const port = await freePort()
  const replicas = await ReplicaSet.start(t, server.url, port)
  const [survivor, victim] = await Promise.all([replicas.local(port), replicas.process()])
  const login = await logInAt(survivor.url)

  // its client reads through the other replica; its client loses the connection; it has said nothing yet
  const [reading, cut, quiet] = await Promise.all(
    ['reading', 'cut', 'quiet'].map(() => RawSession.open(survivor.url, login))
  )
  if (reading === undefined || cut === undefined || quiet === undefined) throw new Error('There are no sessions.')
  const begun = await begin(reading, victim.url, 'reading')
  const open = messagesOf(await reading.get(survivor.url, begun.eventId))
  const broken = await begin(cut, victim.url, 'cut')
  const silent = quiet.call(victim.url, 'work', { call: 'quiet', ms: 60_000, steps: 0 })
  while (replicas.runs.get('quiet') === undefined) {
    await quiet.call(victim.url, 'work', { call: 'meanwhile', ms: 0, steps: 0 })
  }

  await victim.stop('SIGKILL')
  const ended = { error: { code: -32000, message: /has ended\. The request was not run again/ } }
  const last = (await open).at(-1)
  t.match(last, { id: begun.id, ...ended }, 'an open stream ends with an error that says so')
  t.match(
    (await messagesOf(await cut.get(survivor.url, broken.eventId))).at(-1),
    { id: broken.id, ...ended },
    'and so does one that is resumed'
  )
  t.match(await silent, { end: 'connection' }, 'who has got nothing yet has lost the connection')
  const again = await messagesOf(await reading.get(survivor.url, begun.eventId))
  t.equal(again.filter(({ id }) => id === begun.id).length, 1, 'there is one answer, for good')

  for (const session of [reading, cut, quiet]) {
    t.match(await session.call(survivor.url, 'work', { call: `after-${session.sessionId}`, ms: 0, steps: 0 }), {
      end: 'result'
    }, 'the session continues')
  }
  for (const call of ['reading', 'cut', 'quiet']) t.equal(replicas.runs.get(call), 1, `${call} ran once`)
}

/** Begins a call whose answer is a stream. Resolves with the first event of it. */
async function begin (session: RawSession, url: string, call: string): Promise<{ id: number, eventId: string }> {
  const message = session.toolCall('work', { call, ms: 60_000, steps: 1000 })
  const { value: first } = await readEvents(await session.post(url, message)).next()
  return { id: message.id, eventId: first?.id ?? '' }
}

async function messagesOf (response: Response): Promise<Array<Record<string, unknown>>> {
  const messages = []
  for await (const { data } of readEvents(response)) if (data !== '') messages.push(parseObject(data))
  return messages
}

/** Leases of a replica that may be too slow to renew any. */
class SlowLeases implements LeaseStore {
  readonly #leases: LeaseStore
  slow = false

  constructor (leases: LeaseStore) {
    this.#leases = leases
  }

  async acquire (...lease: Parameters<LeaseStore['acquire']>): Promise<boolean> {
    return this.slow ? await new Promise(() => {}) : await this.#leases.acquire(...lease)
  }

  async isHeld (name: string): Promise<boolean> {
    return await this.#leases.isHeld(name)
  }

  async release (name: string, holder: string): Promise<void> {
    await this.#leases.release(name, holder)
  }
}

async function slow (t: Test, server: RedisServer): Promise<void> {
  const [one, other] = await redisReplicas(t, server)
  if (one === undefined || other === undefined) throw new Error('There are no replicas.')
  const plug = new ControlledServer()
  const leases = new SlowLeases(one.leases)
  const writer = await startMcp(t, { ...one, leases, createServer: plug.createServer })
  const elsewhere = await startMcp(t, { ...other, createServer: plug.createServer })

  const single = await new RawClient(writer).connect()
  const batch = await new RawClient(writer, 'bob').connect('2025-03-26')
  const wait = (id: number, name: string) => ({
    jsonrpc: '2.0',
    id,
    method: 'tools/call',
    params: { name: 'wait', arguments: { name } }
  })
  const [answer, answers] = [single.post(wait(11, 'single')), batch.post([wait(21, 'first'), wait(22, 'second')])]
  await say(await plug.call('single'), 'hello')
  await say(await plug.call('first'), 'hello')
  ;(await plug.call('first')).finish('in time')
  const [from, batchFrom] = [await idOfFirst(await answer), await idOfFirst(await answers)]

  // both clients lost their connection, and go on elsewhere
  const from1 = { 'last-event-id': from }
  const from2 = { 'last-event-id': batchFrom }
  const readAt = (client: RawClient, service: { url: string }) =>
    Object.assign(new RawClient(service, client.token), {
      sessionId: client.sessionId,
      protocolVersion: client.protocolVersion
    })
  const resumed = readAt(single, elsewhere).get(from1)
  const resumedBatch = readAt(batch, elsewhere).get(from2)
  await Promise.all([resumed, resumedBatch])
  leases.slow = true
  const ended = { error: { code: -32000, message: /has ended/ } }
  const seen = await dataIn(await resumed)
  t.match(seen.filter(({ id }) => id !== undefined), [{ id: 11, ...ended }], 'it is taken for dead')
  const seenOfBatch = await dataIn(await resumedBatch)
  t.match(seenOfBatch.filter(({ id }) => id !== undefined), [{ id: 21, result: { content: [{ text: 'in time' }] } }, {
    id: 22,
    ...ended
  }], 'what it had answered stays answered')

  leases.slow = false
  const late = await plug.call('single')
  await say(late, 'still here')
  late.finish('too late')
  ;(await plug.call('second')).finish('too late')
  // what it writes after these comes after them
  const proof = single.post(wait(12, 'proof'))
  await say(await plug.call('proof'), 'hello')
  ;(await plug.call('proof')).finish('done')
  t.match((await dataIn(await proof)).at(-1), { id: 12, result: { content: [{ text: 'done' }] } }, 'it serves again')
  for (const service of [writer, elsewhere]) {
    t.strictSame(
      await dataIn(await readAt(single, service).get(from1)),
      seen,
      'but changes nothing of a stream that was settled'
    )
    t.strictSame(await dataIn(await readAt(batch, service).get(from2)), seenOfBatch)
  }
}

async function idOfFirst (response: Response): Promise<string> {
  const events = blocksOf(response)
  let id: string | undefined
  while (id === undefined) ({ id } = await next(events))
  await response.body?.cancel().catch(() => {})
  return id
}

async function dataIn (response: Response): Promise<Array<Record<string, unknown>>> {
  const messages = []
  for await (const event of blocksOf(response)) {
    if (parseData(event) !== undefined) messages.push(objectOf(parseData(event)))
  }
  return messages
}
