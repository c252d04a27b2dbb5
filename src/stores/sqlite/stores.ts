import { checkOptions } from '../../validation/check.js'
import { STEP_BOUNDS, VISIT_BOUNDS, type LoginStepRecord, type LoginVisitRecord } from '../attempts.js'
import type { ConsentRecord } from '../consents.js'
import { MemoryBus } from '../memory/bus.js'
import { MemoryEventLog } from '../memory/event-log.js'
import { MemoryRateCounters } from '../memory/rate-counters.js'
import { MemoryRecentLog } from '../memory/recent-log.js'
import { MAX_METADATA_DOCUMENTS, type MetadataDocumentRecord } from '../metadata-documents.js'
import { sqliteStoresOptions, type MemoryStoresOptions, type SqliteStoresOptions } from '../options.js'
import type { ClientRecord, UpstreamClientRecord } from '../registrations.js'
import { KeptConsents } from '../rules/consents.js'
import { KeptMetadataDocuments } from '../rules/metadata-documents.js'
import { REPLICA_KEYS_BOUNDS, type ReplicaKeysRecord, type Stores } from '../stores.js'
import { SqliteAuthorizationTransactionStore } from './authorizations.js'
import { SqliteCallLimitStore } from './call-limits.js'
import type { SqliteDatabase } from './database/database.js'
import { toConfigError } from './database/errors.js'
import { ExpiringTable } from './database/expiring-table.js'
import { openDatabase } from './database/open.js'
import { Sweeper } from './database/sweeper.js'
import { SqliteGrantStore } from './grants.js'
import { jsonOf } from './json.js'
import { SqliteLeaseStore } from './leases.js'
import { SqliteRecentLog } from './recent-log.js'
import { SqliteRegistrationStore } from './registrations.js'
import { SqliteSessionStore } from './sessions.js'
import { SqliteTaskRecords } from './tasks.js'
import { SqliteUpstreamDeletionQueue } from './upstream-deletions.js'

/**
 * Stores of a single process, in one SQLite file that it has for itself: a restart, or `kill -9`, loses nothing that
 * was answered. What can only be of use to the process that has written it is in memory: messages between its parts,
 * the events of streams, leases, and counters of the last minute. Close them after the app.
 * @throws {ConfigError} with one line that names the option, or says why the file cannot be used
 * @example
 * ```ts
 * import Fastify from 'fastify'
 * import { createSqliteStores, mcpService } from 'fastify-mcp-oauth'
 * import { options } from './options.js'
 *
 * const app = Fastify()
 * const stores = createSqliteStores({ file: '/data/state.sqlite', sessionIdleSeconds: 3600 })
 * app.addHook('onClose', () => stores.close())
 * await app.register(mcpService, { ...options, stores })
 * ```
 */
export function createSqliteStores (options: SqliteStoresOptions): Stores {
  checkOptions('createSqliteStores', sqliteStoresOptions, options)
  const { file, fullSync, ...rest } = options
  const database = openDatabase({ file, ...fullSync !== undefined && { fullSync } })
  try {
    return createStores(database, rest)
  } catch (error) {
    database.close()
    throw toConfigError(database.file, error)
  }
}

function createStores (
  database: SqliteDatabase,
  { sessionIdleSeconds, maxSessions, eventLog: eventLogOptions, loginSteps = STEP_BOUNDS }: MemoryStoresOptions
): Stores {
  const bus = new MemoryBus()
  const sessions = new SqliteSessionStore(database, { bus, idleSeconds: sessionIdleSeconds, maxSessions })
  sessions.beginAgain()
  const eventLog = new MemoryEventLog(eventLogOptions)
  const leases = new SqliteLeaseStore(database)
  const callLimits = new SqliteCallLimitStore(database)
  const sweeper = new Sweeper(database)
  return {
    clients: new SqliteRegistrationStore<ClientRecord>(database, 'clients'),
    upstreamClients: new SqliteRegistrationStore<UpstreamClientRecord>(database, 'upstream_clients'),
    upstreamDeletions: new SqliteUpstreamDeletionQueue(database),
    metadataDocuments: new KeptMetadataDocuments(
      new ExpiringTable(database, {
        name: 'metadata_documents',
        codec: jsonOf<MetadataDocumentRecord>(),
        maxEntries: MAX_METADATA_DOCUMENTS
      })
    ),
    authorizations: new SqliteAuthorizationTransactionStore(database),
    consents: new KeptConsents(new ExpiringTable(database, { name: 'consents', codec: jsonOf<ConsentRecord[]>() })),
    grants: new SqliteGrantStore(database, { bus }),
    loginSteps: new SqliteRecentLog<LoginStepRecord>(database, 'login_steps', loginSteps),
    visits: new SqliteRecentLog<LoginVisitRecord>(database, 'login_visits', VISIT_BOUNDS),
    rates: new MemoryRateCounters(),
    leases,
    callLimits,
    bus,
    sessions,
    eventLog,
    tasks: new SqliteTaskRecords(database, { bus }),
    replicaKeys: new MemoryRecentLog<ReplicaKeysRecord>(REPLICA_KEYS_BOUNDS),
    async check () { database.check() },
    async close () {
      for (const store of [sweeper, eventLog, leases, callLimits, database]) store.close()
    }
  }
}
