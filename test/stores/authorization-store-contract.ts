import type { Test } from 'tap'
import { TemporarilyUnavailableError } from '../../src/errors.js'
import {
  ATTEMPT_OVERHEAD_BYTES,
  type AuthorizationBounds,
  type AuthorizationTransaction,
  type AuthorizationTransactionStore
} from '../../src/stores/authorizations.js'
import { atOnce, countsOf, type Make } from './backend.js'

const transaction: AuthorizationTransaction = {
  browserHash: 'hash',
  clientId: 'client-1',
  redirectUri: 'http://localhost/callback',
  state: 'stäte "quoted"',
  codeChallenge: 'challenge',
  resource: 'https://mcp.example/mcp',
  scopes: [],
  consent: 'given',
  upstream: { url: 'https://login.example/authorize', sealedCodeVerifier: 'sealed', nonce: 'nonce' }
}
const SIZE = ATTEMPT_OVERHEAD_BYTES + Buffer.byteLength(JSON.stringify(transaction))

const keptFor = { address: '198.51.100.1', ttlSeconds: 60 }
const wide: AuthorizationBounds = { max: 1000, maxBytes: 1e6, maxOfAddress: 1000, maxBytesOfAddress: 1e6 }

/** What every `AuthorizationTransactionStore` keeps to. */
export async function authorizationStoreContract (
  t: Test,
  makeStore: Make<AuthorizationTransactionStore, { bounds?: AuthorizationBounds }>
): Promise<void> {
  t.test('a transaction comes back as it was first given', async t => {
    const { replicas } = await makeStore(t, {})
    const [store] = replicas
    t.strictSame(await store.add('id', transaction, keptFor), transaction)
    for (const replica of replicas) t.strictSame(await replica.get('id'), transaction)
    t.strictSame(
      await store.add('id', { ...transaction, clientId: 'another' }, keptFor),
      transaction,
      'the first one stands'
    )
    const got = await store.get('id')
    got?.scopes.push('admin')
    t.same((await store.get('id'))?.scopes, [], 'who changes what they got changes nothing')
    for (const id of ['unknown', '__proto__', '', '*']) t.equal(await store.get(id), undefined, id)
    const standing = await atOnce(
      replicas,
      50,
      (replica, index) => replica.add('at once', { ...transaction, clientId: `client-${index}` }, keptFor)
    )
    t.equal(new Set(standing.map(one => one?.clientId)).size, 1, 'all are told the one that stands')
  })

  t.test('it is taken once, and stays known as over', async t => {
    const { replicas } = await makeStore(t, {})
    await replicas[0].add('id', transaction, keptFor)
    await replicas[0].add('other', transaction, keptFor)
    const taken = await atOnce(replicas, 50, replica => replica.take('id'))
    t.same(countsOf(taken.map(transaction => transaction !== undefined)), { true: 1, false: 49 })
    t.strictSame(taken.find(transaction => transaction !== undefined), transaction)
    for (const replica of replicas) {
      t.equal(await replica.get('id'), undefined)
      t.equal(await replica.add('id', transaction, keptFor), undefined, 'it does not begin again')
      t.notOk(await replica.end('id', keptFor))
    }
    t.ok(await replicas[0].get('other'))
  })

  t.test('it is ended once, kept or not', async t => {
    const { replicas } = await makeStore(t, {})
    await replicas[0].add('kept', transaction, keptFor)
    for (const id of ['kept', 'never kept']) {
      const ended = await atOnce(replicas, 50, replica => replica.end(id, keptFor))
      t.same(countsOf(ended), { true: 1, false: 49 }, id)
      t.equal(await replicas[0].take(id), undefined)
      t.equal(await replicas[0].add(id, transaction, keptFor), undefined)
    }
  })

  t.test('it expires, and what was counted for it with it', async t => {
    const { replicas: [store], clock } = await makeStore(t, { bounds: { ...wide, maxOfAddress: 4 } })
    const short = { ...keptFor, ttlSeconds: 1 }
    for (const id of ['got', 'taken', 'ended', 'over']) await store.add(id, transaction, short)
    await store.take('over')
    await t.rejects(store.add('one more', transaction, short), TemporarilyUnavailableError)
    await clock.pass(1.1)
    t.equal(await store.get('got'), undefined)
    t.equal(await store.take('taken'), undefined)
    t.ok(await store.end('ended', short))
    t.strictSame(await store.add('over', transaction, short), transaction, 'its id is free')
    t.ok(await store.add('one more', transaction, short))
    t.ok(await store.add('two more', transaction, short))
    await t.rejects(store.add('three more', transaction, short), TemporarilyUnavailableError)
  })

  for (const [what, bounds, kept] of [
    ['number of an address', { ...wide, maxOfAddress: 3 }, [3, 3]],
    ['bytes of an address', { ...wide, maxBytesOfAddress: 3.5 * SIZE }, [3, 3]],
    ['number in all', { ...wide, max: 5 }, [5, 0]],
    ['bytes in all', { ...wide, maxBytes: 5.5 * SIZE }, [5, 0]]
  ] as const) {
    t.test(`at a bound (${what}) new ones are refused, and none is lost`, async t => {
      const { replicas } = await makeStore(t, { bounds })
      for (const [index, address] of ['198.51.100.1', '2001:db8::/64'].entries()) {
        const added = await atOnce(replicas, 20, (replica, number) =>
          replica.add(`${address} ${number}`, transaction, { address, ttlSeconds: 60 }).catch((error: unknown) => {
            if (!(error instanceof TemporarilyUnavailableError)) throw error
          }))
        t.equal(added.filter(one => one !== undefined).length, kept[index], address)
        const standing = await Promise.all(
          added.map(async (_, number) => await replicas[0].get(`${address} ${number}`))
        )
        t.same(
          standing.map(one => one !== undefined),
          added.map(one => one !== undefined),
          'those that were taken stand'
        )
      }
    })
  }

  t.test('one that is over gives its bytes back, not its place', async t => {
    const { replicas: [store] } = await makeStore(t, {
      bounds: { ...wide, maxOfAddress: 3, maxBytesOfAddress: 1.5 * SIZE }
    })
    await store.add('first', transaction, keptFor)
    await t.rejects(store.add('second', transaction, keptFor), TemporarilyUnavailableError)
    await store.take('first')
    t.ok(await store.add('second', transaction, keptFor))
    await store.end('second', keptFor)
    t.ok(await store.end('third', keptFor))
    await t.rejects(store.end('fourth', keptFor), TemporarilyUnavailableError)
    t.ok(await store.end('fourth', { ...keptFor, address: '198.51.100.2' }), 'another address goes on')
  })
}
