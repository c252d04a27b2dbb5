import type { Test } from 'tap'
import { TemporarilyUnavailableError } from '../../src/errors.js'
import type { ClientRecord, ClientStore } from '../../src/stores/registrations.js'
import { atOnce, countsOf, epoch, type Clock, type Make } from './backend.js'

function clientOf (clock: Clock, clientId: string, expiresIn?: number): ClientRecord {
  return {
    clientId,
    secretHash: `hash-of-${clientId}`,
    metadata: { redirect_uris: ['http://localhost/callback'], client_name: 'ü"\\', contacts: [] },
    issuedAt: epoch(clock),
    ...expiresIn !== undefined && { expiresAt: epoch(clock, expiresIn) }
  }
}

/** What every `RegistrationStore` keeps to. */
export async function registrationStoreContract (t: Test, makeStore: Make<ClientStore, { maxRegistrations?: number }>): Promise<void> {
  // by a real clock they wait for most of their time
  t.jobs = 3
  t.test('a registration comes back as it was given', { buffered: true }, async t => {
    const { replicas, clock } = await makeStore(t, {})
    const [store] = replicas
    for (const record of [clientOf(clock, 'kept'), clientOf(clock, 'unused', 100), clientOf(clock, '__proto__', 100), clientOf(clock, 'https://client.example/metadata?a=b', 100)]) {
      t.same(await store.add(record), record)
      for (const replica of replicas) t.strictSame(await replica.find(record.clientId), record)
    }
    for (const id of ['unknown', 'constructor', '', '*']) t.equal(await store.find(id), undefined)
    const found = await store.find('kept')
    found?.metadata.redirect_uris.push('https://evil.example')
    t.same((await store.find('kept'))?.metadata.redirect_uris, ['http://localhost/callback'], 'who changes what they got changes nothing')
  })

  t.test('the first registration of an id stands', { buffered: true }, async t => {
    const { replicas, clock } = await makeStore(t, {})
    const standing = await atOnce(replicas, 50, (replica, index) => replica.add({ ...clientOf(clock, 'c', 100), secretHash: `hash-${index}` }))
    t.equal(new Set(standing.map(({ secretHash }) => secretHash)).size, 1, 'all are told the one that stands')
    t.same(await replicas[0].find('c'), standing[0])
  })

  t.test('it expires, unless it is kept', { buffered: true }, async t => {
    const { replicas: [store], clock } = await makeStore(t, {})
    for (const id of ['unused', 'used']) await store.add(clientOf(clock, id, 2))
    await store.add(clientOf(clock, 'for good'))
    await store.keep('used')
    await store.keep('unknown')
    await clock.pass(2.1)
    t.equal(await store.find('unused'), undefined)
    t.match(await store.find('used'), { clientId: 'used', expiresAt: undefined })
    t.match(await store.find('for good'), { clientId: 'for good' })
    await store.keep('unused')
    t.equal(await store.find('unused'), undefined, 'too late to be kept')
    t.match(await store.takeExpired(10), [{ clientId: 'unused' }])
    t.same(await store.takeExpired(10), [])
    const again = clientOf(clock, 'unused', 10)
    t.same(await store.add(again), again, 'its id is free')
    t.same(await store.find('unused'), again)
  })

  t.test('each expired registration is taken by one caller', { buffered: true }, async t => {
    const { replicas, clock } = await makeStore(t, {})
    const ids = Array.from({ length: 60 }, (_, index) => `client-${index}`)
    for (const id of ids) await replicas[0].add(clientOf(clock, id, 1))
    await replicas[0].add(clientOf(clock, 'alive', 1000))
    await clock.pass(1.1)
    const taken = await atOnce(replicas, 50, replica => replica.takeExpired(3))
    t.ok(taken.every(records => records.length <= 3), 'no more than asked for')
    t.same(taken.flat().map(({ clientId }) => clientId).sort(), ids.sort())
    t.ok(await replicas[0].find('alive'))
  })

  t.test('beyond its bound the ones that expire first make room', { buffered: true }, async t => {
    const { replicas: [store], clock } = await makeStore(t, { maxRegistrations: 3 })
    for (const [index, id] of ['a', 'b', 'c'].entries()) await store.add(clientOf(clock, id, 100 + index))
    await store.keep('a')
    await store.add(clientOf(clock, 'd', 200))
    t.same(await Promise.all(['a', 'b', 'c', 'd'].map(async id => (await store.find(id))?.clientId)), ['a', undefined, 'c', 'd'], 'what is kept stays')
    for (const id of ['c', 'd']) await store.keep(id)
    await t.rejects(store.add(clientOf(clock, 'e', 100)), TemporarilyUnavailableError)
    t.match(countsOf(await Promise.all(['a', 'c', 'd'].map(async id => (await store.find(id)) !== undefined))), { true: 3 })
  })
}
