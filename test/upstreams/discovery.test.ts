import t from 'tap'
import { loadConfig } from '../../src/config/config.js'
import { ConfigError } from '../../src/errors.js'
import { startDemoUpstream } from '../../src/demo/upstream.js'
import { Upstream } from '../../src/oauth/upstream/upstream.js'
import { ScriptableUpstream, type ScriptableUpstreamOptions, type UpstreamOverride } from '../../src/testing/index.js'
import { startService as startConfigured } from '../support/service.js'
import { journey, SCOPES, startService, TestClient } from './test-client.js'
import { listeningUpstream } from '../support/listening-upstream.js'

t.test('a real upstream, discovered by OpenID Connect', async t => {
  const upstream = await startDemoUpstream({ port: 0 })
  t.teardown(() => upstream.close())
  const { whoami } = await journey(await startService(t, { issuerUrl: new URL(upstream.issuer) }))
  t.match(whoami, {
    subject: 'alice',
    issuer: upstream.issuer,
    scopes: ['mcp'],
    claims: { sub: 'alice', name: 'alice', email: 'alice@example.com' }
  })
})

t.test('either document discovers an issuer, with and without a path, with and without a trailing slash', async t => {
  for (const discovery of ['openid-configuration', 'oauth-authorization-server'] as const) {
    for (const path of ['', '/', '/tenant', '/tenant/', '/deep/er/tenant']) {
      const upstream = new ScriptableUpstream({ path, discovery: [discovery] })
      const { whoami } = await journey(
        await startService(t, { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch })
      )
      t.match(whoami, { subject: 'alice', issuer: upstream.issuer }, `${discovery} at ${path}`)
    }
  }
})

t.test('a trailing slash of the issuer may be left out of the configuration, or put in', async t => {
  for (const [path, configured] of [['/tenant/', '/tenant'], ['/tenant', '/tenant/']] as const) {
    for (const discovery of ['openid-configuration', 'oauth-authorization-server'] as const) {
      const upstream = new ScriptableUpstream({
        path,
        discovery: [discovery],
        metadata: { authorization_response_iss_parameter_supported: true }
      })
      const { whoami } = await journey(
        await startService(t, { issuerUrl: new URL(upstream.origin + configured), fetch: upstream.fetch })
      )
      t.equal(whoami.issuer, upstream.issuer, `${discovery}: the issuer is what it says of itself`)
    }
  }
})

t.test('metadata of another issuer are refused', async t => {
  const upstream = new ScriptableUpstream({ metadata: { issuer: 'https://other.example' } })
  const service = await startService(t, { issuerUrl: new URL(upstream.origin), fetch: upstream.fetch })
  t.match(await (await TestClient.register(service)).answer(), { error: 'server_error' })
  t.ok(
    service.log.some(({ detail }) => String(detail).includes(`discovery of the issuer ${upstream.origin}/ failed`)),
    'the log names the issuer'
  )
})

t.test('an upstream that is not an OAuth server is an error for the client, one that is down an outage', async t => {
  const upstream = new ScriptableUpstream({ discovery: [] })
  const service = await startService(t, { issuerUrl: new URL(upstream.origin), fetch: upstream.fetch })
  t.match(await (await TestClient.register(service)).answer(), {
    error: 'server_error',
    state: 'state of the client',
    iss: service.url
  })
  const down = await startService(t, { issuerUrl: new URL('http://localhost:1') })
  t.match(await (await TestClient.register(down)).answer(), {
    error: 'temporarily_unavailable',
    state: 'state of the client'
  })
})

t.test('metadata without an authorization endpoint are an error for the client', async t => {
  const upstream = new ScriptableUpstream({ metadata: { authorization_endpoint: undefined } })
  const service = await startService(t, { issuerUrl: new URL(upstream.origin), fetch: upstream.fetch })
  t.match(await (await TestClient.register(service)).answer(), { error: 'server_error' })
})

t.test('discovery that went down later leaves what was known, for as long as it is down', async t => {
  let now = Date.now()
  const upstream = new ScriptableUpstream()
  const ours = new Upstream(
    { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch, scopes: SCOPES },
    'http://localhost/oauth/callback',
    () => now
  )
  await ours.check()
  upstream.overrides['openid-configuration'] = () => ({ status: 503 })
  for (let hours = 0; hours < 5; hours++) {
    now += 3_600_001
    t.ok(
      (await ours.begin({ clientId: 'us' }, 'state')).url.startsWith(`${upstream.origin}/authorize?`),
      `after ${hours + 1} hours`
    )
  }
  const asked = upstream.asked('openid-configuration').length
  await ours.check()
  t.equal(upstream.asked('openid-configuration').length, asked, 'it is not asked at every request')
})

/** GitHub: 200 for errors; forms where JSON is not asked for; `iss` in the answer; no ID token, no expiry. */
const gitHubToken: UpstreamOverride = async (request, usual) => {
  const { status, body } = await usual()
  const failed = request.parameters.grant_type === 'refresh_token' ? 'bad_refresh_token' : 'bad_verification_code'
  const answer = status === 200 && typeof body === 'object'
    ? { ...body, scope: '' }
    : { error: failed, error_description: 'It is incorrect or expired.' }
  if (request.headers.accept?.includes('application/json') === true) return { status: 200, body: answer }
  const form = new URLSearchParams()
  for (const [name, value] of Object.entries(answer)) form.set(name, String(value))
  return { status: 200, headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: form.toString() }
}

const gitHub: ScriptableUpstreamOptions = {
  discovery: [],
  path: '/login/oauth',
  metadata: { authorization_response_iss_parameter_supported: true },
  idTokens: false,
  refreshTokens: false,
  expiresIn: null,
  overrides: { token: gitHubToken }
}

/** Its endpoints, named one by one. */
const named = ({ origin, fetch }: ScriptableUpstream) => ({
  authorizationUrl: new URL(`${origin}/authorize`),
  tokenUrl: new URL(`${origin}/token`),
  clientId: 'us',
  clientSecret: 'shh',
  fetch
})

t.test('GitHub: endpoints named one by one, from the environment', async t => {
  const upstream = await listeningUpstream(t, gitHub)
  const { app, url } = await startConfigured(t, {
    OAUTH_ISSUER_URL: '',
    OAUTH_AUTHORIZATION_URL: `${upstream.origin}/authorize`,
    OAUTH_TOKEN_URL: `${upstream.origin}/token`,
    OAUTH_USERINFO_URL: `${upstream.origin}/user`,
    OAUTH_SUBJECT_CLAIM: 'id',
    OAUTH_CLIENT_ID: 'us',
    OAUTH_CLIENT_SECRET: 'shh',
    OAUTH_SCOPES: 'read:user user:email'
  })
  upstream.clients.addByHand(url)
  t.equal((await fetch(`${url}/readyz`)).status, 200)
  const { client, whoami } = await journey({ app, url, log: [], fetch })
  t.match(whoami, { subject: '1005', issuer: upstream.origin })
  const [authorize] = upstream.asked('authorize')
  t.equal(authorize?.parameters.scope, 'read:user user:email')
  t.equal(authorize?.parameters.nonce, undefined)
  t.equal((await client.refresh()).status, 200, 'ours refreshes: the login lasts')
  t.equal(upstream.tokenRequests('refresh_token').length, 0)
})

t.test('GitHub: an error with status 200 is an error', async t => {
  const upstream = new ScriptableUpstream(gitHub)
  const usual = upstream.overrides.token
  upstream.overrides.token = () => ({
    status: 200,
    body: { error: 'bad_verification_code', error_description: 'The code passed is incorrect or expired.' }
  })
  const service = await startService(t, {
    ...named(upstream),
    userinfoUrl: new URL(`${upstream.origin}/user`),
    subjectClaim: 'id',
    scopes: ['read:user']
  })
  upstream.clients.addByHand(service.url)
  const client = await TestClient.register(service)
  t.match(await client.answer(), { error: 'server_error', state: 'state of the client', iss: service.url })
  t.ok(
    service.log.some(({ detail }) => detail === 'bad_verification_code: The code passed is incorrect or expired.'),
    'the reason is in the log'
  )
  if (usual !== undefined) upstream.overrides.token = usual
  await client.logIn()
  t.match(await client.call('whoami'), { claims: { sub: '1005', login: 'alice', name: 'alice of user' } })
})

t.test('GitHub: tokens that expire, and a refresh that fails with status 200', async t => {
  const upstream = new ScriptableUpstream({ ...gitHub, refreshTokens: true, expiresIn: 0 })
  const service = await startService(t, {
    ...named(upstream),
    userinfoUrl: new URL(`${upstream.origin}/user`),
    subjectClaim: 'id',
    scopes: ['read:user']
  })
  upstream.clients.addByHand(service.url)
  const { client } = await journey(service)
  t.equal((await client.refresh()).status, 200)
  t.equal(upstream.tokenRequests('refresh_token').length, 1)
  upstream.endLogins()
  const { status, body } = await client.refresh()
  t.equal(status, 400)
  t.equal(body.error, 'invalid_grant')
  t.equal(await client.status(), 401)
})

t.test('endpoints named one by one: an ID token that nobody can check is not believed', async t => {
  const upstream = new ScriptableUpstream({
    discovery: [],
    path: '/realms/ours',
    metadata: { authorization_response_iss_parameter_supported: true }
  })
  const service = await startService(t, named(upstream))
  upstream.clients.addByHand(service.url)
  const { whoami } = await journey(service)
  t.match(whoami, { subject: /^grant:mcpg_/, issuer: upstream.origin, claims: {} })
  t.strictSame(whoami.claims, {})
})

t.test('endpoints and issuer named one by one: the ID token is checked, without discovery', async t => {
  for (const path of ['', '/realms/ours']) {
    const upstream = new ScriptableUpstream({
      discovery: [],
      path,
      algorithm: 'ES256',
      metadata: { authorization_response_iss_parameter_supported: true }
    })
    const service = await startService(t, {
      ...named(upstream),
      issuerUrl: new URL(upstream.issuer),
      fetch: upstream.fetch
    })
    upstream.clients.addByHand(service.url)
    t.match((await journey(service)).whoami, { subject: 'alice', issuer: upstream.issuer }, path)
  }
  const upstream = new ScriptableUpstream({ discovery: [], path: '/realms/ours' })
  const service = await startService(t, { ...named(upstream), issuerUrl: new URL(`${upstream.origin}/realms/theirs`) })
  upstream.clients.addByHand(service.url)
  t.match(
    await (await TestClient.register(service)).answer(),
    { error: 'server_error' },
    'that of another issuer is refused'
  )
})

t.test('named endpoints go before those that are discovered', async t => {
  const upstream = new ScriptableUpstream({
    metadata: { authorization_endpoint: 'https://wrong.example/authorize', revocation_endpoint: undefined }
  })
  const service = await startService(t, {
    ...named(upstream),
    issuerUrl: new URL(upstream.issuer),
    fetch: upstream.fetch,
    revocationUrl: new URL(`${upstream.origin}/revoke`)
  })
  upstream.clients.addByHand(service.url, { authMethod: 'client_secret_basic' })
  t.match((await journey(service)).whoami, { subject: 'alice', issuer: upstream.issuer })
})

t.test('http outside loopback is refused by the configuration', async t => {
  const explicit = {
    OAUTH_AUTHORIZATION_URL: 'https://login.example/a',
    OAUTH_TOKEN_URL: 'https://login.example/t',
    OAUTH_CLIENT_ID: 'us'
  }
  const refuses = (name: string, url: string) =>
    t.throws(() => loadConfig({ ...explicit, [name]: url }, { dotenv: false }), {
      constructor: ConfigError,
      message: new RegExp(`^${name} is .*; it takes an https URL`)
    }, `${name}=${url}`)
  for (
    const name of [
      'OAUTH_ISSUER_URL',
      'OAUTH_AUTHORIZATION_URL',
      'OAUTH_TOKEN_URL',
      'OAUTH_REGISTRATION_URL',
      'OAUTH_REVOCATION_URL',
      'OAUTH_USERINFO_URL'
    ]
  ) {
    refuses(name, 'http://login.example/x')
    t.doesNotThrow(() => loadConfig({ ...explicit, [name]: 'http://localhost:1/x' }, { dotenv: false }), name)
  }
  for (
    const url of [
      'http://127.0.0.1.example/x',
      'http://10.0.0.1/x',
      'ftp://login.example/x',
      'login.example',
      'https://me@login.example/x',
      'https://login.example/x#y'
    ]
  ) refuses('OAUTH_USERINFO_URL', url)
  for (const url of ['https://login.example/x', 'http://127.0.0.1:1/x', 'http://[::1]:1/x']) {
    t.doesNotThrow(() => loadConfig({ ...explicit, OAUTH_USERINFO_URL: url }, { dotenv: false }), url)
  }
})

t.test('http outside loopback is refused where the service is embedded, too', async t => {
  await t.rejects(startService(t, { issuerUrl: new URL('http://login.example') }), {
    code: 'config_invalid',
    message: /upstream\.issuerUrl .* it takes an https URL/
  })
  const upstream = new ScriptableUpstream({ metadata: { token_endpoint: 'ftp://login.example/token' } })
  const other = await startService(t, { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch })
  t.match(await (await TestClient.register(other)).answer(), { error: 'server_error' })
})

t.test('the two variables of an upstream without OpenID Connect', async t => {
  const { upstream } = loadConfig({
    OAUTH_AUTHORIZATION_URL: 'https://github.com/login/oauth/authorize',
    OAUTH_TOKEN_URL: 'https://github.com/login/oauth/access_token',
    OAUTH_USERINFO_URL: 'https://api.github.com/user',
    OAUTH_SUBJECT_CLAIM: 'id',
    OAUTH_CLIENT_ID: 'us'
  }, { dotenv: false })
  t.equal(upstream?.userinfoUrl?.href, 'https://api.github.com/user')
  t.equal(upstream?.subjectClaim, 'id')
  const { upstream: plain } = loadConfig({ OAUTH_ISSUER_URL: 'https://login.example' }, { dotenv: false })
  t.equal(plain?.subjectClaim, undefined, 'the one of the preset, or else sub')
})
