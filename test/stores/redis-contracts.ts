import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import { announcementsContract } from './announcements-contract.js'
import { authorizationStoreContract } from './authorization-store-contract.js'
import { busContract } from './bus-contract.js'
import { callLimitsContract } from './call-limits-contract.js'
import { consentStoreContract } from './consent-store-contract.js'
import { eventLogContract } from './event-log-contract.js'
import { grantStoreContract } from './grant-store-contract.js'
import { leaseStoreContract } from './lease-store-contract.js'
import { metadataDocumentStoreContract } from './metadata-document-store-contract.js'
import { rateCountersContract } from './rate-counters-contract.js'
import { recentLogContract } from './recent-log-contract.js'
import { redisReplicas, replicasOf, type RedisServer } from '../support/redis-server.js'
import { registrationStoreContract } from './registration-store-contract.js'
import { sessionStoreContract } from './session-store-contract.js'
import { taskStoreContract } from './task-store-contract.js'
import { upstreamDeletionQueueContract } from './upstream-deletion-queue-contract.js'

/** The contract of every store, kept by two replicas. */
export async function redisContracts (t: Test, server: RedisServer, cluster = false): Promise<void> {
  const all = { cluster }
  t.jobs = 8
  await Promise.all([
    t.test('sessions', { buffered: true }, t =>
      sessionStoreContract(t, async (t, { idleSeconds, maxSessions }) => {
        const replicas = await replicasOf(t, server, ({ sessions }) => sessions, {
          ...all,
          sessionIdleSeconds: idleSeconds,
          ...maxSessions !== undefined && { maxSessions }
        })
        await nextSecond()
        return replicas
      })),
    t.test(
      'event log',
      { buffered: true },
      t => eventLogContract(t, (t, eventLog) => replicasOf(t, server, ({ eventLog }) => eventLog, { ...all, eventLog }))
    ),
    t.test(
      'registrations',
      { buffered: true },
      t =>
        registrationStoreContract(t, (t, { bounds, ...options }) =>
          replicasOf(t, server, ({ clients }) => clients, {
            ...all,
            ...options,
            ...bounds && { registrationBounds: bounds }
          }))
    ),
    t.test(
      'deletions upstream',
      { buffered: true },
      t =>
        upstreamDeletionQueueContract(t, t => replicasOf(t, server, ({ upstreamDeletions }) => upstreamDeletions, all))
    ),
    t.test(
      'authorizations',
      { buffered: true },
      t =>
        authorizationStoreContract(t, (t, { bounds }) =>
          replicasOf(t, server, ({ authorizations }) => authorizations, {
            ...all,
            ...bounds && { authorizationBounds: bounds }
          }))
    ),
    t.test(
      'consents',
      { buffered: true },
      t => consentStoreContract(t, t => replicasOf(t, server, ({ consents }) => consents, all))
    ),
    t.test(
      'grants',
      { buffered: true },
      t => grantStoreContract(t, t => replicasOf(t, server, ({ grants }) => grants, all))
    ),
    t.test(
      'recent logs',
      { buffered: true },
      t =>
        recentLogContract(
          t,
          (t, loginSteps) => replicasOf(t, server, ({ loginSteps }) => loginSteps, { ...all, loginSteps })
        )
    ),
    t.test(
      'metadata documents',
      { buffered: true },
      t =>
        metadataDocumentStoreContract(t, (t, { maxEntries }) =>
          replicasOf(t, server, ({ metadataDocuments }) => metadataDocuments, {
            ...all,
            maxMetadataDocuments: maxEntries
          }))
    ),
    t.test(
      'rates',
      { buffered: true },
      t => rateCountersContract(t, t => replicasOf(t, server, ({ rates }) => rates, all))
    ),
    t.test(
      'limits of calls',
      { buffered: true },
      t => callLimitsContract(t, t => replicasOf(t, server, ({ callLimits }) => callLimits, all))
    ),
    t.test(
      'leases',
      { buffered: true },
      t => leaseStoreContract(t, t => replicasOf(t, server, ({ leases }) => leases, all))
    ),
    t.test('what the stores announce', { buffered: true }, async t =>
      announcementsContract(t, await redisReplicas(t, server, all))),
    t.test('tasks', { buffered: true }, t =>
      taskStoreContract(t, (t, taskBounds) => replicasOf(t, server, ({ tasks }) => tasks, { ...all, taskBounds }))),
    t.test('bus', { buffered: true }, t => busContract(t, t => replicasOf(t, server, ({ bus }) => bus, all)))
  ])
}

// the contract counts in whole seconds: begun late in one, a session would end up to a second early
async function nextSecond (): Promise<void> {
  await delay(1000 - Date.now() % 1000)
}
