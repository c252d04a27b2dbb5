import { mock } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { announcementsContract } from './announcements-contract.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import t, { type Test } from 'tap'
import { STANDALONE_STREAM, firstEventId } from '../../src/stores/event-log.js'
import { MemoryAuthorizationTransactionStore } from '../../src/stores/memory/authorizations.js'
import { MemoryBus } from '../../src/stores/memory/bus.js'
import { MemoryConsentStore } from '../../src/stores/memory/consents.js'
import { MemoryEventLog } from '../../src/stores/memory/event-log.js'
import { MemoryGrantStore } from '../../src/stores/memory/grants.js'
import { MemoryLeaseStore } from '../../src/stores/memory/leases.js'
import { MemoryMetadataDocumentStore } from '../../src/stores/memory/metadata-documents.js'
import { MemoryCallLimitStore } from '../../src/stores/memory/call-limits.js'
import { MemoryRateCounters } from '../../src/stores/memory/rate-counters.js'
import { MemoryRecentLog } from '../../src/stores/memory/recent-log.js'
import { MemoryRegistrationStore } from '../../src/stores/memory/registrations.js'
import { MemorySessionStore } from '../../src/stores/memory/sessions.js'
import { MemoryTaskRecords } from '../../src/stores/memory/tasks.js'
import { MemoryUpstreamDeletionQueue } from '../../src/stores/memory/upstream-deletions.js'
import type { ClientRecord } from '../../src/stores/registrations.js'
import { authorizationStoreContract } from './authorization-store-contract.js'
import { ManualClock, type Replicas } from './backend.js'
import { busContract } from './bus-contract.js'
import { consentStoreContract } from './consent-store-contract.js'
import { eventLogContract } from './event-log-contract.js'
import { fullSessionStores } from './full-session-stores.js'
import { grantStoreContract } from './grant-store-contract.js'
import { leaseStoreContract } from './lease-store-contract.js'
import { metadataDocumentStoreContract } from './metadata-document-store-contract.js'
import { callLimitsContract } from './call-limits-contract.js'
import { rateCountersContract } from './rate-counters-contract.js'
import { recentLogContract } from './recent-log-contract.js'
import { registrationStoreContract } from './registration-store-contract.js'
import { sessionStoreContract } from './session-store-contract.js'
import { taskStoreContract } from './task-store-contract.js'
import { upstreamDeletionQueueContract } from './upstream-deletion-queue-contract.js'

/** One process, whose time the test has in its hands. */
function one<S> (t: Test, make: (clock: { now: () => number }) => S & { close?: () => void }): Replicas<S> {
  const clock = new ManualClock()
  const store = make({ now: clock.now })
  t.teardown(() => store.close?.())
  return { replicas: [store], clock }
}

t.test('sessions', t =>
  sessionStoreContract(t, async (t, options) => one(t, clock => new MemorySessionStore({ ...options, ...clock }))))
t.test('event log', t =>
  eventLogContract(t, async (t, options) => one(t, clock => new MemoryEventLog({ ...options, ...clock }))))
t.test('registrations', t =>
  registrationStoreContract(
    t,
    async (t, options) => one(t, clock => new MemoryRegistrationStore<ClientRecord>({ ...options, ...clock }))
  ))
t.test('deletions upstream', t =>
  upstreamDeletionQueueContract(t, async t => one(t, clock => new MemoryUpstreamDeletionQueue(clock))))
t.test('authorizations', t =>
  authorizationStoreContract(
    t,
    async (t, options) => one(t, clock => new MemoryAuthorizationTransactionStore({ ...options, ...clock }))
  ))
t.test('consents', t => consentStoreContract(t, async t => one(t, clock => new MemoryConsentStore(clock))))
t.test('grants', t => grantStoreContract(t, async t => one(t, clock => new MemoryGrantStore(clock))))
t.test('recent logs', t =>
  recentLogContract(t, async (t, options) => one(t, clock => new MemoryRecentLog({ ...options, ...clock }))))
t.test('metadata documents', t =>
  metadataDocumentStoreContract(
    t,
    async (t, options) => one(t, clock => new MemoryMetadataDocumentStore({ ...options, ...clock }))
  ))
t.test('rates', t => rateCountersContract(t, async t => one(t, clock => new MemoryRateCounters(clock))))
t.test('limits of calls', t => callLimitsContract(t, async t => one(t, clock => new MemoryCallLimitStore(clock))))
t.test('leases', t => leaseStoreContract(t, async t => one(t, clock => new MemoryLeaseStore(clock))))
t.test('what the stores announce', async t => {
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  t.teardown(() => stores.close())
  await announcementsContract(t, [stores])
})
t.test('tasks', t =>
  taskStoreContract(t, async (t, options) => one(t, clock => new MemoryTaskRecords({ ...options, ...clock }))))
t.test('bus', t => busContract(t, async t => one(t, () => new MemoryBus())))

t.test('a full lease store forgets none, and has room again when some have ended', async t => {
  const clock = new ManualClock()
  const store = new MemoryLeaseStore({ maxEntries: 2, now: clock.now })
  t.teardown(() => { store.close() })
  t.ok(await store.acquire('a', 'holder', 1000))
  t.ok(await store.acquire('b', 'holder', 60_000))
  await t.rejects(store.acquire('c', 'holder', 1000), { code: 'temporarily_unavailable' })
  t.ok(await store.acquire('a', 'holder', 1000), 'it may be renewed')
  t.notOk(await store.acquire('b', 'other', 1000))
  await clock.pass(2)
  t.ok(await store.acquire('c', 'holder', 1000))
})

t.test('full session stores', t =>
  fullSessionStores(t, async (t, options) => one(t, clock => new MemorySessionStore({ ...options, ...clock }))))

t.test('the event log of all sessions is bounded', async t => {
  const log = new MemoryEventLog({ maxBytes: 10_000, maxBytesPerStream: 4000, maxBytesPerSession: 6000 })
  t.teardown(() => log.close())
  const read = async (sessionId: string, streamId: string) => {
    let bytes = 0
    const following = await log.follow(sessionId, streamId, firstEventId(streamId), {
      onEvent: ({ data }) => {
        bytes += data.length
      },
      onEnd () {}
    })
    following?.stop()
    return following === undefined ? undefined : bytes
  }
  for (let stream = 0; stream < 5; stream++) {
    await log.open('greedy', `s${stream}`, {})
    for (let event = 0; event < 10; event++) {
      await log.append('greedy', `s${stream}`, [{ data: 'x'.repeat(500), isFinal: event === 9 }])
    }
  }
  t.equal(log.bytes, 4000, 'a session pays for itself, with its oldest answers')
  t.same(await Promise.all(['s3', 's4'].map(stream => read('greedy', stream))), [undefined, 4000])

  for (let session = 0; session < 10; session++) {
    await log.open(`session-${session}`, 'a', {})
    for (let event = 0; event < 10; event++) await log.append(`session-${session}`, 'a', [{ data: 'x'.repeat(500) }])
  }
  t.ok(log.bytes <= 10_000 + 10 * 500, 'besides the newest event of each stream, although nothing is complete')
  t.equal(await read('greedy', 's4'), undefined, 'the oldest complete stream went first')
  t.equal(await read('session-0', 'a'), 4000, 'what others still write stays')
  t.equal(await read('session-9', 'a'), 500, 'who comes last keeps the newest event')
})

t.test('what has grown old in the event log is dropped some at a time', async t => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => { mock.timers.reset() })
  const clock = new ManualClock()
  const log = new MemoryEventLog({ now: clock.now })
  t.teardown(() => log.close())
  const count = 1000
  for (let index = 0; index < count; index++) {
    await log.append(`session-${index}`, STANDALONE_STREAM, [{ data: 'x' }])
    await log.open(`session-${index}`, 'call', {})
    await log.append(`session-${index}`, 'call', [{ data: 'x', isFinal: true }])
  }
  t.equal(log.bytes, 2 * count)
  await clock.pass(301)
  mock.timers.tick(30_000)
  t.ok(log.bytes >= 2 * count - 250, `${2 * count - log.bytes} of ${2 * count} in one turn`)
  while (log.bytes > 0) await turn()
})

t.test('tasks that expire together are dropped some at a time, whoever comes then', async t => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => { mock.timers.reset() })
  const clock = new ManualClock()
  const store = new MemoryTaskRecords({ now: clock.now, max: 2000, maxBytes: 2000 })
  t.teardown(() => { store.close() })
  const create = (holder: string, id: string, ttl = 60_000) => store.create(holder, { id, ttl, pollInterval: 1000 })
  for (let index = 0; index < 2000; index++) {
    await create(`holder-${index}`, `task-${index}`, index + 1)
    await store.enqueue(`holder-${index}`, `task-${index}`, 'x')
  }
  t.equal(await create('late', 'full'), undefined)
  await clock.pass(3)
  t.ok(await create('late', 'task'), 'what has expired makes room')
  t.equal(await store.enqueue('late', 'task', 'x'), 'done')
  t.equal(store.size, 1751)
  t.equal(await store.get('holder-1999', 'task-1999'), undefined, 'and is gone, dropped or not')
  t.strictSame((await store.list('holder-1998', 0, 10)).tasks, [])
  t.equal(await store.change('holder-1997', 'task-1997', { status: 'completed' }), 'unknown')
  t.equal(store.size, 1748)
  mock.timers.tick(1000)
  t.equal(store.size, 1498)
  while (store.size > 1) await turn()
  t.equal(await store.enqueue('late', 'task', 'x'.repeat(1999)), 'done', 'so do its bytes')
})

t.test('sessions that end together are dropped some at a time, whoever comes then', async t => {
  const clock = new ManualClock()
  const store = new MemorySessionStore({ idleSeconds: 60, now: clock.now })
  t.teardown(() => store.close())
  const create = (id: string) => {
    const now = clock.now() / 1000
    const owner = { issuer: 'i', subject: id, clientId: 'c' }
    return store.create({
      id,
      kind: 'streamable-http',
      owner,
      initialized: true,
      subscriptions: [],
      lastSeenAt: now,
      expiresAt: now + 600
    }, { perOwner: 10, perPerson: 10 })
  }
  const count = 5000
  for (let index = 0; index < count; index++) await create(`s${index}`)
  await clock.pass(61)
  await create('late')
  t.equal(store.size, count - 2000 + 1)
  t.equal(await store.get('s4999'), undefined, 'nobody finds those that are left')
})
