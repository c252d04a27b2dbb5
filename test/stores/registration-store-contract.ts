import type { Test } from 'tap'
import { OperatorNeededError } from '../../src/errors.js'
import type { ClientRecord, ClientStore, RegistrationBounds } from '../../src/stores/registrations.js'
import { atOnce, countsOf, epoch, type Clock, type Make } from './backend.js'

const HERE = '198.51.100.1'
const THERE = '2001:db8::/64'
const wide: RegistrationBounds = { maxOfAddress: 1000, maxBytesOfAddress: 1e6, max: 1000, maxBytes: 1e6 }

function clientOf (clock: Clock, clientId: string, expiresIn: number): ClientRecord {
  return {
    clientId,
    secretHash: `hash-of-${clientId}`,
    metadata: { redirect_uris: ['http://localhost/callback'], client_name: 'ü"\\', contacts: [] },
    issuedAt: epoch(clock),
    expiresAt: epoch(clock, expiresIn)
  }
}

async function standing (store: ClientStore, ids: readonly string[]): Promise<string[]> {
  const found = await Promise.all(ids.map(async id => await store.find(id)))
  return found.flatMap(record => record?.clientId ?? [])
}

type Options = { maxRegistrations?: number, bounds?: RegistrationBounds }

/** What every `RegistrationStore` keeps to. */
export async function registrationStoreContract (t: Test, makeStore: Make<ClientStore, Options>): Promise<void> {
  // by a real clock they wait for most of their time
  t.jobs = 3
  t.test('a registration comes back as it was given', { buffered: true }, async t => {
    const { replicas, clock } = await makeStore(t, {})
    const [store] = replicas
    for (const id of ['unused', '__proto__', 'https://client.example/metadata?a=b']) {
      const record = clientOf(clock, id, 100)
      t.same(await store.add(record, HERE), { standing: record, evicted: [] })
      for (const replica of replicas) t.strictSame(await replica.find(id), record)
    }
    for (const id of ['unknown', 'constructor', '', '*']) t.equal(await store.find(id), undefined)
    const found = await store.find('unused')
    found?.metadata.redirect_uris.push('https://evil.example')
    t.same(
      (await store.find('unused'))?.metadata.redirect_uris,
      ['http://localhost/callback'],
      'who changes what they got changes nothing'
    )
    await store.replace({ ...clientOf(clock, 'unused', 5000), secretHash: 'another' })
    t.match(await store.find('unused'), { secretHash: 'another', expiresAt: found?.expiresAt }, 'its end stays')
  })

  t.test('the first registration of an id stands', { buffered: true }, async t => {
    const { replicas, clock } = await makeStore(t, {})
    const added = await atOnce(
      replicas,
      50,
      (replica, index) => replica.add({ ...clientOf(clock, 'c', 100), secretHash: `hash-${index}` }, HERE)
    )
    t.equal(new Set(added.map(({ standing }) => standing.secretHash)).size, 1, 'all are told the one that stands')
    t.same(await replicas[0].find('c'), added[0]?.standing)
  })

  t.test('it expires, later if it is kept', { buffered: true }, async t => {
    const { replicas: [store], clock } = await makeStore(t, {})
    for (const id of ['unused', 'used', 'kept twice', 'not shortened']) {
      await store.add(clientOf(clock, id, id === 'not shortened' ? 100 : 2), HERE)
    }
    for (const id of ['used', 'kept twice', 'unknown']) await store.keep(id, epoch(clock, 5))
    await store.keep('kept twice', epoch(clock, 100))
    await store.keep('not shortened', epoch(clock, 1))
    await clock.pass(2.1)
    t.equal(await store.find('unused'), undefined)
    t.match(await store.find('used'), { clientId: 'used' })
    await store.keep('unused', epoch(clock, 100))
    t.equal(await store.find('unused'), undefined, 'too late to be kept')
    t.match(await store.takeExpired(10), [{ clientId: 'unused' }])
    t.same(await store.takeExpired(10), [])
    const again = clientOf(clock, 'unused', 10)
    t.same((await store.add(again, HERE)).standing, again, 'its id is free')
    await clock.pass(3)
    t.equal(await store.find('used'), undefined, 'used ones go, too')
    t.same(await standing(store, ['kept twice', 'not shortened']), ['kept twice', 'not shortened'])
    t.match(await store.takeExpired(10), [{ clientId: 'used' }])
  })

  t.test('each expired registration is taken by one caller', { buffered: true }, async t => {
    const { replicas, clock } = await makeStore(t, {})
    const ids = Array.from({ length: 60 }, (_, index) => `client-${index}`)
    for (const id of ids) await replicas[0].add(clientOf(clock, id, 1), HERE)
    await replicas[0].add(clientOf(clock, 'alive', 1000), HERE)
    for (const id of ids.slice(0, 20)) await replicas[0].keep(id, 1)
    await clock.pass(1.1)
    const taken = await atOnce(replicas, 50, replica => replica.takeExpired(3))
    t.ok(taken.every(records => records.length <= 3), 'no more than asked for')
    t.same(taken.flat().map(({ clientId }) => clientId).sort(), ids.sort())
    t.ok(await replicas[0].find('alive'))
  })

  t.test('beyond its bound the oldest unused make room, used ones never', { buffered: true }, async t => {
    const { replicas: [store], clock } = await makeStore(t, { maxRegistrations: 3 })
    for (const [index, id] of ['a', 'b', 'c'].entries()) await store.add(clientOf(clock, id, 100 + index), HERE)
    await store.keep('a', epoch(clock, 100))
    t.match(
      (await store.add(clientOf(clock, 'd', 200), THERE)).evicted,
      [{ clientId: 'b' }],
      'who is told of what went can tidy up'
    )
    t.same(await standing(store, ['a', 'b', 'c', 'd']), ['a', 'c', 'd'])
    for (const id of ['c', 'd']) await store.keep(id, epoch(clock, 100))
    await t.rejects(store.add(clientOf(clock, 'e', 100), HERE), OperatorNeededError)
    t.match(countsOf(await Promise.all(['a', 'c', 'd'].map(async id => (await store.find(id)) !== undefined))), {
      true: 3
    })
  })

  for (const [what, bounds] of [
    ['number', (_size: number) => ({ ...wide, maxOfAddress: 3 })],
    ['bytes', (size: number) => ({ ...wide, maxBytesOfAddress: 3.5 * size })]
  ] as const) {
    t.test(`an address has so much (${what}): its own oldest unused go, nobody else's`, { buffered: true }, async t => {
      const { replicas: [probe], clock: time } = await makeStore(t, {})
      await probe.add(clientOf(time, 'own-0', 100), HERE)
      const size = Buffer.byteLength(JSON.stringify(await probe.find('own-0')))
      const { replicas, clock } = await makeStore(t, { bounds: bounds(size) })
      const [store] = replicas
      await store.add(clientOf(clock, 'other', 90), THERE)
      await store.add(clientOf(clock, 'used', 90), HERE)
      await store.keep('used', epoch(clock, 1000))
      for (let index = 0; index < 5; index++) await store.add(clientOf(clock, `own-${index}`, 100 + index), HERE)
      t.same(await standing(store, ['other', 'used', 'own-0', 'own-1', 'own-2', 'own-3', 'own-4']), [
        'other',
        'used',
        'own-2',
        'own-3',
        'own-4'
      ])
      const added = await atOnce(
        replicas,
        20,
        async (replica, index) => await replica.add(clientOf(clock, `more-${index}`, 200 + index), HERE)
      )
      t.equal(added.flatMap(({ evicted }) => evicted).length, 20)
      t.ok(await store.find('other'))
    })
  }

  t.test('unused ones are bounded in all, and what is counted for them ends with them', { buffered: true }, async t => {
    const { replicas: [store], clock } = await makeStore(t, { bounds: { ...wide, max: 3 } })
    for (const id of ['a', 'b', 'c']) await store.add(clientOf(clock, id, 2), id)
    await store.keep('a', epoch(clock, 100))
    t.same((await store.add(clientOf(clock, 'd', 100), HERE)).evicted, [], 'a used one does not count')
    await clock.pass(2.1)
    await store.takeExpired(10)
    for (const id of ['e', 'f']) t.same((await store.add(clientOf(clock, id, 100), HERE)).evicted, [])
    t.equal((await store.add(clientOf(clock, 'g', 100), HERE)).evicted.length, 1)
  })
}
