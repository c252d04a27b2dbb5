import { EventEmitter, once } from 'node:events'
import t, { type Test } from 'tap'
import { startDemoUpstream } from '../../src/demo/upstream.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import type { Stores } from '../../src/stores/stores.js'
import { ScriptableUpstream, type ScriptableUpstreamOptions } from '../../src/testing/index.js'
import { objectOf, valueAt } from '../support/json.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'
import { clock } from '../support/clock.js'
import { journey, startService, type Service, type TestClient } from './test-client.js'

/** Somebody is logged in, and their upstream token is over. `expiresIn` below the leeway: each use refreshes. */
async function loggedIn (
  t: Test,
  options: ScriptableUpstreamOptions = {}
): Promise<{ upstream: ScriptableUpstream, service: Service, client: TestClient }> {
  const upstream = new ScriptableUpstream({ expiresIn: 0, ...options })
  const service = await startService(t, { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch })
  return { upstream, service, client: (await journey(service)).client }
}

/** The upstream's next tokens last. */
const lasting = async (_request: unknown, usual: () => Promise<{ status: number, body?: unknown }>) => {
  const answer = await usual()
  return answer.status === 200 ? { ...answer, body: { ...objectOf(answer.body), expires_in: 600 } } : answer
}

/** A login at two replicas, at an upstream that ends it where a refresh token is used twice. */
async function checkStorm (t: Test, [stores, storesOfOther]: [Stores, Stores]): Promise<void> {
  const { forward } = clock(t)
  const upstream = new ScriptableUpstream({ expiresIn: 60 })
  const options = { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch }
  const encryptionKeys = `a:${Buffer.alloc(32, 1).toString('base64url')}`
  const service = await startService(t, options, { encryptionKeys, stores })
  const replica = await startService(t, options, { encryptionKeys, stores: storesOfOther, publicUrl: service.url })
  const { client } = await journey(service)
  const elsewhere = () => client.at(replica)
  const atOnce = async <T>(work: (turn: number) => Promise<T>) =>
    await Promise.all(Array.from({ length: 50 }, (_, turn) => work(turn)))

  const connections = await Promise.all([client.connect(), elsewhere().connect()])
  t.teardown(() => Promise.all(connections.map(connection => connection.close())))
  forward(61)
  const tokens = await atOnce(async turn => (await connections[turn % 2]?.call('upstream_token'))?.token)
  t.equal(new Set(tokens).size, 1)
  t.match(tokens[0], /^upstream-/)
  t.equal(upstream.tokenRequests('refresh_token').length, 1)
  t.ok(upstream.isAlive(String(tokens[0])), 'nothing was used twice: the login upstream is alive')

  forward(61)
  const answers = await atOnce(async turn => await (turn % 2 === 0 ? client.at(service) : elsewhere()).refresh())
  t.same(new Set(answers.map(({ status }) => status)), new Set([200]))
  t.equal(
    new Set(answers.map(({ body }) => `${String(body.access_token)} ${String(body.refresh_token)}`)).size,
    1,
    'one successor'
  )
  t.equal(upstream.tokenRequests('refresh_token').length, 2)
  client.accessToken = String(answers[0]?.body.access_token)
  client.refreshToken = String(answers[0]?.body.refresh_token)
  forward(61)
  t.equal((await elsewhere().refresh()).status, 200, 'nobody is logged out')
  t.equal(upstream.tokenRequests('refresh_token').length, 3)
}

t.test('50 calls, and 50 refreshes, at once refresh the upstream token once: two replicas in memory', async t => {
  const stores = createMemoryStores({ sessionIdleSeconds: 3600 })
  await checkStorm(t, [stores, stores])
})

redisTest('the same over Redis', async (t, server) => {
  const [stores, storesOfOther] = await redisReplicas(t, server, { sessionIdleSeconds: 3600 })
  if (stores === undefined || storesOfOther === undefined) throw new Error('There are no two replicas.')
  await checkStorm(t, [stores, storesOfOther])
})

t.test('a real upstream that rotates refresh tokens and revokes on reuse: 50 calls, again and again', async t => {
  const { forward } = clock(t)
  let refreshes = 0
  const upstream = await startDemoUpstream({
    port: 0,
    configuration: {
      rotateRefreshToken: () => {
        refreshes++
        return true
      },
      ttl: {
        AccessToken: 60,
        AuthorizationCode: 60,
        IdToken: 600,
        Interaction: 600,
        Session: 600,
        Grant: 600,
        RefreshToken: 600
      }
    }
  })
  t.teardown(() => upstream.close())
  const service = await startService(t, { issuerUrl: new URL(upstream.issuer) })
  const { client } = await journey(service)
  const connection = await client.connect()
  t.teardown(() => connection.close())
  for (const round of [1, 2, 3]) {
    forward(61)
    const tokens = await Promise.all(
      Array.from({ length: 50 }, async () => (await connection.call('upstream_token')).token)
    )
    t.equal(new Set(tokens).size, 1)
    t.equal(typeof tokens[0], 'string')
    t.equal(refreshes, round)
  }
  await connection.call('upstream_token')
  t.equal(refreshes, 3, 'a token that lasts is not refreshed')
  t.equal((await client.refresh()).status, 200)
})

t.test('an upstream that gives no new refresh token: the old one stays in use', async t => {
  const { forward } = clock(t)
  const { upstream, client } = await loggedIn(t)
  const sent: unknown[] = []
  upstream.overrides.token = request => {
    sent.push(request.parameters.refresh_token)
    return { status: 200, body: { access_token: `again-${sent.length}`, token_type: 'Bearer', expires_in: 60 } }
  }
  t.strictSame(await client.call('upstream_token'), { token: 'again-1' })
  forward(60)
  t.strictSame(await client.call('upstream_token'), { token: 'again-2' })
  t.equal(typeof sent[0], 'string')
  t.equal(sent[0], sent[1])
})

t.test('a login that has ended upstream ends ours', async t => {
  const { upstream, client } = await loggedIn(t)
  t.equal(await client.status(), 200)
  upstream.endLogins()
  const { status, body } = await client.refresh()
  t.equal(status, 400)
  t.equal(body.error, 'invalid_grant')
  t.equal(await client.status(), 401, 'the access token is dead')
  t.match(await client.refresh(), { status: 400, body: { error: 'invalid_grant' } })
})

t.test('a login that has ended upstream ends ours when a tool asks for its token, too', async t => {
  const { upstream, client } = await loggedIn(t)
  const connection = await client.connect()
  upstream.endLogins()
  await connection.call('upstream_token').then(
    ({ error }) => t.match(error, /login/),
    () => t.pass('the session has ended')
  )
  await connection.close()
  t.equal(await client.status(), 401)
  t.match(await client.refresh(), { status: 400, body: { error: 'invalid_grant' } })
})

t.test('invalid_grant is understood however it is put', async t => {
  const answers: Array<NonNullable<ScriptableUpstream['overrides']['token']>> = [
    () => ({ status: 400, headers: { 'content-type': 'text/plain' }, body: '{"error":"invalid_grant"}' }),
    () => ({
      status: 401,
      headers: { 'www-authenticate': 'Bearer' },
      body: { error: 'invalid_grant', error_description: null }
    }),
    () => ({ status: 403, body: { error: 'invalid_grant' } }),
    () => ({ status: 200, body: { error: 'bad_refresh_token' } })
  ]
  for (const token of answers) {
    const { upstream, client } = await loggedIn(t)
    upstream.overrides.token = token
    t.match(await client.refresh(), { status: 400, body: { error: 'invalid_grant' } })
    t.equal(await client.status(), 401)
  }
})

t.test('an outage upstream: 503 with Retry-After; our access token works, later the refresh token', async t => {
  const outages: Array<NonNullable<ScriptableUpstream['overrides']['token']>> = [
    () => ({ status: 500 }),
    () => ({ status: 502, headers: { 'content-type': 'text/html' }, body: '<h1>Bad Gateway</h1>' }),
    () => ({ status: 503, body: { error: 'invalid_grant' } }),
    () => ({ status: 429 }),
    () => ({ status: 400, body: { error: 'temporarily_unavailable' } }),
    () => ({ status: 200, body: { access_token: 'never read' }, then: 'cut' })
  ]
  for (const outage of outages) {
    const { upstream, client } = await loggedIn(t)
    upstream.overrides.token = outage
    const { status, headers, body } = await client.refresh()
    t.equal(status, 503)
    t.match(headers.get('retry-after'), /^[1-9]\d*$/)
    t.equal(body.error, 'temporarily_unavailable')
    t.equal(await client.status(), 200)
    t.match(await client.call('whoami'), { subject: 'alice' })
    t.match((await client.call('upstream_token')).error, /cannot be reached/)
    delete upstream.overrides.token
    t.equal((await client.refresh()).status, 200)
    t.equal(await client.status(), 200)
  }
})

t.test('an unusable response is not an outage, and does not end the login either', async t => {
  const { upstream, client } = await loggedIn(t)
  for (
    const token of [
      () => ({ status: 400 }),
      () => ({ status: 401, body: { error: 'invalid_client' } }),
      () => ({ status: 200, body: '<h1>?</h1>' })
    ]
  ) {
    upstream.overrides.token = token
    t.match(await client.refresh(), { status: 502, body: { error: 'server_error' } })
    t.equal(await client.status(), 200)
  }
  delete upstream.overrides.token
  t.equal((await client.refresh()).status, 200)
})

t.test('an outage while the upstream token still works is not noticed', async t => {
  const { forward } = clock(t)
  const { upstream, client } = await loggedIn(t, { expiresIn: 600 })
  forward(575)
  upstream.overrides.token = () => ({ status: 503 })
  t.match(await client.call('upstream_token'), { token: /^upstream-/ })
  t.equal((await client.refresh()).status, 200)
  t.equal(upstream.tokenRequests('refresh_token').length, 2, 'it was tried')
})

t.test('an upstream token is refreshed shortly before it expires; a short-lived one not at every use', async t => {
  for (const [expiresIn, uses, due] of [[600, 500, 572], [20, 5, 16]] as const) {
    await t.test(`${expiresIn} s`, async t => {
      const { forward } = clock(t)
      const { upstream, client } = await loggedIn(t, { expiresIn })
      forward(uses)
      const { token } = await client.call('upstream_token')
      t.equal(upstream.tokenRequests('refresh_token').length, 0)
      forward(due - uses)
      t.not((await client.call('upstream_token')).token, token)
      await client.call('upstream_token')
      t.equal(upstream.tokenRequests('refresh_token').length, 1)
    })
  }
})

t.test('revocation reaches the upstream, by the refresh token or the access token', async t => {
  for (const kind of ['refreshToken', 'accessToken'] as const) {
    const { upstream, client } = await loggedIn(t, { expiresIn: 600 })
    const { token } = await client.call('upstream_token')
    t.ok(upstream.isAlive(String(token)))
    const revoked = new EventEmitter()
    const told = once(revoked, 'told')
    upstream.overrides.revoke = async (_request, usual) => {
      const answer = await usual()
      revoked.emit('told')
      return answer
    }
    t.equal(await client.revoke(client[kind]), 200)
    t.equal(await client.status(), 401)
    await told
    t.notOk(upstream.isAlive(String(token)), `${kind}: dead upstream, too`)
    t.match(upstream.asked('revoke')[0]?.parameters, { token_type_hint: 'refresh_token' })
    t.match(await client.refresh(), { status: 400, body: { error: 'invalid_grant' } })
  }
})

t.test('without a refresh token, the access token is revoked upstream', async t => {
  const { upstream, client } = await loggedIn(t, { expiresIn: 600, refreshTokens: false })
  const revoked = new EventEmitter()
  const told = once(revoked, 'told')
  upstream.overrides.revoke = async (_request, usual) => {
    const answer = await usual()
    revoked.emit('told')
    return answer
  }
  const { token } = await client.call('upstream_token')
  await client.revoke()
  await told
  t.match(upstream.asked('revoke')[0]?.parameters, { token, token_type_hint: 'access_token' })
})

t.test('revocation does not wait for the upstream, nor fail with it', async t => {
  const { upstream, service, client } = await loggedIn(t, { overrides: { revoke: () => new Promise(() => {}) } })
  t.equal(await client.revoke(), 200)
  t.equal(await client.status(), 401)
  const second = (await journey(service)).client
  upstream.overrides.revoke = () => ({ status: 500 })
  t.equal(await second.revoke(), 200)
  t.equal(await second.status(), 401)
})

t.test('an upstream without a revocation endpoint', async t => {
  const { client } = await loggedIn(t, { metadata: { revocation_endpoint: undefined } })
  t.equal(await client.revoke(), 200)
  t.equal(await client.status(), 401)
})

t.test('a grant that is revoked while its upstream token is refreshed: the new token is revoked, too', async t => {
  const { upstream, client } = await loggedIn(t)
  const signals = new EventEmitter()
  const [asked, answer, told] = [once(signals, 'asked'), once(signals, 'answer'), once(signals, 'told')]
  let refreshToken: unknown
  upstream.overrides.token = async (_request, usual) => {
    const issued = await usual()
    refreshToken = valueAt(issued.body, 'refresh_token')
    signals.emit('asked')
    await answer
    return issued
  }
  upstream.overrides.revoke = async ({ parameters }, usual) => {
    const revoked = await usual()
    if (parameters.token === refreshToken) signals.emit('told')
    return revoked
  }
  const refreshing = client.refresh()
  await asked
  t.equal(await client.revoke(), 200)
  signals.emit('answer')
  t.match(await refreshing, { status: 400, body: { error: 'invalid_grant' } })
  await told
  t.type(refreshToken, 'string')
})

t.test('tokens that were sealed again while they were refreshed: the refreshed ones stay', async t => {
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  const upstream = new ScriptableUpstream({ expiresIn: 0 })
  const service = await startService(t, { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch }, { stores })
  const { client } = await journey(service)
  const { grants } = stores
  const grantIds: string[] = []
  const findGrant = grants.findGrant.bind(grants)
  grants.findGrant = async grantId => { grantIds.push(grantId); return await findGrant(grantId) }
  upstream.overrides.token = async (request, usual) => {
    // another replica puts its newest key on what it has read before
    const grant = await findGrant(grantIds[0] ?? '')
    if (grant !== undefined) {
      await grants.replaceUpstreamTokens(grant.grantId, grant.upstreamVersion, grant.sealedUpstreamTokens)
    }
    return await lasting(request, usual)
  }
  const { token } = await client.call('upstream_token')
  t.match(token, /^upstream-/)
  t.equal((await client.call('upstream_token')).token, token)
  t.equal(upstream.tokenRequests('refresh_token').length, 1, 'they need no other refresh')
})
