import t from 'tap'
import { ScriptableUpstream } from '../../src/testing/index.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { journey, startService, TestClient } from './test-client.js'

const encryptionKeys = `a:${Buffer.alloc(32, 1).toString('base64url')}`

t.test('an upstream that has forgotten our registration: what shows it, and who logs in then', async t => {
  const answers = [
    ['invalid_client', 401],
    ['unauthorized_client', 401],
    ['access_denied', 401],
    ['invalid_client', 400]
  ] as const
  for (const [error, status] of answers) {
    const upstream = new ScriptableUpstream({ expiresIn: 0 })
    const service = await startService(t, { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch })
    const { client } = await journey(service)
    upstream.overrides.token = async (request, usual) =>
      upstream.clients.of(request) === undefined ? { status, body: { error } } : await usual()
    upstream.clients.clear()
    t.match(await client.refresh(), { status: 502, body: { error: 'server_error' } }, `${error}: the login stays`)
    t.equal(await client.status(), 200)
    await client.logIn()
    t.match(await client.call('whoami'), { subject: 'alice' }, `${error}: with the same client id of ours`)
    t.equal(upstream.asked('register').length, 2)
    await client.logIn()
    t.equal(upstream.asked('register').length, 2, 'once')
  }
})

t.test('nothing but the page of the upstream shows it: the second person gets through, on any replica', async t => {
  const upstream = new ScriptableUpstream()
  const options = { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch }
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  const service = await startService(t, options, { stores, encryptionKeys })
  const { client } = await journey(service)
  upstream.clients.clear()
  await t.rejects(client.answer(), /unknown client or redirect_uri/)
  await client.logIn('bob')
  t.match(await client.call('whoami'), { subject: 'bob' })
  upstream.clients.clear()
  const replica = await startService(t, options, { stores, encryptionKeys, publicUrl: service.url })
  await client.at(replica).logIn()
  t.equal(upstream.asked('register').length, 3)
})

t.test('what does not show it registers nobody again', async t => {
  const upstream = new ScriptableUpstream()
  const service = await startService(t, { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch })
  const client = await TestClient.register(service)
  const answers = [
    { status: 503 },
    { status: 400, body: { error: 'unauthorized_client' } },
    { status: 403, body: { error: 'access_denied' } },
    { status: 200, body: '<h1>?</h1>' }
  ]
  for (const answer of answers) {
    upstream.overrides.token = () => answer
    t.match(await client.answer(), { error: /./ })
  }
  delete upstream.overrides.token
  await client.logIn()
  t.equal(upstream.asked('register').length, 1)
})

t.test('registrations are dropped: by the operator, for another callback, when a secret expires', async t => {
  const upstream = new ScriptableUpstream()
  const options = { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch }
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  const first = await startService(t, options, { stores, encryptionKeys })
  const { client } = await journey(first)
  upstream.overrides.register = async (_request, usual) => {
    const answer = await usual()
    return { ...answer, body: { ...Object(answer.body), client_secret_expires_at: Math.floor(Date.now() / 1000) + 60 } }
  }
  const second = await startService(t, { ...options, registrationGeneration: '2' }, { stores, encryptionKeys })
  await client.at(second).logIn()
  t.equal(upstream.asked('register').length, 2, 'another generation')
  delete upstream.overrides.register
  await client.at(second).logIn()
  t.equal(upstream.asked('register').length, 3, 'a secret that expires')
  await client.at(second).logIn()
  t.equal(upstream.asked('register').length, 3, 'not again')
})
