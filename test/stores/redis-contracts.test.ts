import type { Test } from 'tap'
import { authorizationStoreContract } from './authorization-store-contract.js'
import { busContract } from './bus-contract.js'
import { eventLogContract } from './event-log-contract.js'
import { grantStoreContract } from './grant-store-contract.js'
import { leaseStoreContract } from './lease-store-contract.js'
import { redisTest, replicasOf, type RedisServer } from './redis-server.js'
import { registrationStoreContract } from './registration-store-contract.js'
import { sessionStoreContract } from './session-store-contract.js'

async function contracts (t: Test, server: RedisServer): Promise<void> {
  await Promise.all([
    t.test('sessions', t => sessionStoreContract(t, (t, { idleSeconds }) => replicasOf(t, server, ({ sessions }) => sessions, { sessionIdleSeconds: idleSeconds }))),
    t.test('event log', t => eventLogContract(t, (t, eventLog) => replicasOf(t, server, ({ eventLog }) => eventLog, { eventLog }))),
    t.test('registrations', t => registrationStoreContract(t, (t, options) => replicasOf(t, server, ({ clients }) => clients, options))),
    t.test('authorizations', t => authorizationStoreContract(t, t => replicasOf(t, server, ({ authorizations }) => authorizations))),
    t.test('grants', t => grantStoreContract(t, t => replicasOf(t, server, ({ grants }) => grants))),
    t.test('leases', t => leaseStoreContract(t, t => replicasOf(t, server, ({ leases }) => leases))),
    t.test('bus', t => busContract(t, t => replicasOf(t, server, ({ bus }) => bus)))
  ])
}

redisTest('every contract over Redis, by two replicas', contracts)
