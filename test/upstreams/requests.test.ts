import { exportJWK, generateKeyPair } from 'jose'
import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/config.js'
import { startDemoUpstream, type DemoUpstreamOptions } from '../../src/demo/upstream.js'
import type { UpstreamOptions } from '../../src/oauth/options.js'
import type { ScriptableUpstream, ScriptableUpstreamOptions } from '../../src/testing/index.js'
import { objectOf } from '../support/json.js'
import { startService as startConfigured } from '../support/service.js'
import { journey, startService, TestClient, type Service } from './test-client.js'
import { listeningUpstream } from '../support/listening-upstream.js'

/** The service, in dynamic mode, in front of an upstream of some kind. */
async function start (
  t: Test,
  options: ScriptableUpstreamOptions,
  ours: Partial<UpstreamOptions> = {}
): Promise<{ upstream: ScriptableUpstream, service: Service }> {
  const upstream = await listeningUpstream(t, options)
  return { upstream, service: await startService(t, { issuerUrl: new URL(upstream.issuer), ...ours }) }
}

async function startReal (t: Test, configuration: NonNullable<DemoUpstreamOptions['configuration']>): Promise<Service> {
  const upstream = await startDemoUpstream({ port: 0, configuration })
  t.teardown(() => upstream.close())
  return await startService(t, { issuerUrl: new URL(upstream.issuer) })
}

const logged = ({ log }: Service, text: string) => log.some(line => JSON.stringify(line).includes(text))

t.test('extra parameters reach the upstream, and replace none of our own', async t => {
  const upstream = await listeningUpstream(t)
  const hostile =
    'client_id=mallory&response_type=token&response_mode=fragment&redirect_uri=https://evil.example&state=s&nonce=n' +
      '&code_challenge=c&code_challenge_method=plain&scope=admin&request=r&request_uri=u'
  const { app, url } = await startConfigured(t, {
    OAUTH_ISSUER_URL: upstream.issuer,
    OAUTH_EXTRA_AUTHORIZE_PARAMS: `audience=https://api.example.com/&prompt=consent&login_hint=a%20b&${hostile}`
  })
  const { whoami } = await journey({ app, url, log: [], fetch })
  t.match(whoami, { subject: 'alice' })
  const [{ parameters } = { parameters: {} }] = upstream.asked('authorize')
  t.match(parameters, { audience: 'https://api.example.com/', prompt: 'consent', login_hint: 'a b' })
  t.match(parameters, {
    client_id: [...upstream.clients.keys()][0],
    response_type: 'code',
    redirect_uri: `${url}/oauth/callback`,
    state: /^[\w-]{43}$/,
    nonce: /^[\w-]{43}$/,
    code_challenge: /^[\w-]{43}$/,
    code_challenge_method: 'S256',
    scope: 'openid profile email offline_access'
  })
  for (const name of ['response_mode', 'request', 'request_uri']) t.notOk(name in parameters, `no ${name}`)
  const names = [...upstream.asked('authorize')[0]?.url.searchParams.keys() ?? []]
  t.equal(names.length, new Set(names).size, 'each parameter comes once')
})

t.test('extra parameters cannot add a nonce if we send none', async t => {
  const { upstream, service } = await start(t, {}, { scopes: ['profile'], extraAuthorizeParams: { nonce: 'n' } })
  await journey(service)
  t.notOk('nonce' in (upstream.asked('authorize')[0]?.parameters ?? {}))
})

t.test('an authorization endpoint with a query keeps it', async t => {
  const upstream = await listeningUpstream(t)
  const service = await startService(t, {
    issuerUrl: new URL(upstream.issuer),
    authorizationUrl: new URL(`${upstream.origin}/authorize?policy=login`)
  })
  await journey(service)
  t.match(upstream.asked('authorize')[0]?.parameters, { policy: 'login', response_type: 'code' })
})

t.test('scopes: the usual ones only where the upstream has them, those of the operator always', async t => {
  const { upstream, service } = await start(t, { metadata: { scopes_supported: ['openid', 'email'] } }, {
    scopes: ['openid', 'profile', 'email', 'offline_access', 'api://ours/access_as_user']
  })
  await journey(service)
  t.equal(upstream.asked('authorize')[0]?.parameters.scope, 'openid email api://ours/access_as_user')
  t.equal(upstream.asked('register')[0]?.parameters.scope, 'openid email api://ours/access_as_user')
})

t.test('an upstream that demands a scope gets one; for a scope that it refuses the log has the reason', async t => {
  const { upstream, service } = await start(t, { metadata: { scopes_supported: undefined } })
  upstream.overrides.authorize = async (request, usual) =>
    request.parameters.scope === 'openid profile email offline_access'
      ? await usual()
      : upstream.redirect(request, { error: 'invalid_scope' })
  t.match((await journey(service)).whoami, { subject: 'alice' })
  upstream.overrides.authorize = request =>
    upstream.redirect(request, { error: 'invalid_scope', error_description: 'no such scope: profile' })
  t.match(await (await TestClient.register(service)).answer(), { error: 'server_error' })
  t.ok(logged(service, 'invalid_scope: no such scope: profile'))
})

t.test('no scope is requested if none is configured', async t => {
  const { upstream, service } = await start(t, {}, { scopes: [] })
  await journey(service)
  t.notOk('scope' in (upstream.asked('authorize')[0]?.parameters ?? {}))
  t.notOk('scope' in (upstream.asked('register')[0]?.parameters ?? {}))
})

t.test('an upstream that demands nonce gets a new one each time, and one that gives another is refused', async t => {
  const { upstream, service } = await start(t, {})
  upstream.overrides.authorize = async (request, usual) =>
    String(request.parameters.nonce ?? '').length > 20
      ? await usual()
      : upstream.redirect(request, { error: 'invalid_request' })
  const { client } = await journey(service)
  await client.logIn()
  const [first, second] = upstream.asked('authorize')
  t.not(first?.parameters.nonce, second?.parameters.nonce)

  upstream.overrides.authorize = async (request, usual) => {
    request.url.searchParams.set('nonce', 'another')
    Object.assign(request.parameters, { nonce: 'another' })
    return await usual()
  }
  t.match(await client.answer(), { error: 'server_error' })
})

t.test('an OAuth 2 server that takes openid for a scope like any other, and gives no ID token', async t => {
  const { upstream, service } = await start(t, {
    discovery: ['oauth-authorization-server'],
    idTokens: false,
    metadata: {
      scopes_supported: undefined,
      userinfo_endpoint: undefined,
      jwks_uri: undefined,
      id_token_signing_alg_values_supported: undefined,
      subject_types_supported: undefined
    }
  })
  t.match((await journey(service)).whoami, { subject: /^grant:mcpg_/ })
  t.equal(upstream.tokenRequests('authorization_code').length, 1, 'the code is redeemed once')
})

t.test('a registration response of 200, without client_secret_expires_at, or with empty members', async t => {
  const changes: Array<[string, (body: object) => unknown, number]> = [
    ['200', body => body, 200],
    ['no client_secret_expires_at', body => ({ ...body, client_secret_expires_at: undefined }), 201],
    ['both', body => ({ ...body, client_secret_expires_at: undefined }), 200],
    ['null', body => ({ ...body, client_secret_expires_at: null, client_uri: null, logo_uri: '' }), 201]
  ]
  for (const [name, change, status] of changes) {
    const { service } = await start(t, {
      overrides: {
        register: async (_request, usual) => {
          const { body } = await usual()
          return { status, body: change(objectOf(body)) }
        }
      }
    })
    t.match((await journey(service)).whoami, { subject: 'alice' }, name)
  }
})

t.test('a public registration whose client_secret says nothing', async t => {
  const { service } = await start(t, {
    metadata: { token_endpoint_auth_methods_supported: ['none'] },
    overrides: {
      register: async (_request, usual) => {
        const answer = await usual()
        return { ...answer, body: { ...Object(answer.body), client_secret: '' } }
      }
    }
  })
  t.match((await journey(service)).whoami, { subject: 'alice' })
})

t.test('registration is refused: the client is told, and the log names the fix', async t => {
  for (const status of [401, 403]) {
    const { upstream, service } = await start(t, {
      overrides: {
        register: () => ({ status, headers: { 'www-authenticate': 'Bearer' }, body: { error: 'invalid_token' } })
      }
    })
    t.match(await (await TestClient.register(service)).answer(), {
      error: 'server_error',
      error_description: 'The login server does not let this service register.',
      state: 'state of the client'
    })
    t.ok(
      service.log.some(({ level, msg }) =>
        level === 50 &&
        String(msg).endsWith(
          `its registration endpoint responds with ${status}: ` +
            'register a client there by hand and set OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET'
        )
      ),
      `${status}`
    )
    t.equal(upstream.asked('authorize').length, 0)
  }
})

t.test('a real upstream whose registration is closed', async t => {
  const service = await startReal(t, {
    features: { devInteractions: { enabled: true }, registration: { enabled: true, initialAccessToken: 'secret' } }
  })
  t.match(await (await TestClient.register(service)).answer(), {
    error: 'server_error',
    error_description: 'The login server does not let this service register.'
  })
  t.ok(logged(service, 'set OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET'))
})

t.test('no registration endpoint, and no client id', async t => {
  const { service } = await start(t, { metadata: { registration_endpoint: undefined } })
  t.match(await (await TestClient.register(service)).answer(), {
    error: 'server_error',
    error_description: 'The login server does not let this service register.'
  })
  t.ok(
    logged(
      service,
      'it has no registration endpoint: register a client there by hand and set OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET'
    )
  )
  t.throws(
    () =>
      loadConfig({ OAUTH_AUTHORIZATION_URL: 'https://a.example/a', OAUTH_TOKEN_URL: 'https://a.example/t' }, {
        dotenv: false
      }),
    { message: /^OAUTH_CLIENT_ID is not set/ }
  )
})

t.test('an outage of the registration endpoint is an outage, and over when it is over', async t => {
  const { upstream, service } = await start(t, { overrides: { register: () => ({ status: 503 }) } })
  const client = await TestClient.register(service)
  t.match(await client.answer(), { error: 'temporarily_unavailable' })
  delete upstream.overrides.register
  await client.logIn()
  t.match(await client.call('whoami'), { subject: 'alice' })
})

t.test('iss: sent and right, not sent, wrong, announced but missing', async t => {
  const right = await start(t, { metadata: { authorization_response_iss_parameter_supported: true } })
  t.match((await journey(right.service)).whoami, { subject: 'alice' })
  const silent = await start(t, {})
  t.match((await journey(silent.service)).whoami, { subject: 'alice' })
  for (const iss of ['https://evil.example', undefined]) {
    const { upstream, service } = await start(t, { metadata: { authorization_response_iss_parameter_supported: true } })
    upstream.overrides.authorize = request => {
      const { status, headers = {} } = upstream.redirect(request, { code: 'a code' })
      const location = new URL(headers.location ?? '')
      if (iss === undefined) location.searchParams.delete('iss')
      else location.searchParams.set('iss', iss)
      return { status, headers: { location: location.href } }
    }
    const answer = await (await TestClient.register(service)).answer()
    t.match(answer, { error: 'server_error', iss: service.url }, `iss ${iss}`)
    t.equal(upstream.asked('token').length, 0, 'the code went nowhere')
  }
})

t.test('an unannounced iss that is wrong is refused, too', async t => {
  const { upstream, service } = await start(t, {})
  upstream.overrides.authorize = request => upstream.redirect(request, { code: 'a code', iss: 'https://evil.example' })
  t.match(await (await TestClient.register(service)).answer(), { error: 'server_error' })
})

t.test('client authentication: the best that the upstream has', async t => {
  const cases: Array<[string[] | undefined, string]> = [
    [['client_secret_basic', 'client_secret_post'], 'client_secret_basic'],
    [undefined, 'client_secret_basic'],
    [['client_secret_post'], 'client_secret_post'],
    [['private_key_jwt', 'client_secret_post', 'none'], 'client_secret_post'],
    [['none'], 'none']
  ]
  for (const [supported, expected] of cases) {
    const { upstream, service } = await start(t, { metadata: { token_endpoint_auth_methods_supported: supported } })
    t.match((await journey(service)).whoami, { subject: 'alice' }, `${supported}`)
    t.equal(upstream.asked('register')[0]?.parameters.token_endpoint_auth_method, expected)
  }
})

t.test('an upstream that registers us for another method than the one we asked for', async t => {
  for (const method of ['client_secret_post', 'none']) {
    const { service } = await start(t, {
      overrides: {
        register: async (request, usual) => {
          Object.assign(request.parameters, { token_endpoint_auth_method: method })
          return await usual()
        }
      }
    })
    t.match((await journey(service)).whoami, { subject: 'alice' }, method)
  }
})

t.test('a registered client, by each method', async t => {
  const cases: Array<[string[] | undefined, string]> = [[undefined, 'client_secret_basic'], [[
    'client_secret_basic',
    'client_secret_post'
  ], 'client_secret_basic'], [['client_secret_post'], 'client_secret_post']]
  for (const [supported, authMethod] of cases) {
    const { upstream, service } = await start(t, {
      metadata: { token_endpoint_auth_methods_supported: supported, registration_endpoint: undefined }
    }, { clientId: 'us', clientSecret: 'shh' })
    upstream.clients.addByHand(service.url, { authMethod })
    t.match((await journey(service)).whoami, { subject: 'alice' }, `${supported}`)
  }
  const { upstream, service } = await start(t, {}, { clientId: 'us' })
  upstream.clients.addByHand(service.url, { authMethod: 'none' })
  t.match((await journey(service)).whoami, { subject: 'alice' }, 'public')
})

t.test('client_secret_basic: an id as many servers give, and a secret of any characters', async t => {
  const [clientId, clientSecret] = ['a1b2-c3d4_e5.apps', 'a+b/c=d:e%f g~h']
  const { upstream, service } = await start(t, {
    metadata: { token_endpoint_auth_methods_supported: ['client_secret_basic'] }
  }, { clientId, clientSecret })
  upstream.clients.addByHand(service.url)
  upstream.clients.set(clientId, {
    clientId,
    clientSecret,
    authMethod: 'client_secret_basic',
    redirectUris: [`${service.url}/oauth/callback`]
  })
  let sent = ''
  upstream.overrides.token = async (request, usual) => {
    sent = Buffer.from(request.headers.authorization?.replace('Basic ', '') ?? '', 'base64').toString()
    // the form's space
    request.headers.authorization = `Basic ${Buffer.from(sent.replaceAll('+', '%20')).toString('base64')}`
    return await usual()
  }
  t.match((await journey(service)).whoami, { subject: 'alice' })
  t.equal(sent.split(':')[0], clientId, 'a server that decodes nothing sees the same id')
})

t.test('an upstream that refuses public clients at its token endpoint', async t => {
  const { upstream, service } = await start(t, { metadata: { registration_endpoint: undefined } }, { clientId: 'us' })
  upstream.clients.addByHand(service.url)
  const client = await TestClient.register(service)
  t.match(await client.answer(), { error: 'server_error', error_description: 'The login server refused this service.' })
  t.ok(logged(service, 'invalid_client'), 'the reason is in the log')
  // where it may, the service is no public client
  const dynamic = await start(t, {
    metadata: { token_endpoint_auth_methods_supported: ['none', 'client_secret_post'] }
  })
  dynamic.upstream.overrides.token = async (request, usual) =>
    request.parameters.client_secret === undefined ? { status: 401, body: { error: 'invalid_client' } } : await usual()
  t.match((await journey(dynamic.service)).whoami, { subject: 'alice' })
})

t.test('a real upstream that takes only client_secret_post', async t => {
  t.match((await journey(await startReal(t, { clientAuthMethods: ['client_secret_post'] }))).whoami, {
    subject: 'alice'
  })
})

t.test('no refresh token, no expires_in: the login lasts as long as ours', async t => {
  for (
    const options of [{ refreshTokens: false, expiresIn: null }, { refreshTokens: true, expiresIn: null }, {
      refreshTokens: false,
      expiresIn: 600
    }]
  ) {
    const { upstream, service } = await start(t, options)
    const { client } = await journey(service)
    t.match(await client.call('upstream_token'), { token: /^upstream-/ })
    t.equal((await client.refresh()).status, 200)
    t.match(await client.call('whoami'), { subject: 'alice' })
    t.equal(upstream.tokenRequests('refresh_token').length, 0)
  }
})

t.test('no refresh token, and the access token has expired: no upstream token, but the login continues', async t => {
  const { service } = await start(t, { refreshTokens: false, expiresIn: 0 })
  const { client } = await journey(service)
  t.strictSame(await client.call('upstream_token'), { token: null })
  t.equal((await client.refresh()).status, 200)
})

t.test('members of the token response that say nothing, and numbers as text', async t => {
  const { service } = await start(t, {
    overrides: {
      token: async (_request, usual) => {
        const answer = await usual()
        return {
          ...answer,
          body: { ...Object(answer.body), refresh_token: null, expires_in: '600', scope: null, token_type: undefined }
        }
      }
    }
  })
  const { client } = await journey(service)
  t.match(await client.call('upstream_token'), { token: /^upstream-/ })
})

t.test('a token response is read for what is needed, at a login and at a refresh', async t => {
  const toForm = (body: object) => new URLSearchParams(Object.entries(body)).toString()
  const odd: Array<[string, number, (body: object) => unknown]> = [
    ['scope as a list', 200, body => ({ ...body, scope: ['openid', 5] })],
    ['expires_in negative', 200, body => ({ ...body, expires_in: -1 })],
    ['expires_in as words', 200, body => ({ ...body, expires_in: 'an hour' })],
    ['expires_in endless', 200, body => JSON.stringify(body).replace(/"expires_in":\d+/, '"expires_in":1e999')],
    ['refresh_token of a wrong type', 200, body => ({ ...body, refresh_token: false })],
    ['status 201', 201, body => body],
    ['status 203, a byte order mark', 203, body => `\ufeff${JSON.stringify(body)}`],
    ['a form', 200, toForm],
    ['a form with status 201', 201, toForm]
  ]
  for (const [what, status, change] of odd) {
    const { upstream, service } = await start(t, { expiresIn: 0 })
    upstream.overrides.token = async (_request, usual) => {
      const answer = await usual()
      return { status, headers: { 'content-type': 'text/plain' }, body: change(objectOf(answer.body)) }
    }
    const { client, whoami } = await journey(service)
    t.match(whoami, { subject: 'alice' }, what)
    t.equal((await client.refresh()).status, 200, `${what}: refresh`)
  }
  for (const body of ['error=invalid_grant&error_description=x', { error: 'invalid_grant', error_description: [] }]) {
    const { upstream, service } = await start(t, { expiresIn: 0 })
    const { client } = await journey(service)
    upstream.overrides.token = () => ({ status: 400, body })
    t.match(await client.refresh(), { status: 400, body: { error: 'invalid_grant' } })
  }
})

t.test('metadata with null, also for the default scopes', async t => {
  const { service } = await start(t, {
    metadata: { scopes_supported: null, id_token_signing_alg_values_supported: null, revocation_endpoint: '' }
  })
  t.match((await journey(service)).whoami, { subject: 'alice' })
})

t.test('access tokens of any kind are kept as they are', async t => {
  const { privateKey } = await generateKeyPair('RS256')
  const { SignJWT, CompactEncrypt } = await import('jose')
  const kinds: Record<string, () => string | Promise<string>> = {
    opaque: () => 'gho_16C7e42F292c6912E7710c838347Ae178B4a',
    JWT: () =>
      new SignJWT({ scp: 'api' }).setProtectedHeader({ alg: 'RS256', typ: 'at+jwt' }).setExpirationTime('5m').sign(
        privateKey
      ),
    JWE: () =>
      new CompactEncrypt(Buffer.from('{"sub":"alice"}')).setProtectedHeader({ alg: 'dir', enc: 'A256GCM' }).encrypt(
        new Uint8Array(32)
      ),
    long: () => 'x'.repeat(8000)
  }
  for (const [kind, make] of Object.entries(kinds)) {
    const token = await make()
    const { service } = await start(t, { accessToken: () => token })
    const { client, whoami } = await journey(service)
    t.match(whoami, { subject: 'alice' }, kind)
    t.equal((await client.call('upstream_token')).token, token)
  }
})

t.test('a real upstream that signs its ID tokens with ES256', async t => {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true })
  const jwks = { keys: [{ ...await exportJWK(privateKey), use: 'sig', alg: 'ES256', kid: 'es' }] }
  const service = await startReal(t, {
    jwks,
    enabledJWA: { idTokenSigningAlgValues: ['ES256'] },
    clientDefaults: { id_token_signed_response_alg: 'ES256' }
  })
  t.match((await journey(service)).whoami, { subject: 'alice' })
})

t.test('an ID token with ES256, where the metadata do not say so', async t => {
  const { service } = await start(t, {
    algorithm: 'ES256',
    discovery: ['oauth-authorization-server'],
    metadata: { id_token_signing_alg_values_supported: undefined }
  })
  t.match((await journey(service)).whoami, { subject: 'alice', claims: { name: 'alice of the ID token' } })
})

t.test('errors of the token endpoint at the callback, and what they mean', async t => {
  const html = { 'content-type': 'text/html' }
  const cases: Array<[string, NonNullable<ScriptableUpstream['overrides']['token']>, string]> = [
    ['400 without a body', () => ({ status: 400 }), 'server_error'],
    ['500 without a body', () => ({ status: 500 }), 'temporarily_unavailable'],
    [
      '502 with a page',
      () => ({ status: 502, headers: html, body: '<h1>Bad Gateway</h1>' }),
      'temporarily_unavailable'
    ],
    ['429', () => ({ status: 429, body: { error: 'slow_down' } }), 'temporarily_unavailable'],
    [
      '503 with an error',
      () => ({ status: 503, body: { error: 'temporarily_unavailable' } }),
      'temporarily_unavailable'
    ],
    ['200 with a page', () => ({ status: 200, headers: html, body: '<h1>Log in</h1>' }), 'server_error'],
    ['200 without a body', () => ({ status: 200 }), 'server_error'],
    ['204', () => ({ status: 204 }), 'server_error'],
    ['a redirect', () => ({ status: 302, headers: { location: '/login' } }), 'server_error'],
    ['no access token', () => ({ status: 200, body: { token_type: 'bearer' } }), 'server_error'],
    ['an array', () => ({ status: 200, body: [] }), 'server_error'],
    ['invalid_grant', () => ({ status: 400, body: { error: 'invalid_grant' } }), 'server_error'],
    [
      'an error as text/plain',
      () => ({ status: 400, headers: { 'content-type': 'text/plain' }, body: '{"error":"invalid_grant"}' }),
      'server_error'
    ]
  ]
  const { upstream, service } = await start(t, {})
  const client = await TestClient.register(service)
  for (const [name, token, code] of cases) {
    upstream.overrides.token = token
    t.match(await client.answer(), { error: code, state: 'state of the client', iss: service.url }, name)
  }
  delete upstream.overrides.token
  await client.logIn()
  t.match(await client.call('whoami'), { subject: 'alice' }, 'and then all is well')
})

t.test('the upstream says no: access_denied stays access_denied', async t => {
  const { upstream, service } = await start(t, {})
  const client = await TestClient.register(service)
  for (
    const [theirs, ours] of [
      ['access_denied', 'access_denied'],
      ['login_required', 'access_denied'],
      ['temporarily_unavailable', 'temporarily_unavailable'],
      ['server_error', 'server_error'],
      ['unauthorized_client', 'server_error']
    ] as const
  ) {
    upstream.overrides.authorize = request => upstream.redirect(request, { error: theirs })
    t.match(await client.answer(), { error: ours, state: 'state of the client' }, theirs)
  }
})

t.test('an upstream that hangs is given up after the time that is set', async t => {
  const never = new Promise<never>(() => {})
  for (const endpoint of ['token', 'register', 'openid-configuration', 'userinfo'] as const) {
    const { service } = await start(t, { idTokens: false, overrides: { [endpoint]: () => never } }, {
      timeoutSeconds: 0.2
    })
    const before = performance.now()
    t.match(await (await TestClient.register(service)).answer(), {
      error: 'temporarily_unavailable',
      state: 'state of the client'
    }, endpoint)
    t.ok(performance.now() - before < 3000, 'soon')
  }
})

t.test('a connection that breaks off or stalls in the middle of an answer is an outage', async t => {
  for (const endpoint of ['token', 'register', 'openid-configuration', 'userinfo', 'user'] as const) {
    for (const then of ['cut', 'stall'] as const) {
      const { upstream, service } = await start(t, { idTokens: false }, { timeoutSeconds: 0.2 })
      const explicit = endpoint === 'user' ? { userinfoUrl: new URL(`${upstream.origin}/user`) } : {}
      const ours = endpoint === 'user'
        ? await startService(t, { issuerUrl: new URL(upstream.issuer), timeoutSeconds: 0.2, ...explicit })
        : service
      upstream.overrides[endpoint] = async (_request, usual) => ({ ...await usual(), then })
      t.match(
        await (await TestClient.register(ours)).answer(),
        { error: 'temporarily_unavailable' },
        `${endpoint}: ${then}`
      )
    }
  }
})
