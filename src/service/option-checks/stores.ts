import { Type } from '@sinclair/typebox'
import type { LoginStepRecord, RecentLog, LoginVisitRecord } from '../../stores/attempts.js'
import type { AuthorizationTransactionStore } from '../../stores/authorizations.js'
import type { Bus } from '../../stores/bus.js'
import type { CallLimitStore } from '../../stores/call-limits.js'
import type { ConsentStore } from '../../stores/consents.js'
import type { EventLog } from '../../stores/event-log.js'
import type { GrantStore } from '../../stores/grants.js'
import type { LeaseStore } from '../../stores/leases.js'
import type { MetadataDocumentStore } from '../../stores/metadata-documents.js'
import type { RateCounters } from '../../stores/rate-counters.js'
import type { ClientStore, UpstreamClientStore } from '../../stores/registrations.js'
import type { SessionStore } from '../../stores/sessions.js'
import type { BrokerStores, ReplicaKeysRecord, SessionStores, Stores } from '../../stores/stores.js'
import type { TaskRecords } from '../../stores/tasks/records.js'
import type { UpstreamDeletionQueue } from '../../stores/upstream-deletions.js'
import { functionSchema, instanceSchema, optional, optionSchemas } from '../../validation/schemas.js'

const registrations = { add: true, find: true, replace: true, keep: true, takeExpired: true } as const
const recentLog = { append: true, read: true } as const

const shared = {
  leases: instanceSchema<LeaseStore>('a lease store', { acquire: true, isHeld: true, release: true }),
  bus: instanceSchema<Bus>('a bus', { publish: true, send: true, subscribe: true, listenAs: true, onGap: true })
}

/** What the transports keep. */
export const sessionStores = optionSchemas<SessionStores>()({
  ...shared,
  sessions: instanceSchema<SessionStore>('a session store', {
    create: true,
    get: true,
    change: true,
    touch: true,
    delete: true
  }),
  eventLog: instanceSchema<EventLog>('an event log', {
    open: true,
    append: true,
    unread: true,
    watch: true,
    follow: true,
    pendingRequests: true,
    settle: true,
    deleteSession: true
  }),
  callLimits: optional(
    instanceSchema<CallLimitStore>('a store of calls', { take: true, giveBack: true, renew: true, release: true })
  )
})

export const taskRecords = instanceSchema<TaskRecords>('a store of tasks', {
  create: true,
  get: true,
  getResult: true,
  change: true,
  list: true,
  enqueue: true,
  dequeue: true,
  forget: true
})

/** What the broker keeps. */
export const brokerStores = optionSchemas<BrokerStores>()({
  ...shared,
  clients: instanceSchema<ClientStore>('a store of clients', registrations),
  upstreamClients: instanceSchema<UpstreamClientStore>('a store of upstream clients', registrations),
  upstreamDeletions: instanceSchema<UpstreamDeletionQueue>('a queue of deletions at the upstream', {
    add: true,
    claim: true,
    done: true
  }),
  metadataDocuments: instanceSchema<MetadataDocumentStore>('a store of metadata documents', {
    find: true,
    put: true,
    remove: true
  }),
  rates: instanceSchema<RateCounters>('a store of rate counters', { add: true }),
  authorizations: instanceSchema<AuthorizationTransactionStore>('a store of authorizations', {
    add: true,
    get: true,
    take: true,
    end: true
  }),
  consents: instanceSchema<ConsentStore>('a store of consents', { remember: true, find: true, forget: true }),
  grants: instanceSchema<GrantStore>('a grant store', {
    putCode: true,
    findCode: true,
    redeemCode: true,
    findGrant: true,
    findGrantsOf: true,
    findAccessToken: true,
    findRefreshToken: true,
    rotate: true,
    replaceUpstreamTokens: true,
    replaceClaims: true,
    findEnded: true,
    endSurplus: true,
    end: true
  }),
  loginSteps: instanceSchema<RecentLog<LoginStepRecord>>('a log of login steps', recentLog),
  visits: instanceSchema<RecentLog<LoginVisitRecord>>('a log of visits', recentLog)
})

const backend = optionSchemas<Pick<Stores, 'replicaKeys' | 'check' | 'close'>>()({
  replicaKeys: instanceSchema<RecentLog<ReplicaKeysRecord>>('a log of the replicas\' keys', recentLog),
  check: functionSchema<Stores['check']>('a function that rejects if the backend cannot be reached'),
  close: functionSchema<Stores['close']>('a function that lets go of timers and connections')
})

const takes = 'the stores that createMemoryStores, createSqliteStores or createRedisStores makes, or your own'

// an app's own stores may have further members
export const sessionStoresOption = Type.Unsafe<SessionStores>(Type.Object(sessionStores, { takes }))
export const brokerStoresOption = Type.Unsafe<BrokerStores>(Type.Object(brokerStores, { takes }))
export const storesOption = Type.Unsafe<Stores>(
  Type.Object({ ...brokerStores, ...sessionStores, ...backend }, { takes })
)
