import { EventEmitter, once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import type { Test } from 'tap'
import { TemporarilyUnavailableError } from '../../src/errors.js'
import { STANDALONE_STREAM, firstEventId, type EventReader, type StreamEvent } from '../../src/stores/event-log.js'
import { createRedisStores } from '../../src/stores/redis/stores.js'
import type { SessionRecord } from '../../src/stores/sessions.js'
import type { Stores } from '../../src/stores/stores.js'
import { reachable, redisReplicas, redisTest } from '../support/redis-server.js'
import { addGrant, later, tokensOf } from './standing-grant.js'

class Reader extends EventEmitter implements EventReader {
  readonly data: string[] = []
  over = false

  onEvent ({ data }: StreamEvent): void {
    this.data.push(data)
    this.emit('news')
  }

  onEnd (): void {
    this.over = true
    this.emit('news')
  }

  async has (count: number): Promise<this> {
    while (this.data.length < count) await once(this, 'news')
    return this
  }

  async ended (): Promise<void> {
    while (!this.over) await once(this, 'news')
  }
}

function sessionOf (id: string): SessionRecord {
  return {
    id,
    kind: 'streamable-http',
    owner: { issuer: 'i', subject: 's', clientId: 'c' },
    initialized: true,
    subscriptions: [],
    lastSeenAt: later(0),
    expiresAt: later(600)
  }
}

/** Every kind of call that reaches Redis. */
function callsOf (
  { clients, authorizations, grants, leases, bus, sessions, eventLog, ...stores }: Stores
): Record<string, Promise<unknown>> {
  return {
    check: stores.check(),
    'clients.find': clients.find('c'),
    'clients.takeExpired': clients.takeExpired(1),
    'authorizations.take': authorizations.take('a'),
    'grants.findAccessToken': grants.findAccessToken('access-1'),
    'grants.rotate': grants.rotate('refresh-1', tokensOf('grant-1', '2'), 60),
    'leases.acquire': leases.acquire('lease', 'holder', 1000),
    'bus.publish': bus.publish('grantEnded', { grantId: 'g' }),
    'sessions.create': sessions.create(sessionOf('late'), { perOwner: 10, perPerson: 10 }),
    'sessions.get': sessions.get('session-1'),
    'eventLog.append': eventLog.append('session-1', 'a', [{ data: 'late' }]),
    'eventLog.follow': eventLog.follow('session-1', 'a', firstEventId('a'), new Reader())
  }
}

async function allUnavailable (t: Test, stores: Stores, ms: number): Promise<void> {
  const began = Date.now()
  for (const [name, call] of Object.entries(callsOf(stores))) {
    const error = await call.then(() => undefined, (error: unknown) => error)
    t.ok(error instanceof TemporarilyUnavailableError, `${name} says so`)
    t.match(error, { retryAfterSeconds: 2, detail: /^Redis: ./ })
  }
  const took = Date.now() - began
  t.ok(took < ms, `all of them within ${ms} ms (${took})`)
}

redisTest('Redis stops, and starts again with what it kept', async (t, server) => {
  const [one, two] = await redisReplicas(t, server, { graceMs: 300 })
  if (one === undefined || two === undefined) throw new Error('There are no replicas.')
  const session = sessionOf('session-1')
  await one.sessions.create(session, { perOwner: 10, perPerson: 10 })
  await addGrant(one.grants, 'grant-1')
  await one.eventLog.open('session-1', 'a', { requestIds: [1] })
  const reader = new Reader()
  await two.eventLog.follow('session-1', 'a', firstEventId('a'), reader)
  await one.eventLog.append('session-1', 'a', [{ data: 'before' }])
  await reader.has(1)
  const heard: string[] = []
  one.bus.subscribe('grantEnded', ({ grantId }) => { heard.push(grantId) })

  await server.stop()
  await allUnavailable(t, one, 2000)
  t.same(heard, ['g'], 'a process hears its own messages all the same')
  await allUnavailable(t, one, 200)

  await server.start()
  await Promise.all([one, two].map(reachable))
  t.same(await two.sessions.get('session-1'), session)
  t.equal(await two.sessions.get('late'), undefined, 'what failed did not happen later')
  t.match(await two.grants.findRefreshToken('refresh-1'), { rotated: false, grant: { grantId: 'grant-1' } })
  t.equal(await two.leases.isHeld('lease'), false)
  await one.eventLog.append('session-1', 'a', [{ data: 'after', isKept: true, isFinal: true }])
  await reader.ended()
  t.same(reader.data, ['before', 'after'], 'who reads goes on where they were')
})

redisTest('Redis stops, and starts again with nothing', async (t, server) => {
  const [one, two] = await redisReplicas(t, server)
  if (one === undefined || two === undefined) throw new Error('There are no replicas.')
  await one.sessions.create(sessionOf('session-1'), { perOwner: 10, perPerson: 10 })
  await one.eventLog.open('session-1', 'a', {})
  const readers = [new Reader(), new Reader()] as const
  await one.eventLog.follow('session-1', 'a', firstEventId('a'), readers[0])
  await two.eventLog.follow('session-1', STANDALONE_STREAM, undefined, readers[1])
  await server.stop()
  server.forget()
  await server.start()
  await Promise.all([...readers.map(reader => reader.ended()), reachable(one), reachable(two)])
  t.equal(await one.sessions.get('session-1'), undefined)
  t.match(await one.eventLog.append('session-1', 'a', [{ data: 'too late' }]), { taken: 0, refusal: 'over' })
  await one.sessions.create(sessionOf('session-2'), { perOwner: 10, perPerson: 10 })
  t.ok(await two.sessions.get('session-2'), 'new sessions work')
})

redisTest('Redis does not answer', async (t, server) => {
  const [stores] = await redisReplicas(t, server, { commandTimeoutMs: 200, graceMs: 200 }, 1)
  if (stores === undefined) throw new Error('There is no replica.')
  server.signal('SIGSTOP')
  await allUnavailable(t, stores, 2000)
  server.signal('SIGCONT')
  await reachable(stores)
  t.equal(await stores.leases.acquire('another lease', 'holder', 1000), true)
})

redisTest('a connection that breaks runs nothing twice', async (t, server) => {
  const [stores] = await redisReplicas(t, server, {}, 1)
  const admin = server.admin(t)
  if (stores === undefined) throw new Error('There is no replica.')
  await stores.eventLog.open('s', 'a', {})
  const outcomes: boolean[] = []
  for (let round = 0; round < 5; round++) {
    const appends = Array.from(
      { length: 100 },
      (_, index) => stores.eventLog.append('s', 'a', [{ data: `${round}.${index}` }]).then(() => true, () => false)
    )
    await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    outcomes.push(...await Promise.all(appends))
  }
  await reachable(stores)
  const reader = new Reader()
  await stores.eventLog.append('s', 'a', [{ data: 'last', isKept: true, isFinal: true }])
  await stores.eventLog.follow('s', 'a', firstEventId('a'), reader)
  await reader.ended()
  t.equal(
    new Set(reader.data).size,
    reader.data.length,
    `of ${outcomes.length} events, ${outcomes.filter(done => !done).length} with an unknown end, none is there twice`
  )
  const order = reader.data.slice(0, -1).map(data => Number(data.split('.')[0]) * 1000 + Number(data.split('.')[1]))
  t.same(order, [...order].sort((a, b) => a - b), 'and they stand in the order they were made')
})

redisTest('calls before the connection is there wait for it, in their order', async (t, server) => {
  await server.stop()
  const stores = createRedisStores({ url: server.url, sessionIdleSeconds: 60, graceMs: 10_000 })
  t.teardown(() => stores.close())
  const reader = new Reader()
  const written = Array.from({ length: 100 }, (_, index) => String(index))
  void stores.eventLog.open('s', 'a', {})
  const appended = written.map((data, index) => stores.eventLog.append('s', 'a', [{ data, isFinal: index === 99 }]))
  const following = stores.eventLog.follow('s', 'a', firstEventId('a'), reader)
  await server.start()
  await Promise.all([...appended, following])
  t.same(reader.data, written)
  t.ok(reader.over)
})

redisTest('calls that waited in vain never happen', async (t, server) => {
  await server.stop()
  const stores = createRedisStores({ url: server.url, sessionIdleSeconds: 60, graceMs: 50 })
  t.teardown(() => stores.close())
  await t.rejects(stores.leases.acquire('lease', 'holder', 60_000), { name: 'TemporarilyUnavailableError' })
  await server.start()
  await reachable(stores)
  t.equal(await stores.leases.isHeld('lease'), false)
})

redisTest('closed stores', async (t, server) => {
  const stores = createRedisStores({ url: server.url, sessionIdleSeconds: 60 })
  const reader = new Reader()
  await stores.eventLog.follow('s', STANDALONE_STREAM, undefined, reader)
  const appended = stores.eventLog.append('s', STANDALONE_STREAM, [{ data: 'under way' }])
  await stores.close()
  await appended
  await t.rejects(stores.check(), { name: 'TemporarilyUnavailableError' })
  t.equal(reader.over, false, 'the stream has not ended, this process has')
  const admin = server.admin(t)
  t.equal(String(await admin.call('CLIENT', 'LIST')).trim().split('\n').length, 1, 'no connection is left')
  await stores.close()
})

redisTest('what is sent during an outage arrives', async (t, server) => {
  const [one, two] = await redisReplicas(t, server)
  const admin = server.admin(t)
  if (one === undefined || two === undefined) throw new Error('There are no replicas.')
  const reader = new Reader()
  await two.eventLog.follow('s', STANDALONE_STREAM, undefined, reader)
  const heard = new EventEmitter()
  const ids: string[] = []
  two.bus.subscribe('grantEnded', ({ grantId }) => {
    ids.push(grantId)
    heard.emit(grantId)
  })
  await two.check()
  for (let round = 0; round < 5; round++) {
    const last = once(heard, `${round}.2`)
    // nobody is subscribed now
    await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    for (const part of [0, 1, 2]) {
      await one.eventLog.append('s', STANDALONE_STREAM, [{ data: `${round}.${part}` }])
      await one.bus.publish('grantEnded', { grantId: `${round}.${part}` })
    }
    await Promise.all([last, reader.has(3 * (round + 1))])
  }
  const all = [0, 1, 2, 3, 4].flatMap(round => [0, 1, 2].map(part => `${round}.${part}`))
  t.same(reader.data, all)
  t.same(ids, all)
})

redisTest('messages that were dropped before they were read are noticed, once', async (t, server) => {
  const [one, two] = await redisReplicas(t, server)
  const admin = server.admin(t)
  if (one === undefined || two === undefined) throw new Error('There are no replicas.')
  const gaps = new EventEmitter()
  let count = 0
  two.bus.onGap(() => {
    count++
    gaps.emit('gap')
  })
  const heard = new EventEmitter()
  two.bus.subscribe('sessionEnded', ({ sessionId }) => { heard.emit(sessionId) })
  const hears = async (sessionId: string) => {
    const told = once(heard, sessionId)
    await one.bus.publish('sessionEnded', { sessionId })
    await told
  }
  // a subscription may take a moment
  const begun = once(heard, 'begin')
  const begin = setInterval(() => { void one.bus.publish('sessionEnded', { sessionId: 'begin' }) }, 20)
  await begun
  clearInterval(begin)
  t.equal(count, 0)
  await one.bus.publish('sessionChanged', { sessionId: 's', origin: 'r', version: 1 })
  for (const [round, channel] of ['{bus}:control', '{bus}'].entries()) {
    const gap = once(gaps, 'gap')
    const [state = ''] = (await admin.keys(`*${channel}:state`)).filter(key => key.endsWith(`:${channel}:state`))
    const droppedAt = Date.now() + 5
    await admin.hset(state, 'dropped', `${droppedAt}-0`, 'last', `${droppedAt}-0`)
    await gap
    // what comes next is newer
    while (Date.now() <= droppedAt) await turn()
    await hears(`after ${round}`)
    t.equal(count, round + 1)
  }
})

redisTest('who may not listen at all reads now and then', async (t, server) => {
  const admin = server.admin(t)
  await admin.call('ACL', 'SETUSER', 'deaf', 'on', '>secret', '~*', '+@all', 'resetchannels')
  const errors = new EventEmitter()
  const told = once(errors, 'told')
  const [stores] = await redisReplicas(t, server, {
    url: server.url.replace('//', '//deaf:secret@'),
    keyPrefix: 'deaf',
    eventLog: { rereadSeconds: 0.05 },
    onError: error => {
      errors.emit('told', error)
    }
  }, 1)
  if (stores === undefined) throw new Error('There is no replica.')
  const reader = new Reader()
  await stores.eventLog.follow('s', STANDALONE_STREAM, undefined, reader)
  t.match((await told)[0], { message: /NOPERM/ })
  const [other] = await redisReplicas(t, server, { keyPrefix: 'deaf' }, 1)
  const heard = new Promise(resolve => { stores.bus.subscribe('grantEnded', resolve) })
  await stores.check()
  await other?.bus.publish('grantEnded', { grantId: 'g' })
  t.same(await heard, { grantId: 'g' })
  const ended = new Promise(resolve => { other?.bus.subscribe('sessionEnded', resolve) })
  await stores.sessions.create(sessionOf('of-the-deaf'), { perOwner: 1000, perPerson: 1000 })
  t.equal(await stores.sessions.change('of-the-deaf', { initialized: true }, 'r'), 1)
  t.equal(await stores.sessions.delete('of-the-deaf'), true)
  t.same(await ended, { sessionId: 'of-the-deaf' }, 'who may not publish is read now and then')
  const writer = server.admin(t)
  const [key] = (await writer.keys('*:log:{s}:stream:get')).map(key => key.replace(':stream:', ':events:'))
  await writer.xadd(key ?? '', '*', 'data', 'unheard')
  t.same((await reader.has(1)).data, ['unheard'])
})
