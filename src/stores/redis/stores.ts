import { checkOptions } from '../../validation/check.js'
import { redisStoresOptions, type RedisStoresOptions } from '../options.js'
import { STEP_BOUNDS, VISIT_BOUNDS, type LoginStepRecord, type LoginVisitRecord } from '../attempts.js'
import { REGISTRATION_BOUNDS, type ClientRecord, type UpstreamClientRecord } from '../registrations.js'
import { REPLICA_KEYS_BOUNDS, type ReplicaKeysRecord, type Stores } from '../stores.js'
import { AUTHORIZATION_BOUNDS } from '../authorizations.js'
import { RedisAuthorizationTransactionStore } from './authorizations.js'
import { RedisBus } from './bus/bus.js'
import { RedisCallLimitStore } from './call-limits.js'
import { RedisConnection } from './connection/connection.js'
import { RedisConsentStore } from './consents.js'
import { RedisEventLog } from './event-log.js'
import { RedisGrantStore } from './grants.js'
import { DEFAULT_KEY_PREFIX, KeyMaker } from './keys.js'
import { RedisLeaseStore } from './leases.js'
import { RedisMetadataDocumentStore } from './metadata-documents.js'
import { RedisRateCounters } from './rate-counters.js'
import { RedisRecentLog } from './recent-log.js'
import { MAX_REGISTRATIONS, RedisRegistrationStore } from './registrations.js'
import { RedisSessionStore } from './sessions.js'
import { RedisTaskRecords } from './tasks.js'
import { RedisSubscriber } from './connection/subscriber.js'
import { RedisUpstreamDeletionQueue } from './upstream-deletions.js'

/**
 * Stores that all replicas share, over two connections: one for commands, one that listens. It connects by itself;
 * `check` rejects as long as Redis cannot be reached. Close them after the app.
 * @throws {ConfigError} with one line that names the option
 * @example
 * ```ts
 * import Fastify from 'fastify'
 * import { createRedisStores, mcpService } from 'fastify-mcp-oauth'
 * import { options } from './options.js'
 *
 * const app = Fastify()
 * const stores = createRedisStores({ url: 'rediss://redis.example.com:6379', sessionIdleSeconds: 3600 })
 * app.addHook('onClose', () => stores.close())
 * await app.register(mcpService, { ...options, stores })
 * ```
 */
export function createRedisStores (given: RedisStoresOptions): Stores {
  checkOptions('createRedisStores', redisStoresOptions, given)
  const {
    keyPrefix = DEFAULT_KEY_PREFIX,
    sessionIdleSeconds,
    maxSessions,
    eventLog: eventLogOptions,
    bus: busOptions,
    loginSteps = STEP_BOUNDS,
    maxRegistrations = MAX_REGISTRATIONS,
    registrationBounds = REGISTRATION_BOUNDS,
    maxMetadataDocuments, authorizationBounds = AUTHORIZATION_BOUNDS, taskBounds = {}, ...options
  } = given
  const keys = new KeyMaker(keyPrefix)
  const connection = new RedisConnection(options)
  const subscriber = new RedisSubscriber(options, () => connection.nodeUrls)
  const eventLog = new RedisEventLog(connection, subscriber, keys, {
    openSeconds: sessionIdleSeconds,
    ...eventLogOptions
  })
  const bus = new RedisBus(connection, subscriber, keys, busOptions)
  return {
    clients: new RedisRegistrationStore<ClientRecord>(connection, keys, 'client', {
      maxRegistrations,
      registrationBounds
    }),
    upstreamClients: new RedisRegistrationStore<UpstreamClientRecord>(connection, keys, 'upstream-client', {
      maxRegistrations,
      registrationBounds
    }),
    upstreamDeletions: new RedisUpstreamDeletionQueue(connection, keys),
    metadataDocuments: new RedisMetadataDocumentStore(connection, keys, maxMetadataDocuments),
    authorizations: new RedisAuthorizationTransactionStore(connection, keys, authorizationBounds),
    consents: new RedisConsentStore(connection, keys),
    grants: new RedisGrantStore(connection, keys, bus),
    loginSteps: new RedisRecentLog<LoginStepRecord>(connection, keys, 'loginSteps', loginSteps),
    visits: new RedisRecentLog<LoginVisitRecord>(connection, keys, 'visits', VISIT_BOUNDS),
    rates: new RedisRateCounters(connection, keys),
    leases: new RedisLeaseStore(connection, keys),
    callLimits: new RedisCallLimitStore(connection, keys),
    bus,
    sessions: new RedisSessionStore(connection, keys, bus, { idleSeconds: sessionIdleSeconds, maxSessions }),
    eventLog,
    tasks: new RedisTaskRecords(connection, keys, bus, taskBounds),
    replicaKeys: new RedisRecentLog<ReplicaKeysRecord>(connection, keys, 'replicaKeys', REPLICA_KEYS_BOUNDS),
    async check () {
      await Promise.all([connection.run(redis => redis.ping()), subscriber.check()])
    },
    async close () {
      eventLog.close()
      bus.close()
      await Promise.all([connection.close(), subscriber.close()])
    }
  }
}
