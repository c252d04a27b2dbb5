import { STEP_BOUNDS, VISIT_BOUNDS, type LoginStepRecord, type LoginVisitRecord } from '../attempts.js'
import type { ClientRecord, UpstreamClientRecord } from '../registrations.js'
import { REPLICA_KEYS_BOUNDS, type ReplicaKeysRecord, type Stores } from '../stores.js'
import { checkOptions } from '../../validation/check.js'
import { memoryStoresOptions, type MemoryStoresOptions } from '../options.js'
import { MemoryAuthorizationTransactionStore } from './authorizations.js'
import { MemoryBus } from './bus.js'
import { MemoryCallLimitStore } from './call-limits.js'
import { MemoryConsentStore } from './consents.js'
import { MemoryEventLog } from './event-log.js'
import { MemoryGrantStore } from './grants.js'
import { MemoryLeaseStore } from './leases.js'
import { MemoryMetadataDocumentStore } from './metadata-documents.js'
import { MemoryRateCounters } from './rate-counters.js'
import { MemoryRecentLog } from './recent-log.js'
import { MemoryRegistrationStore } from './registrations.js'
import { MemorySessionStore } from './sessions.js'
import { MemoryTaskRecords } from './tasks.js'
import { MemoryUpstreamDeletionQueue } from './upstream-deletions.js'

/**
 * Stores of a single process: everything is lost when it ends. Close them after the app.
 * @throws {ConfigError} with one line that names the option
 * @example
 * ```ts
 * import Fastify from 'fastify'
 * import { createMemoryStores, mcpService } from 'fastify-mcp-oauth'
 * import { options } from './options.js'
 *
 * const app = Fastify()
 * const stores = createMemoryStores({ sessionIdleSeconds: 3600 })
 * app.addHook('onClose', () => stores.close())
 * await app.register(mcpService, { ...options, stores })
 * ```
 */
export function createMemoryStores (options: MemoryStoresOptions): Stores {
  checkOptions('createMemoryStores', memoryStoresOptions, options)
  const { sessionIdleSeconds, maxSessions, eventLog: eventLogOptions = {}, loginSteps = STEP_BOUNDS } = options
  const authorizations = new MemoryAuthorizationTransactionStore()
  const metadataDocuments = new MemoryMetadataDocumentStore()
  const consents = new MemoryConsentStore()
  const bus = new MemoryBus()
  const grants = new MemoryGrantStore({ bus })
  const sessions = new MemorySessionStore({
    bus,
    idleSeconds: sessionIdleSeconds,
    ...maxSessions !== undefined && { maxSessions }
  })
  const eventLog = new MemoryEventLog(eventLogOptions)
  const tasks = new MemoryTaskRecords({ bus })
  const leases = new MemoryLeaseStore()
  const callLimits = new MemoryCallLimitStore()
  return {
    clients: new MemoryRegistrationStore<ClientRecord>(),
    upstreamClients: new MemoryRegistrationStore<UpstreamClientRecord>(),
    upstreamDeletions: new MemoryUpstreamDeletionQueue(),
    metadataDocuments,
    authorizations,
    consents,
    grants,
    loginSteps: new MemoryRecentLog<LoginStepRecord>(loginSteps),
    visits: new MemoryRecentLog<LoginVisitRecord>(VISIT_BOUNDS),
    rates: new MemoryRateCounters(),
    leases,
    callLimits,
    bus,
    sessions,
    eventLog,
    tasks,
    replicaKeys: new MemoryRecentLog<ReplicaKeysRecord>(REPLICA_KEYS_BOUNDS),
    async check () {},
    async close () {
      for (
        const store of [
          metadataDocuments,
          authorizations,
          consents,
          grants,
          sessions,
          eventLog,
          tasks,
          leases,
          callLimits
        ]
      ) store.close()
    }
  }
}
