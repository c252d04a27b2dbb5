import t, { type Test } from 'tap'
import type { AuthorizeGrant } from '../../src/oauth/options.js'
import { Policy } from '../../src/policy/policy.js'
import type { PolicyRules } from '../../src/policy/rules.js'
import type { BrokerModeOptions } from '../../src/service/plugin-options.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { ScriptableUpstream, type ScriptableUpstreamOptions } from '../../src/testing/index.js'
import { clock } from '../support/clock.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'
import type { Stores } from '../../src/stores/stores.js'
import { startService, TestClient } from '../upstreams/test-client.js'

const BY_GROUP: PolicyRules = { login: { groups: ['eng'] } }
const BY_SUBJECT: PolicyRules = { login: { subjects: ['alice'] } }

/** Alice is logged in, and the upstream's tokens are not due. */
async function loggedIn (
  t: Test,
  options: Partial<BrokerModeOptions>,
  how: ScriptableUpstreamOptions = {},
  scope = 'mcp'
) {
  const upstream = new ScriptableUpstream({
    idTokenClaims: () => ({ groups: ['eng'], email: 'alice@example.com' }),
    ...how,
    overrides: { userinfo: () => ({ status: 200, body: { sub: 'alice', groups: ['eng'] } }), ...how.overrides }
  })
  const service = await startService(t, { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch }, options)
  const client = await TestClient.register(service)
  await client.logIn('alice', scope)
  return { upstream, service, client }
}

const answers = {
  'no connection': () => { throw new TypeError('fetch failed') },
  503: () => ({ status: 503 }),
  429: () => ({ status: 429, body: { error: 'slow_down' } }),
  '403, throttled': () => ({ status: 403, body: {}, headers: { 'x-ratelimit-remaining': '0' } }),
  401: () => ({ status: 401, body: { message: 'Bad credentials' } }),
  '401 with a challenge': () => ({ status: 401, headers: { 'www-authenticate': 'Bearer error="invalid_token"' } }),
  403: () => ({ status: 403, body: {} }),
  '403, for lack of a scope': () => ({
    status: 403,
    headers: { 'www-authenticate': 'Bearer error="insufficient_scope"' }
  }),
  404: () => ({ status: 404 }),
  'no JSON': () => ({ status: 200, body: 'hello' }),
  nobody: () => ({ status: 200, body: { groups: ['eng'] } }),
  'another person': () => ({ status: 200, body: { sub: 'bob', groups: ['eng'] } })
} satisfies Record<string, () => unknown>

/** userinfo, then what a client is told, with a rule about groups and with one about subjects. */
const userinfo: ReadonlyArray<[keyof typeof answers, withGroups: string, withSubjects: string]> = [
  ['no connection', '503 temporarily_unavailable', '200'],
  [503, '503 temporarily_unavailable', '200'],
  [429, '503 temporarily_unavailable', '200'],
  ['403, throttled', '503 temporarily_unavailable', '200'],
  [401, '400 invalid_grant', '400 invalid_grant'],
  ['401 with a challenge', '400 invalid_grant', '400 invalid_grant'],
  [403, '400 invalid_grant', '400 invalid_grant'],
  ['403, for lack of a scope', '502 server_error', '200'],
  [404, '502 server_error', '200'],
  ['no JSON', '502 server_error', '200'],
  ['nobody', '502 server_error', '200'],
  ['another person', '502 server_error', '200']
]

t.test('what the login server says when it is asked again', async t => {
  for (const [name, withGroups, withSubjects] of userinfo) {
    for (const [policy, expected] of [[BY_GROUP, withGroups], [BY_SUBJECT, withSubjects]] as const) {
      const { upstream, client } = await loggedIn(t, { policy }, { expiresIn: null, refreshTokens: false })
      upstream.overrides.userinfo = answers[name]
      const { status, body } = await client.refresh()
      const told = [status, body.error].filter(part => part !== undefined).join(' ')
      const text = `${name}, ${policy === BY_GROUP ? 'groups' : 'subjects'}`
      t.equal(told, expected, text)
      if (expected.startsWith('400')) t.equal(await client.status(), 401, `${text}: the login has ended`)
      else {
        t.equal(await client.status(), 200, `${text}: the login stays`)
        upstream.overrides.userinfo = () => ({ status: 200, body: { sub: 'alice', groups: ['eng'] } })
        t.equal((await client.refresh()).status, 200, `${text}: the refresh token is good still`)
      }
    }
  }
})

t.test('an access token that is refused is refreshed before the login counts as over', async t => {
  const { upstream, client } = await loggedIn(t, { policy: BY_GROUP }, { expiresIn: null, idTokens: false })
  let refused = 0
  upstream.overrides.userinfo = () => refused++ === 0
    ? { status: 401 }
    : { status: 200, body: { sub: 'alice', groups: ['eng'] } }
  t.equal((await client.refresh()).status, 200)
  t.equal(upstream.tokenRequests('refresh_token').length, 1)
  t.equal((await client.refresh()).status, 200)
})

t.test('a login server that can no longer be asked', async t => {
  const { forward } = clock(t)
  const how = { expiresIn: 60, refreshTokens: false }
  const byGroup = await loggedIn(t, { policy: BY_GROUP }, how)
  const bySubject = await loggedIn(t, { policy: BY_SUBJECT }, how)
  const asked: unknown[] = []
  const byHook = await loggedIn(t, {
    authorizeGrant: async ({ reason, getUpstreamAccessToken }) => {
      asked.push([reason, typeof await getUpstreamAccessToken()])
      return { allow: true }
    }
  }, how)
  forward(61)
  t.match((await byGroup.client.refresh()).body, { error: 'invalid_grant', error_description: /can no longer be asked/ })
  t.equal((await bySubject.client.refresh()).status, 200)
  t.equal((await byHook.client.refresh()).status, 200)
  t.strictSame(asked, [['login', 'string'], ['refresh', 'undefined']])
})

t.test('a login server without userinfo: the claims of the login count', async t => {
  const { client } = await loggedIn(t, { policy: BY_GROUP }, { metadata: { userinfo_endpoint: undefined } })
  t.equal((await client.refresh()).status, 200)
})

t.test('authorizeGrant is asked again, and can end the login', async t => {
  const asked: Array<Parameters<AuthorizeGrant>[0]> = []
  let allowed = true
  const { client, service, upstream } = await loggedIn(t, {
    scopes: ['mcp', 'files:read'],
    authorizeGrant: attempt => {
      asked.push(attempt)
      return allowed ? { allow: true } : { allow: false, reason: 'Alice has left.' }
    }
  }, {}, 'mcp files:read')
  t.equal((await client.refresh()).status, 200)
  t.match(asked.map(({ reason, requestedScopes }) => [reason, requestedScopes]), [
    ['login', ['mcp', 'files:read']],
    ['refresh', ['mcp', 'files:read']]
  ])
  t.ok(upstream.isAlive(String(await asked[1]?.getUpstreamAccessToken())), 'with a token that works')
  allowed = false
  t.match((await client.refresh()).body, {
    error: 'invalid_grant',
    error_description: 'Alice has left. The login has ended.'
  })
  t.equal(await client.status(), 401)
  t.ok(service.log.some(({ reason }) => reason === 'denied_by_service'))
})

t.test('if authorizeGrant throws, the login stays', async t => {
  let broken = false
  const { client } = await loggedIn(t, {
    authorizeGrant: () => {
      if (broken) throw new Error('The directory is down.')
      return { allow: true }
    }
  })
  broken = true
  t.equal((await client.refresh()).status, 500)
  t.equal(await client.status(), 200)
  broken = false
  t.equal((await client.refresh()).status, 200)
})

t.test('scopes follow the roles, at once and back', async t => {
  const policy = new Policy({ roles: { all: { tools: ['*'] } } })
  const { client } = await loggedIn(t, { policy, scopes: ['mcp', 'files:read'] }, {}, 'mcp files:read')
  const before = client.accessToken
  policy.replace({ roles: { all: { tools: ['*'], scopes: ['mcp'] } } })
  t.match((await client.refresh()).body, { scope: 'mcp' })
  t.strictSame((await client.call('whoami')).scopes, ['mcp'])
  const { forward } = clock(t)
  forward(6)
  client.accessToken = before
  t.strictSame((await client.call('whoami')).scopes, ['mcp'], 'an older access token has no more')
  policy.replace({ roles: { all: { tools: ['*'] } } })
  t.match((await client.refresh()).body, { scope: 'mcp files:read' })
  policy.replace({ roles: { all: { tools: ['*'], scopes: ['files:read'] } } })
  t.match((await client.refresh()).body, { error: 'invalid_grant' }, 'nothing is left without the base scope')
})

t.test('no rule, no question', async t => {
  for (const options of [{}, { policy: { limits: { callsPerMinute: 5 } } }, { policy: {} }]) {
    const { client, upstream } = await loggedIn(t, options)
    await client.refresh()
    t.equal(upstream.asked('userinfo').length, 0)
  }
})

/** Many refreshes at once, at two replicas. */
async function checkStorm (t: Test, [stores, storesOfOther]: [Stores, Stores]): Promise<void> {
  const encryptionKeys = `a:${Buffer.alloc(32, 1).toString('base64url')}`
  const options = { policy: BY_GROUP, encryptionKeys }
  const { client, service, upstream } = await loggedIn(t, { ...options, stores })
  const replica = await startService(
    t,
    { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch },
    { ...options, stores: storesOfOther, publicUrl: service.url }
  )
  const refreshed = await Promise.all(Array.from({ length: 30 }, async (_, turn) =>
    await client.at(turn % 2 === 0 ? service : replica).refresh()))
  t.same(new Set(refreshed.map(({ status }) => status)), new Set([200]))
  t.equal(new Set(refreshed.map(({ body }) => body.refresh_token)).size, 1, 'one successor')
  t.equal(upstream.asked('userinfo').length, 1, 'the login server was asked once')
  t.equal((await client.refresh()).status, 200)
  t.equal(upstream.asked('userinfo').length, 1, 'a repeated refresh asks nobody')
}

t.test('30 refreshes at once ask the login server once', async t => {
  const stores = createMemoryStores({ sessionIdleSeconds: 3600 })
  await checkStorm(t, [stores, stores])
})

redisTest('the same over Redis', async (t, server) => {
  const [stores, storesOfOther] = await redisReplicas(t, server, { sessionIdleSeconds: 3600 })
  if (stores === undefined || storesOfOther === undefined) throw new Error('There are no two replicas.')
  await checkStorm(t, [stores, storesOfOther])
})
