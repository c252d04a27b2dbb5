import type { Test } from 'tap'
import type { AuthorizationTransaction, AuthorizationTransactionStore } from '../../src/stores/authorizations.js'
import { atOnce, countsOf, type Make } from './backend.js'

const transaction: AuthorizationTransaction = {
  browserHash: 'hash',
  clientId: 'client-1',
  redirectUri: 'http://localhost/callback',
  state: 'stäte "quoted"',
  codeChallenge: 'challenge',
  resource: 'https://mcp.example/mcp',
  scopes: [],
  upstream: { sealedCodeVerifier: 'sealed', nonce: 'nonce' }
}

/** What every `AuthorizationTransactionStore` keeps to. */
export async function authorizationStoreContract (t: Test, makeStore: Make<AuthorizationTransactionStore>): Promise<void> {
  await t.test('a transaction comes back as it was last given', async t => {
    const { replicas } = await makeStore(t, {})
    const [store] = replicas
    const { upstream, state, ...begun } = transaction
    await store.put('id', begun, 60)
    for (const replica of replicas) t.strictSame(await replica.get('id'), begun)
    await store.put('id', transaction, 60)
    const got = await store.get('id')
    t.strictSame(got, transaction)
    got?.scopes.push('admin')
    t.same((await store.get('id'))?.scopes, [], 'who changes what they got changes nothing')
    for (const id of ['unknown', '__proto__', '', '*']) t.equal(await store.get(id), undefined, id)
  })

  await t.test('it is taken once', async t => {
    const { replicas } = await makeStore(t, {})
    await replicas[0].put('id', transaction, 60)
    await replicas[0].put('other', transaction, 60)
    const taken = await atOnce(replicas, 50, replica => replica.take('id'))
    t.same(countsOf(taken.map(transaction => transaction !== undefined)), { true: 1, false: 49 })
    t.strictSame(taken.find(transaction => transaction !== undefined), transaction)
    t.equal(await replicas[0].get('id'), undefined)
    t.ok(await replicas[0].get('other'))
  })

  await t.test('it expires', async t => {
    const { replicas: [store], clock } = await makeStore(t, {})
    for (const id of ['got', 'taken', 'renewed']) await store.put(id, transaction, 2)
    await clock.pass(1)
    t.ok(await store.get('got'))
    await store.put('renewed', transaction, 2)
    await clock.pass(1.5)
    t.equal(await store.get('got'), undefined)
    t.equal(await store.take('taken'), undefined)
    t.ok(await store.get('renewed'), 'counted from when it was last given')
  })
}
