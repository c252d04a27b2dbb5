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
import { announcementsContract } from './announcements-contract.js'
import { authorizationStoreContract } from './authorization-store-contract.js'
import { ManualClock, type Replicas } from './backend.js'
import { busContract } from './bus-contract.js'
import { callLimitsContract } from './call-limits-contract.js'
import { consentStoreContract } from './consent-store-contract.js'
import { eventLogContract } from './event-log-contract.js'
import { grantStoreContract } from './grant-store-contract.js'
import { leaseStoreContract } from './lease-store-contract.js'
import { metadataDocumentStoreContract } from './metadata-document-store-contract.js'
import { rateCountersContract } from './rate-counters-contract.js'
import { recentLogContract } from './recent-log-contract.js'
import { registrationStoreContract } from './registration-store-contract.js'
import { sessionStoreContract } from './session-store-contract.js'
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
