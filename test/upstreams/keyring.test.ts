import t, { type Test } from 'tap'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { ScriptableUpstream } from '../../src/testing/index.js'
import type { Stores } from '../../src/stores/stores.js'
import { journey, startService, type Service, type TestClient } from './test-client.js'

const key = (id: string, byte: number) => `${id}:${Buffer.alloc(32, byte).toString('base64url')}`
const [OLD, NEW, OTHER] = [key('old', 1), key('new', 2), key('other', 3)]

/** The service again, as the same origin and with the same stores. */
async function deploy (
  t: Test,
  upstream: ScriptableUpstream,
  publicUrl: string,
  stores: Stores,
  encryptionKeys: string
): Promise<Service> {
  return await startService(t, { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch }, {
    publicUrl,
    stores,
    encryptionKeys
  })
}

/** What a store keeps of the only grant. */
function watch ({ grants }: Stores): { sealed: () => Promise<string> } {
  let grantId = ''
  const findRefreshToken = grants.findRefreshToken.bind(grants)
  grants.findRefreshToken = async hash => {
    const found = await findRefreshToken(hash)
    grantId = found?.grant.grantId ?? grantId
    return found
  }
  return { sealed: async () => (await grants.findGrant(grantId))?.sealedUpstreamTokens.split('.')[0] ?? 'none' }
}

for (const expiresIn of [600, 0]) {
  t.test(`a new first key logs nobody out and seals again what is used (tokens of ${expiresIn} s)`, async t => {
    const upstream = new ScriptableUpstream({ expiresIn })
    const stores = createMemoryStores({ sessionIdleSeconds: 60 })
    const { sealed } = watch(stores)
    const before = await startService(t, { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch }, {
      stores,
      encryptionKeys: OLD
    })
    const { client } = await journey(before)
    t.equal((await client.refresh()).status, 200)
    t.equal(await sealed(), 'old')

    const after: TestClient = client.at(await deploy(t, upstream, before.url, stores, `${NEW},${OLD}`))
    t.match(await after.call('whoami'), { subject: 'alice' }, 'the access token works')
    t.equal((await after.refresh()).status, 200)
    t.equal(await sealed(), 'new')
    t.match(await after.call('upstream_token'), expiresIn === 0 ? { token: null } : { token: /^upstream-/ })
    t.equal(upstream.asked('register').length, 1, 'the registration upstream is known, too')
  })
}

t.test('a replica that has the new key second reads what others seal: a rollout of keys needs no pause', async t => {
  const upstream = new ScriptableUpstream()
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  const { sealed } = watch(stores)
  const first = await startService(t, { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch }, {
    stores,
    encryptionKeys: `${OLD},${NEW}`
  })
  const { client } = await journey(first)
  const second = client.at(await deploy(t, upstream, first.url, stores, `${NEW},${OLD}`))
  t.equal((await second.refresh()).status, 200)
  t.equal(await sealed(), 'new')
  const back = second.at(first)
  t.equal((await back.refresh()).status, 200)
  t.match(await back.call('upstream_token'), { token: /^upstream-/ })
})

t.test('a key that is gone: our tokens still work, without an upstream token, and without an error', async t => {
  const upstream = new ScriptableUpstream()
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  const before = await startService(t, { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch }, {
    stores,
    encryptionKeys: OLD
  })
  const { client } = await journey(before)
  const after = client.at(await deploy(t, upstream, before.url, stores, OTHER))
  t.match(await after.call('whoami'), { subject: 'alice' })
  t.strictSame(await after.call('upstream_token'), { token: null })
  t.equal((await after.refresh()).status, 200)
  t.equal(await after.revoke(), 200)
  t.equal(await after.status(), 401)
})
