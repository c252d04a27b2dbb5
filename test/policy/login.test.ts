import Fastify from 'fastify'
import t, { type Test } from 'tap'
import type { UpstreamOptions } from '../../src/oauth/options.js'
import { Policy } from '../../src/policy/policy.js'
import { mcpService } from '../../src/service/mcp-service.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { createServer } from '../support/sample-server.js'
import type { PolicyRules } from '../../src/policy/rules.js'
import type { BrokerModeOptions } from '../../src/service/plugin-options.js'
import type { Stores } from '../../src/stores/stores.js'
import { ScriptableUpstream, type ScriptableUpstreamOptions } from '../../src/testing/index.js'
import { Browser, logIn } from '../support/browser.js'
import { authorizationUrl } from '../support/oauth-flow.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'
import { startService, TestClient, type Json } from '../upstreams/test-client.js'

const ADMIN_TOKEN = 'an-admin-token-of-this-test'

/** Claims of people by name; a test changes them. */
type People = Record<string, Json>

interface Setup {
  policy?: PolicyRules
  people?: People
  upstream?: ScriptableUpstreamOptions
  options?: Partial<BrokerModeOptions>
}

/** A service with rules, before an upstream whose ID tokens and userinfo say what `people` has. */
async function start (t: Test, { policy, people = {}, upstream: how = {}, options = {} }: Setup) {
  const claimsOf = (subject: string): Json => ({ email: `${subject}@example.com`, ...people[subject] })
  const upstream = new ScriptableUpstream({
    idTokenClaims: claimsOf,
    ...how,
    overrides: {
      userinfo: async (_request, usual) => {
        const answer = await usual()
        if (answer.status !== 200) return answer
        const body = typeof answer.body === 'object' && answer.body !== null ? answer.body : {}
        const sub = 'sub' in body ? String(body.sub) : ''
        return { status: 200, body: { sub, ...claimsOf(sub) } }
      },
      ...how.overrides
    }
  })
  const service = await startService(t, { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch }, {
    adminToken: ADMIN_TOKEN,
    ...policy && { policy },
    ...options
  })
  const verdicts = async () => {
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, accept: 'application/json' }
    return (await service.app.inject({ url: '/admin/attempts', headers })).body
  }
  return { upstream, service, people, verdicts }
}

const verified = { email_verified: true }

/** rules, claims of alice, why she is refused; undefined: she gets in */
const logins: ReadonlyArray<[name: string, PolicyRules, claims: Json, why?: RegExp]> = [
  ['no rule', {}, {}],
  ['her address', { login: { emails: ['alice@example.com'] } }, verified],
  ['her domain', { login: { emailDomains: ['EXAMPLE.com'] } }, verified],
  ['her address, not verified', { login: { emails: ['alice@example.com'] } }, {}, /login server does not say .*verified/],
  ['not verified, but trusted', { login: { emails: ['alice@example.com'] }, trustEmails: true }, {}],
  ['another domain', { login: { emailDomains: ['example.org'] } }, verified, /login\.emails: the address is not allowed/],
  ['her subject', { login: { subjects: ['alice'] } }, {}],
  ['another subject', { login: { subjects: ['bob'] } }, {}, /login\.subjects: not among them/],
  ['her group', { login: { groups: ['eng'] } }, { groups: ['eng'] }],
  ['no group', { login: { groups: ['eng'] } }, {}, /login\.groups: none of eng/],
  ['two rules, of which one holds', { login: [{ groups: ['eng'] }, { subjects: ['bob'] }] }, { groups: ['eng'] },
    /login\.subjects: not among them/],
  ['no role', { roles: { admin: { people: { subjects: ['bob'] } } } }, {}, /roles: the person has none/],
  ['a role without the base scope', { roles: { all: { scopes: ['files:read'] } } }, {}, /without the base scope mcp/]
]

t.test('who may log in', async t => {
  for (const [name, policy, alice, why] of logins) {
    const { service } = await start(t, { policy, people: { alice } })
    const client = await TestClient.register(service)
    const answer = await client.answer('alice')
    if (why === undefined) {
      t.match(answer.code, /./, name)
      continue
    }
    t.match(answer, { error: 'access_denied', error_description: 'This account may not use this server.' }, name)
    t.match(service.log.find(line => line.reason === 'denied_by_policy')?.detail, why, `${name}: the log says why`)
  }
})

t.test('the page of somebody who may not use the server', async t => {
  const { service, upstream, verdicts } = await start(t, {
    policy: { login: { groups: ['<eng>'] } },
    people: { mallory: { email: '<b>mallory</b>@example.com' }, alice: { groups: ['<eng>'] } }
  })
  const client = await TestClient.register(service)
  const browser = new Browser(url => url.port === '3334', service.fetch)
  const page = await logIn(browser, client.authorizationUrl(), 'mallory')
  t.equal(page.status, 403)
  const text = page.document.querySelector('main')?.text ?? ''
  t.match(text, /You may not use this server.*You logged in as.*<b>mallory<\/b>@example\.com/s)
  t.match(text, /ask the people who run localhost:5050/)
  t.notMatch(page.html, /<b>mallory/, 'what the login server says is text')
  t.notMatch(page.html, /groups|eng/, 'the rule is not shown')
  t.match(page.headers.get('content-security-policy'), /default-src 'none'/)
  const back = new URL(page.document.querySelector('a.button')?.getAttribute('href') ?? '')
  t.strictSame(
    Object.fromEntries(back.searchParams),
    {
      error: 'access_denied',
      error_description: 'This account may not use this server.',
      state: 'state of the client',
      iss: service.url
    }
  )
  t.match(await verdicts(), /The policy of this service refused the person \(login\.groups: none of/)

  const chooser = await browser.submit(page, {}, 'Use another account')
  t.equal(chooser.url.origin, upstream.origin)
  t.equal(upstream.asked('authorize').at(-1)?.parameters.prompt, 'select_account')
  const consent = await browser.submit(chooser, { login: 'alice', password: 'any' })
  t.match(consent.html, /Allow/, 'the other person is asked')
  const end = await browser.submit(consent, {}, 'Allow access')
  t.match(end.url.searchParams.get('code'), /./)
  t.equal((await browser.submit(page, {}, 'Use another account')).status, 400, 'the page is good once')
})

t.test('prompt=none gets no page', async t => {
  const redirectUri = 'https://app.example.com/callback'
  const { service } = await start(t, {
    policy: { login: { subjects: ['bob'] } },
    options: { clients: [{ clientId: 'app', redirectUris: [redirectUri], trusted: true }] }
  })
  const browser = new Browser(url => url.href.startsWith(redirectUri), service.fetch)
  const url = authorizationUrl(service, { clientId: 'app', redirectUri }, { prompt: 'none' })
  const end = await logIn(browser, url, 'alice')
  t.equal(end.url.searchParams.get('error'), 'access_denied')
})

const EVERY: ReadonlyArray<[name: string, how: ScriptableUpstreamOptions]> = [
  ['by the ID token of its refresh', { expiresIn: 0 }],
  ['by userinfo, as its tokens are not due', {}],
  ['by userinfo, as its tokens never end', { expiresIn: null, refreshTokens: false }],
  ['by userinfo, as it has no ID tokens', { expiresIn: 0, idTokens: false }]
]

/** A person is removed from a group after the login. */
async function checkRemoved (t: Test, how: ScriptableUpstreamOptions, stores?: Stores): Promise<void> {
  const people: People = { alice: { groups: ['eng', 'ops'], title: 'engineer' } }
  const { service, verdicts } = await start(t, {
    policy: { login: { groups: ['eng'] } },
    people,
    upstream: how,
    ...stores && { options: { stores } }
  })
  const client = await TestClient.register(service)
  await client.logIn('alice')
  t.match(await client.call('whoami'), { claims: { title: 'engineer' } })
  people.alice = { groups: ['eng'], title: 'manager' }
  t.equal((await client.refresh()).status, 200)
  t.match(await client.call('whoami'), { claims: { groups: ['eng'], title: 'manager' } }, 'tools see current claims')

  const connection = await client.connect()
  t.teardown(() => connection.close().catch(() => {}))
  people.alice = { title: 'guest' }
  const old = client.refreshToken
  const refused = await client.refresh()
  t.equal(refused.status, 400)
  t.match(refused.body, {
    error: 'invalid_grant',
    error_description: 'This account may not use this server. The login has ended.'
  })
  t.equal(await client.status(), 401, 'the access token is dead')
  await t.rejects(connection.call('whoami'), 'so is the session')
  people.alice = { groups: ['eng'] }
  client.refreshToken = old
  t.match((await client.refresh()).body, { error: 'invalid_grant' }, 'for good')
  t.match(service.log.find(line => line.reason === 'denied_by_policy')?.detail, /login\.groups: none of eng/)
  t.match(await verdicts(), /may no longer use this service, and their login was ended \(login\.groups: none of eng\)/)
}

for (const [name, how] of EVERY) {
  t.test(`removed after the login, which shows ${name}: out at the next refresh`, t => checkRemoved(t, how))
}

redisTest('removed after the login, over Redis', async (t, server) => {
  const [stores] = await redisReplicas(t, server, { sessionIdleSeconds: 3600 })
  await checkRemoved(t, {}, stores)
})

/** upstream, options, whether the start says that anybody can log in */
const open: ReadonlyArray<[upstream: Partial<UpstreamOptions>, options: Partial<BrokerModeOptions>, loud: boolean]> = [
  [{ issuerUrl: 'https://accounts.google.com' }, {}, true],
  [{ issuerUrl: 'https://accounts.google.com' }, { policy: { limits: { callsPerDay: 1 } } }, true],
  [{ issuerUrl: 'https://accounts.google.com' }, { policy: { login: { subjects: ['1'] } } }, false],
  [{ issuerUrl: 'https://accounts.google.com' }, { authorizeGrant: () => ({ allow: true }) }, false],
  [{ issuerUrl: 'https://login.microsoftonline.com/consumers/v2.0' }, {}, true],
  [{ issuerUrl: 'https://login.microsoftonline.com/0b5f1a5e-0000-4000-8000-000000000000/v2.0' }, {}, false],
  [
    {
      authorizationUrl: 'https://github.com/login/oauth/authorize',
      tokenUrl: 'https://github.com/login/oauth/access_token',
      clientId: 'us',
      clientSecret: 'secret'
    },
    {},
    true
  ],
  [{ issuerUrl: 'https://login.example.com' }, {}, false]
]

t.test('a start that lets in everybody on earth says so', async t => {
  for (const [upstream, options, loud] of open) {
    const { log } = await startService(t, upstream, options)
    const warnings = log.filter(({ msg }) => String(msg).startsWith('ANYBODY CAN LOG IN'))
    t.equal(warnings.length, loud ? 1 : 0, JSON.stringify([upstream, Object.keys(options)]))
  }
})

t.test('an operator ends the logins of a person', async t => {
  const { service } = await start(t, {})
  const [one, other, bob] = [await TestClient.register(service), await TestClient.register(service),
    await TestClient.register(service)]
  await Promise.all([one.logIn('alice'), other.logIn('alice'), bob.logIn('bob')])
  const connection = await one.connect()
  t.teardown(() => connection.close().catch(() => {}))
  t.equal(await service.app.oauthBroker.endGrantsOf({ subject: 'alice' }), 2)
  t.strictSame([await one.status(), await other.status(), await bob.status()], [401, 401, 200])
  await t.rejects(connection.call('whoami'), 'so have sessions')
  t.match((await one.refresh()).body, { error: 'invalid_grant' })
  t.equal(await service.app.oauthBroker.endGrantsOf({ subject: 'alice' }), 0)
})

t.test('tokens of others: login rules hold for each call', async t => {
  const verifyAccessToken = (token: string) => ({
    token,
    clientId: 'c',
    scopes: ['mcp'],
    extra: { issuer: 'https://login.test', subject: token, claims: { groups: token === 'alice' ? ['eng'] : [] } }
  })
  const app = Fastify()
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  t.teardown(async () => {
    await app.close()
    await stores.close()
  })
  const policy = new Policy({})
  await app.register(mcpService, {
    publicUrl: 'http://localhost:5050',
    createServer,
    stores,
    policy,
    auth: { mode: 'host', verifyAccessToken, authorizationServers: ['https://login.test'] }
  })
  const call = async (who: string, method: 'POST' | 'GET' | 'DELETE' = 'POST') => await app.inject({
    method,
    url: '/mcp',
    headers: { authorization: `Bearer ${who}`, accept: 'application/json, text/event-stream' },
    ...method === 'POST' && { payload: { jsonrpc: '2.0', id: 1, method: 'ping' } }
  })
  t.not((await call('bob')).statusCode, 403)
  policy.replace({ login: { groups: ['eng'] } })
  for (const method of ['POST', 'GET', 'DELETE'] as const) {
    const refused = await call('bob', method)
    t.equal(refused.statusCode, 403, method)
    t.equal(refused.headers['www-authenticate'], undefined, 'no login would help')
    t.match(refused.json(), { error: 'access_denied', error_description: /This account may not use this server/ })
    t.not((await call('alice', method)).statusCode, 403)
  }
})
