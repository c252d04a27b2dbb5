import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createSqliteStores } from '../../src/stores/sqlite/stores.js'
import { MemoryBus } from '../../src/stores/memory/bus.js'
import { MemoryEventLog } from '../../src/stores/memory/event-log.js'
import type { MetadataDocumentRecord } from '../../src/stores/metadata-documents.js'
import type { ConsentRecord } from '../../src/stores/consents.js'
import type { ClientRecord } from '../../src/stores/registrations.js'
import { KeptConsents } from '../../src/stores/rules/consents.js'
import { KeptMetadataDocuments } from '../../src/stores/rules/metadata-documents.js'
import { SqliteAuthorizationTransactionStore } from '../../src/stores/sqlite/authorizations.js'
import { SqliteCallLimitStore } from '../../src/stores/sqlite/call-limits.js'
import type { SqliteDatabase } from '../../src/stores/sqlite/database/database.js'
import { ExpiringTable } from '../../src/stores/sqlite/database/expiring-table.js'
import { openDatabase } from '../../src/stores/sqlite/database/open.js'
import { SqliteGrantStore } from '../../src/stores/sqlite/grants.js'
import { jsonOf } from '../../src/stores/sqlite/json.js'
import { SqliteLeaseStore } from '../../src/stores/sqlite/leases.js'
import { SqliteRecentLog } from '../../src/stores/sqlite/recent-log.js'
import { SqliteRegistrationStore } from '../../src/stores/sqlite/registrations.js'
import { SqliteSessionStore } from '../../src/stores/sqlite/sessions.js'
import { SqliteTaskRecords } from '../../src/stores/sqlite/tasks.js'
import { SqliteUpstreamDeletionQueue } from '../../src/stores/sqlite/upstream-deletions.js'
import { Sweeper } from '../../src/stores/sqlite/database/sweeper.js'
import { leaseNames } from '../../src/stores/leases.js'
import { announcementsContract } from './announcements-contract.js'
import { authorizationStoreContract } from './authorization-store-contract.js'
import { ManualClock, type Replicas } from './backend.js'
import { busContract } from './bus-contract.js'
import { callLimitsContract } from './call-limits-contract.js'
import { consentStoreContract } from './consent-store-contract.js'
import { eventLogContract } from './event-log-contract.js'
import { fullSessionStores } from './full-session-stores.js'
import { grantStoreContract } from './grant-store-contract.js'
import { leaseStoreContract } from './lease-store-contract.js'
import { metadataDocumentStoreContract } from './metadata-document-store-contract.js'
import { rateCountersContract } from './rate-counters-contract.js'
import { recentLogContract } from './recent-log-contract.js'
import { registrationStoreContract } from './registration-store-contract.js'
import { sessionStoreContract } from './session-store-contract.js'
import { addGrant } from './standing-grant.js'
import { taskStoreContract } from './task-store-contract.js'
import { upstreamDeletionQueueContract } from './upstream-deletion-queue-contract.js'

let files = 0

/** One process, whose time the test has in its hands, with a file of its own. */
function one<S> (
  t: Test,
  make: (database: SqliteDatabase, clock: { now: () => number }) => S & { close?: () => void }
): Replicas<S> {
  const clock = new ManualClock()
  const database = openDatabase({ file: join(t.testdir({}), `${++files}.sqlite`) })
  const store = make(database, { now: clock.now })
  t.teardown(() => {
    store.close?.()
    database.close()
  })
  return { replicas: [store], clock }
}

t.test('sessions', t =>
  sessionStoreContract(t, async (t, options) =>
    one(t, (database, clock) => new SqliteSessionStore(database, { ...options, ...clock }))))
t.test('full session stores', t =>
  fullSessionStores(t, async (t, options) =>
    one(t, (database, clock) => new SqliteSessionStore(database, { ...options, ...clock }))))
t.test('registrations', t =>
  registrationStoreContract(t, async (t, options) =>
    one(t, (database, clock) =>
      new SqliteRegistrationStore<ClientRecord>(database, 'clients', { ...options, ...clock }))))
t.test('deletions upstream', t =>
  upstreamDeletionQueueContract(t, async t =>
    one(t, (database, clock) => new SqliteUpstreamDeletionQueue(database, clock))))
t.test('authorizations', t =>
  authorizationStoreContract(t, async (t, options) =>
    one(t, (database, clock) => new SqliteAuthorizationTransactionStore(database, { ...options, ...clock }))))
t.test('consents', t =>
  consentStoreContract(t, async t =>
    one(t, (database, clock) => {
      const persons = { name: 'consents' as const, codec: jsonOf<ConsentRecord[]>(), ...clock }
      return new KeptConsents(new ExpiringTable(database, persons), clock.now)
    })))
t.test('grants', t =>
  grantStoreContract(t, async t => one(t, (database, clock) => new SqliteGrantStore(database, clock))))
t.test('recent logs', t =>
  recentLogContract(t, async (t, options) =>
    one(t, (database, clock) => new SqliteRecentLog(database, 'login_steps', { ...options, ...clock }))))
t.test('metadata documents', t =>
  metadataDocumentStoreContract(t, async (t, options) =>
    one(t, (database, clock) => {
      const documents = { name: 'metadata_documents' as const, codec: jsonOf<MetadataDocumentRecord>() }
      return new KeptMetadataDocuments(new ExpiringTable(database, { ...documents, ...options, ...clock }))
    })))
t.test('limits of calls', t =>
  callLimitsContract(t, async t => one(t, (database, clock) => new SqliteCallLimitStore(database, clock))))
t.test('leases', t =>
  leaseStoreContract(t, async t => one(t, (database, clock) => new SqliteLeaseStore(database, clock))))
t.test('tasks', t =>
  taskStoreContract(t, async (t, options) =>
    one(t, (database, clock) => new SqliteTaskRecords(database, { ...options, ...clock }))))
t.test('what the stores announce, and those that are in memory', async t => {
  const stores = createSqliteStores({ file: join(t.testdir({}), 'state.sqlite'), sessionIdleSeconds: 60 })
  t.teardown(() => stores.close())
  await announcementsContract(t, [stores])
  t.ok(stores.bus instanceof MemoryBus)
  t.ok(stores.eventLog instanceof MemoryEventLog)
  await t.test('bus', t => busContract(t, async () => ({ replicas: [stores.bus], clock: new ManualClock() })))
  await t.test('event log', t =>
    eventLogContract(t, async (t, options) =>
      one(t, (_database, clock) => new MemoryEventLog({ ...options, ...clock }))))
  await t.test('rates', t =>
    rateCountersContract(t, async t => {
      const own = createSqliteStores({ file: join(t.testdir({}), 'rates.sqlite'), sessionIdleSeconds: 60 })
      t.teardown(() => own.close())
      return { replicas: [own.rates], clock: { now: Date.now, async pass () {} } }
    }))
})

t.test('used client assertions outlive who has used them', async t => {
  const { replicas: [store], clock } = one(t, (database, clock) =>
    new SqliteLeaseStore(database, { ...clock, maxEntries: 2 }))
  const name = leaseNames.clientAssertion
  t.ok(await store.acquire(name('a'), 'one', 10_000))
  t.notOk(await store.acquire(name('a'), 'two', 10_000))
  t.ok(await store.acquire(name('b'), 'two', 60_000))
  await t.rejects(store.acquire(name('c'), 'two', 10_000), { code: 'temporarily_unavailable' }, 'none is forgotten')
  t.ok(await store.isHeld(name('a')))
  await store.release(name('a'), 'two')
  t.ok(await store.isHeld(name('a')))
  await clock.pass(11)
  t.notOk(await store.isHeld(name('a')))
  t.ok(await store.acquire(name('a'), 'two', 10_000))
  await store.release(name('a'), 'two')
  t.ok(await store.acquire(name('c'), 'two', 10_000))
})

t.test('beyond their bounds, the oldest codes and grants go, and who goes is told', async t => {
  const bus = new MemoryBus()
  const database = openDatabase({ file: join(t.testdir({}), 'state.sqlite') })
  t.teardown(() => { database.close() })
  const grants = new SqliteGrantStore(database, { maxEntries: 3, bus })
  const ended: string[] = []
  bus.subscribe('grantEnded', ({ grantId }) => { ended.push(grantId) })
  for (let index = 0; index < 5; index++) await addGrant(grants, `grant-${index}`, `person-${index}`, String(index))
  t.strictSame(ended, ['grant-0', 'grant-1'])
  const found = await Promise.all([0, 1, 2, 3, 4].map(async index => [
    await grants.findCode(`code-${index}`) !== undefined,
    await grants.findAccessToken(`access-${index}`) !== undefined,
    await grants.findRefreshToken(`refresh-${index}`) !== undefined
  ]))
  t.strictSame(found, [false, false, true, true, true].map(one => [one, one, one]))
  for (const table of ['codes', 'grants', 'access_tokens', 'refresh_tokens']) {
    t.same(database.query(`SELECT count(*) AS rows FROM ${table}`)(), [{ rows: 3 }], table)
  }
})

t.test('what is over is deleted some in each turn, with all that belongs to it, and what was counted', async t => {
  const clock = new ManualClock()
  const database = openDatabase({ file: join(t.testdir({}), 'state.sqlite') })
  const sweeper = new Sweeper(database, clock.now)
  t.teardown(() => {
    sweeper.close()
    database.close()
  })
  const sessions = new SqliteSessionStore(database, { idleSeconds: 60, now: clock.now })
  const tasks = new SqliteTaskRecords(database, { now: clock.now })
  const now = clock.now() / 1000
  const record = (subject: string) => ({
    id: `of-${subject}`,
    kind: 'streamable-http' as const,
    owner: { issuer: 'i', subject, clientId: 'c' },
    initialized: true,
    subscriptions: [],
    lastSeenAt: now,
    expiresAt: now + 600
  })
  for (let index = 0; index < 450; index++) await sessions.create(record(`p${index}`), { perOwner: 1, perPerson: 1 })
  await tasks.create('holder', { id: 'task', ttl: 1000, pollInterval: 1 })
  await tasks.enqueue('holder', 'task', 'message')
  await clock.pass(61)
  const rows = () => database.query<{ rows: number }>('SELECT count(*) AS rows FROM sessions')()[0]?.rows ?? 0
  t.equal(await sessions.get('of-p449'), undefined, 'nobody finds what is over')
  const swept = sweeper.sweep()
  t.equal(rows(), 350, 'in one turn')
  await swept
  t.equal(rows(), 0)
  for (const table of ['tasks', 'task_messages', 'counts']) {
    t.same(database.query(`SELECT count(*) AS rows FROM ${table}`)(), [{ rows: 0 }], table)
  }
  t.same(database.query('SELECT entries FROM totals WHERE entries <> 0 OR bytes <> 0')(), [])
})
