import type { LoginStepRecord, RecentLog, RecentLogBounds, LoginVisitRecord } from './attempts.js'
import type { AuthorizationTransactionStore } from './authorizations.js'
import type { Bus } from './bus.js'
import type { CallLimitStore } from './call-limits.js'
import type { ConsentStore } from './consents.js'
import type { EventLog } from './event-log.js'
import type { GrantStore } from './grants.js'
import type { LeaseStore } from './leases.js'
import type { MetadataDocumentStore } from './metadata-documents.js'
import type { RateCounters } from './rate-counters.js'
import type { ClientStore, UpstreamClientStore } from './registrations.js'
import type { SessionStore } from './sessions.js'
import type { TaskRecords } from './tasks/records.js'
import type { UpstreamDeletionQueue } from './upstream-deletions.js'

/**
 * What the broker keeps.
 * @example
 * ```ts
 * import { createMemoryStores, type BrokerStores } from 'fastify-mcp-oauth'
 *
 * // for the plugin oauthBroker alone
 * export const stores: BrokerStores = createMemoryStores({ sessionIdleSeconds: 3600 })
 * ```
 */
export interface BrokerStores {
  /** Clients that have registered (RFC 7591). */
  clients: ClientStore
  /** What we are at the upstream on behalf of each client (dynamic mode). */
  upstreamClients: UpstreamClientStore
  /** Registrations at the upstream that are to be deleted there. */
  upstreamDeletions: UpstreamDeletionQueue
  /** The last good metadata documents of clients. */
  metadataDocuments: MetadataDocumentStore
  /** Logins that are under way. */
  authorizations: AuthorizationTransactionStore
  /** What people need not be asked again. */
  consents: ConsentStore
  /** Logins, with their codes and tokens. */
  grants: GrantStore
  /** For operators: how the last logins went. Nothing is written if nobody may read it. */
  loginSteps: RecentLog<LoginStepRecord>
  /** For operators: what programs have asked before a login. */
  visits: RecentLog<LoginVisitRecord>
  /** What callers of the endpoints have done lately. */
  rates: RateCounters
  /** Exclusive rights across replicas. */
  leases: LeaseStore
  /** What replicas tell each other. */
  bus: Bus
}

/**
 * What the transports keep.
 * @example
 * ```ts
 * import { createMemoryStores, type SessionStores } from 'fastify-mcp-oauth'
 *
 * const { sessions, eventLog, leases, bus } = createMemoryStores({ sessionIdleSeconds: 3600 })
 * export const stores: SessionStores = { sessions, eventLog, leases, bus }
 * ```
 */
export interface SessionStores {
  /** Sessions, by their ids. */
  sessions: SessionStore
  /** What was sent over streams, for clients that resume. */
  eventLog: EventLog
  /** Exclusive rights across replicas; they also show which replicas are alive. */
  leases: LeaseStore
  /** What replicas tell each other. */
  bus: Bus
  /** How much is called, for the limits of a policy. Default: each process counts for itself. */
  callLimits?: CallLimitStore
}

/** Which encryption keys a replica has. Nothing of it is secret. */
export interface ReplicaKeysRecord {
  /** Unique to the process. */
  replica: string
  /** Host name and process id, for people. */
  host: string
  /** By the id of each key, a fingerprint of its value. Empty: the replica has left. */
  fingerprints: Record<string, string>
}

/** A replica that has written nothing for so long is gone; it writes every half minute. */
export const REPLICA_KEYS_BOUNDS: RecentLogBounds = { maxEntries: 4000, maxAgeSeconds: 100 }

/**
 * Everything the service keeps, in one backend.
 * @example
 * ```ts
 * import { createMemoryStores, createRedisStores, type Stores } from 'fastify-mcp-oauth'
 *
 * export function createStores (redisUrl?: string): Stores {
 *   const sessionIdleSeconds = 3600
 *   return redisUrl === undefined
 *     ? createMemoryStores({ sessionIdleSeconds })
 *     : createRedisStores({ url: redisUrl, sessionIdleSeconds })
 * }
 * ```
 */
export interface Stores extends BrokerStores, SessionStores {
  /** How much is called, for the limits of a policy. */
  callLimits: CallLimitStore
  /** For `createTaskStore` and `createTaskMessageQueue`, which the hosted server may use. */
  tasks: TaskRecords
  /** Which encryption keys each replica has, for the others to compare. */
  replicaKeys: RecentLog<ReplicaKeysRecord>
  /** Rejects with a `TemporarilyUnavailableError` if the backend cannot be reached. */
  check (): Promise<void>
  /** Lets go of timers and connections. */
  close (): Promise<void>
}
