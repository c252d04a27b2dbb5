import { AllowedClients } from '../../src/oauth/clients/allowed-clients.js'
import t from 'tap'
import { startDemoUpstream } from '../../src/demo/upstream.js'
import type { UpstreamClientRecord } from '../../src/stores/registrations.js'
import { MemoryMetadataDocumentStore } from '../../src/stores/memory/metadata-documents.js'
import { MemoryRegistrationStore } from '../../src/stores/memory/registrations.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { ScriptableUpstream } from '../../src/testing/index.js'
import { clock } from '../support/clock.js'
import { journey, startService, TestClient } from './test-client.js'

t.test('each client is registered upstream once, at its first /authorize, with our callback alone', async t => {
  const upstream = new ScriptableUpstream()
  const service = await startService(t, { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch })
  const [first, second] = [await TestClient.register(service), await TestClient.register(service)]
  t.equal(upstream.asked('register').length, 0, 'not when it registers here')
  await first.logIn()
  t.equal(upstream.asked('register').length, 1)
  t.match(upstream.asked('register')[0]?.parameters, {
    client_name: 'Test client',
    redirect_uris: [`${service.url}/oauth/callback`],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    application_type: 'native',
    token_endpoint_auth_method: 'client_secret_basic',
    scope: 'openid profile email offline_access'
  })
  t.strictSame(upstream.asked('register')[0]?.parameters.redirect_uris, [`${service.url}/oauth/callback`])
  await first.logIn('bob')
  await first.refresh()
  t.equal(upstream.asked('register').length, 1, 'once')
  await second.logIn()
  t.equal(upstream.asked('register').length, 2, 'each client has its own')
  const used = upstream.asked('authorize').map(({ parameters }) => parameters.client_id)
  t.equal(used[0], used[1])
  t.not(used[0], used[2])
  t.notOk(used.includes(first.clientId), 'and it is not the client id that we gave')
})

t.test('first requests at once register once, on one replica or two', async t => {
  const upstream = new ScriptableUpstream()
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  const keys = { stores, encryptionKeys: `a:${Buffer.alloc(32, 1).toString('base64url')}`, consentInDynamicMode: false }
  const service = await startService(t, { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch }, keys)
  const replica = await startService(t, { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch }, {
    ...keys,
    publicUrl: service.url
  })
  const client = await TestClient.register(service)
  const { pathname, search } = new URL(client.authorizationUrl())
  const answers = await Promise.all(
    [service, replica, service, replica, service].map(({ app }) => app.inject(pathname + search))
  )
  const ids = answers.map(({ headers }) => new URL(String(headers.location)).searchParams.get('client_id'))
  t.equal(new Set(ids).size, 1)
  t.equal(ids[0], [...upstream.clients.keys()][0])
  t.equal(upstream.asked('register').length, 1)
})

t.test('a registration that fails for one does not fail for the next', async t => {
  const upstream = new ScriptableUpstream({
    overrides: {
      register: () => ({ status: 400, body: { error: 'invalid_client_metadata', error_description: 'no' } })
    }
  })
  const service = await startService(t, { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch }, {
    consentInDynamicMode: false
  })
  const client = await TestClient.register(service)
  t.match(await client.answer(), { error: 'server_error' })
  t.ok(service.log.some(({ detail }) => detail === 'invalid_client_metadata: no'))
  delete upstream.overrides.register
  await client.logIn()
  t.match(await client.call('whoami'), { subject: 'alice' })
})

t.test('static mode registers nobody', async t => {
  const upstream = new ScriptableUpstream()
  const service = await startService(t, {
    issuerUrl: new URL(upstream.issuer),
    fetch: upstream.fetch,
    clientId: 'us',
    clientSecret: 'shh'
  })
  upstream.clients.addByHand(service.url, { authMethod: 'client_secret_basic' })
  t.match((await journey(service)).whoami, { subject: 'alice' })
  t.equal(upstream.asked('register').length, 0)
})

for (const kind of ['a misbehaving', 'a real'] as const) {
  t.test(`${kind} upstream: a registration is deleted there when it is reaped, unless it led to a login`, async t => {
    const { forward } = clock(t)
    const reapers: Array<() => void> = []
    const every = setInterval
    t.intercept(globalThis, 'setInterval', {
      value: (callback: () => void, ms: number) => {
        if (ms === 60_000) reapers.push(callback)
        return every(callback, ms)
      }
    })
    const odd = new ScriptableUpstream()
    const real = await startDemoUpstream({ port: 0 })
    t.teardown(() => real.close())
    const issuerUrl = new URL(kind === 'a real' ? real.issuer : odd.issuer)
    const upstreamClients = new MemoryRegistrationStore<UpstreamClientRecord>()
    const service = await startService(t, { issuerUrl, fetch: kind === 'a real' ? fetch : odd.fetch }, {
      stores: { ...createMemoryStores({ sessionIdleSeconds: 3600 }), upstreamClients },
      lifetimes: { unusedClientSeconds: 600 },
      consentInDynamicMode: false
    })
    const used = await TestClient.register(service)
    await used.logIn()
    const unused = await TestClient.register(service)
    const begun = await service.fetch(unused.authorizationUrl(), { redirect: 'manual' })
    t.equal(begun.status, 302)
    const authorization = new URL(begun.headers.get('location') ?? '')
    t.equal((await service.fetch(authorization, { redirect: 'manual' })).status < 400, true, 'the upstream knows it')

    const reap = async () => {
      const takeExpired = upstreamClients.takeExpired.bind(upstreamClients)
      const taken = await new Promise<number>(resolve => {
        upstreamClients.takeExpired = async limit => {
          const records = await takeExpired(limit)
          resolve(records.length)
          return records
        }
        // housekeeping is done every minute
        for (const reaper of reapers) reaper()
      })
      upstreamClients.takeExpired = takeExpired
      return taken
    }
    t.equal(await reap(), 0)
    forward(601)
    t.equal(await reap(), 1)
    // the deletion is on its way
    const gone = async () => (await service.fetch(authorization, { redirect: 'manual' })).status >= 400
    for (let tries = 0; tries < 200 && !await gone(); tries++);
    t.ok(await gone(), 'the upstream knows it no more')
    if (kind === 'a misbehaving') {
      t.equal(odd.asked('registration').length, 1)
      t.match(odd.asked('registration')[0], { method: 'DELETE', headers: { authorization: /^Bearer / } })
    }
    t.equal(await reap(), 0, 'only once')
    await used.logIn()
    t.match(await used.call('whoami'), { subject: 'alice' })
  })
}

t.test('a registration that cannot be deleted is in the log, and stops nothing', async t => {
  const { Upstream } = await import('../../src/oauth/upstream/upstream.js')
  const { UpstreamClients } = await import('../../src/oauth/upstream/upstream-clients.js')
  const { Clients } = await import('../../src/oauth/clients/clients.js')
  const { Keyring } = await import('../../src/oauth/keyring.js')
  const { RateLimits } = await import('../../src/oauth/rate-limits.js')
  const odd = new ScriptableUpstream()
  let now = Date.now()
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  t.teardown(() => stores.close())
  const store = new MemoryRegistrationStore<UpstreamClientRecord>({ now: () => now })
  const warnings: object[] = []
  const log = {
    error () {},
    info () {},
    warn (details: object) {
      warnings.push(details)
    }
  }
  const upstream = new Upstream(
    { issuerUrl: new URL(odd.issuer), fetch: odd.fetch, scopes: [] },
    'http://localhost:5050/oauth/callback',
    () => now
  )
  const upstreamClients = new UpstreamClients({
    upstream,
    store,
    leases: stores.leases,
    keyring: new Keyring(),
    limits: new RateLimits({ secret: new Uint8Array(32) }),
    unusedClientSeconds: 60,
    clientSeconds: 600,
    deletions: stores.upstreamDeletions,
    log,
    now: () => now
  })
  const clients = new Clients({
    store: stores.clients,
    redirectSchemes: [],
    allowed: new AllowedClients({ policy: undefined, initialAccessTokens: [], ownClientId: '' }),
    preregistered: ['a', 'b', 'c', 'd'].map(clientId => ({ clientId, redirectUris: ['http://localhost/callback'] })),
    unusedClientSeconds: 60,
    clientSeconds: 600,
    documents: { allowLoopback: true, store: new MemoryMetadataDocumentStore() },
    now: () => now
  })
  for (const clientId of ['a', 'b', 'c', 'd']) await upstreamClients.for(await clients.find(clientId), '198.51.100.1')
  const [a, b, c, d] = [...odd.clients.keys()]
  odd.overrides.registration = async ({ url }, usual) => {
    if (url.pathname.endsWith(String(a))) return { status: 500 }
    if (url.pathname.endsWith(String(b))) return { status: 403 }
    // it is gone already
    if (url.pathname.endsWith(String(c))) return { status: 401 }
    return await usual()
  }
  now += 61_000
  await upstreamClients.reap()
  t.equal(odd.asked('registration').length, 4)
  t.match(warnings, [{ clientId: 'a' }, { clientId: 'b' }])
  t.equal(warnings.length, 2)
  t.notOk(odd.clients.has(String(d)))
  await upstreamClients.reap()
  t.equal(odd.asked('registration').length, 4)
})
