import t from 'tap'
import { loadConfig } from '../../src/config/config.js'
import { ConfigError } from '../../src/errors.js'
import { createTokenVerifier } from '../../src/oauth/resource-server/resource-server.js'
import { parseUpstreamUrls, type UpstreamOptions } from '../../src/oauth/options.js'
import { Upstream } from '../../src/oauth/upstream/upstream.js'
import { BackChannel } from '../../src/outbound/back-channel.js'
import { proxiedFetch } from '../../src/outbound/proxied-fetch.js'
import { Proxy } from '../../src/outbound/proxy.js'
import {
  ScriptableUpstream,
  type ReceivedRequest,
  type ScriptableUpstreamOptions,
  type UpstreamAnswer
} from '../../src/testing/index.js'
import { connectProxy } from '../support/connect-proxy.js'
import { freePort } from '../support/free-port.js'
import { listen } from '../support/listening-upstream.js'
import { startService as startConfigured } from '../support/service.js'
import { journey, SCOPES, startService, TestClient, type Service } from './test-client.js'

const PUBLIC = 'https://login.example.test'
const REALM = '/realms/example'
const INTERNAL = 'http://keycloak:8080'
const SERVICE = 'http://localhost:5050'
const CALLBACK = `${SERVICE}/oauth/callback`
const RESOURCE = 'https://mcp.example.com/mcp'

/** How a server writes the URLs of its metadata; `byHost`: all but the issuer with the address that it was asked at. */
type Manner = (metadata: Record<string, unknown>, asked: string) => Record<string, unknown>
const replaced = (value: unknown, asked: string) => typeof value === 'string' ? value.replace(PUBLIC, asked) : value
const MANNERS: Readonly<Record<string, Manner>> = {
  // KC_HOSTNAME
  fixed: metadata => metadata,
  // KC_HOSTNAME and KC_HOSTNAME_BACKCHANNEL_DYNAMIC=true
  backchannelDynamic: ({ issuer, authorization_endpoint: page, ...rest }, asked) => ({
    ...Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, replaced(value, asked)])),
    issuer,
    authorization_endpoint: page
  }),
  byHost: ({ issuer, ...rest }, asked) => ({
    ...Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, replaced(value, asked)])),
    issuer
  })
}

/** A server behind two addresses: browsers reach the public one alone, the service the internal one alone. */
function behind (
  manner: Manner,
  { internal = INTERNAL, ...options }: ScriptableUpstreamOptions & { internal?: string } = {}
) {
  const describe = ({ url }: ReceivedRequest): UpstreamAnswer => ({
    status: 200,
    body: manner(upstream.metadata(), url.origin)
  })
  const upstream: ScriptableUpstream = new ScriptableUpstream({
    origin: PUBLIC,
    path: REALM,
    // who logged in is then asked of userinfo
    idTokenClaims: () => ({}),
    ...options,
    overrides: {
      'openid-configuration': describe,
      'oauth-authorization-server': describe,
      register: async ({ url }, usual) => {
        const { body, ...answer } = await usual()
        return { ...answer, body: JSON.parse(JSON.stringify(body).replaceAll(PUBLIC, url.origin)) }
      },
      ...options.overrides
    }
  })
  const asked: string[] = []
  const only = (origin: string, recorded: string[] = []): typeof fetch => async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input)
    recorded.push(url.origin)
    if (url.origin !== origin) throw new TypeError('fetch failed', { cause: new Error(`${url.host} is not known`) })
    return await upstream.fetch(input, init)
  }
  return { upstream, asked, inside: only(internal, asked), outside: only(PUBLIC) }
}

/** The service as browsers reach it. */
const fromOutside = (service: Service, outside: typeof fetch): Service => ({
  ...service,
  fetch: (input, init) => (String(input).startsWith(`${service.url}/`) ? service.fetch : outside)(input, init)
})

const MODES: ReadonlyArray<[name: string, options: Partial<UpstreamOptions>]> = [
  ['dynamic', {}],
  ['static', { clientId: 'us', clientSecret: 'shh' }]
]

for (const [manner, write] of Object.entries(MANNERS)) {
  for (const [mode, options] of MODES) {
    t.test(`${mode} mode, URLs ${manner}: login, refresh, revocation`, async t => {
      const { upstream, asked, inside, outside } = behind(write, {
        metadata: { authorization_response_iss_parameter_supported: true },
        expiresIn: 1
      })
      upstream.clients.addByHand(SERVICE, { authMethod: 'client_secret_basic' })
      const service = fromOutside(
        await startService(t, {
          issuerUrl: upstream.issuer,
          internalUrl: INTERNAL + REALM,
          fetch: inside,
          ...options
        }),
        outside
      )
      const { client, whoami } = await journey(service)
      t.match(whoami, { issuer: PUBLIC + REALM, subject: 'alice', claims: { name: 'alice of userinfo' } })
      t.match(await client.call('upstream_token'), { token: /./ })
      t.equal((await client.refresh()).status, 200)
      t.equal(await client.revoke(), 200)
      t.strictSame([...new Set(asked)], [INTERNAL], 'everything goes the internal way')
      const endpoints = new Set(upstream.requests.map(({ endpoint }) => endpoint))
      for (const endpoint of ['token', 'userinfo', 'revoke'] as const) t.ok(endpoints.has(endpoint), endpoint)
      t.equal(upstream.asked('authorize')[0]?.url.origin, PUBLIC, 'browsers go the public way')
    })
  }

  t.test(`resource-server mode, URLs ${manner}`, async t => {
    const { upstream, asked, inside } = behind(write, { metadata: { introspection_endpoint: `${PUBLIC}/introspect` } })
    const claims = { iss: upstream.issuer, sub: 'alice', aud: RESOURCE, client_id: 'app' }
    const verify = createTokenVerifier({
      issuer: upstream.issuer,
      internalUrl: INTERNAL,
      audiences: [RESOURCE],
      introspection: { clientId: 'rs', clientSecret: 'secret' },
      fetch: async (input, init) =>
        String(input) === `${INTERNAL}/introspect`
          ? Response.json({ active: true, ...claims })
          : await inside(input, init)
    })
    for (const token of [await upstream.sign(claims), 'opaque']) {
      t.match(await verify(token), { clientId: 'app', extra: { issuer: PUBLIC + REALM, subject: 'alice' } })
    }
    await t.rejects(verify(await upstream.sign({ ...claims, iss: INTERNAL + REALM })), { code: 'invalid_token' })
    t.strictSame([...new Set(asked)], [INTERNAL])
  })

  t.test(`registrations are deleted, URLs ${manner}`, async t => {
    const { upstream, inside } = behind(write)
    const settings = { issuerUrl: upstream.issuer, internalUrl: INTERNAL, fetch: inside, scopes: SCOPES }
    const ours = new Upstream(parseUpstreamUrls(settings), CALLBACK, Date.now)
    await ours.registration.deregister(await ours.registration.register('app'))
    t.equal(upstream.asked('registration').length, 1)
  })
}

t.test('a server that calls itself by its internal URL is refused, in words that help', async t => {
  const { upstream, inside, outside } = behind((metadata, asked) =>
    Object.fromEntries(Object.entries(metadata).map(([name, value]) => [name, replaced(value, asked)]))
  )
  const settings = { issuerUrl: upstream.issuer, internalUrl: INTERNAL, fetch: inside }
  const service = fromOutside(await startService(t, settings), outside)
  t.match(await (await TestClient.register(service)).answer(), { error: 'server_error' })
  t.match(service.log.map(({ detail }) => detail).join(), /calls itself http:\/\/keycloak:8080\/realms.*KC_HOSTNAME/)
  const verify = createTokenVerifier({ issuer: upstream.issuer, ...settings, audiences: [RESOURCE] })
  await t.rejects(verify(await upstream.sign({ iss: upstream.issuer, sub: 'alice', aud: RESOURCE })), {
    code: 'server_error',
    detail: /KC_HOSTNAME/
  })
})

t.test('an ID token, and a callback, of the internal URL are refused', async t => {
  const { upstream, inside, outside } = behind(metadata => metadata, {
    idTokenClaims: () => ({ iss: INTERNAL + REALM })
  })
  const service = fromOutside(
    await startService(t, { issuerUrl: upstream.issuer, internalUrl: INTERNAL, fetch: inside }),
    outside
  )
  t.match(await (await TestClient.register(service)).answer(), { error: 'server_error' })
  upstream.overrides.authorize = request => upstream.redirect(request, { code: 'x', iss: INTERNAL + REALM })
  t.match(await (await TestClient.register(service)).answer(), { error: 'server_error' })
})

t.test('metadata that point elsewhere behave as without an internal URL', async t => {
  for (const [endpoint, to] of [
    ['token_endpoint', 'https://elsewhere.example/token'],
    ['token_endpoint', 'http://keycloak:9090/token'],
    ['token_endpoint', 'http://keycloak.example:8080/token'],
    ['token_endpoint', 'http://169.254.169.254/token'],
    ['authorization_endpoint', 'http://keycloak:9090/authorize'],
    ['authorization_endpoint', `${PUBLIC}.example/authorize`]
  ] as const) {
    const outcomes: unknown[] = []
    for (const internal of [INTERNAL, PUBLIC]) {
      const { upstream, asked, inside, outside } = behind(metadata => ({ ...metadata, [endpoint]: to }), { internal })
      const settings = { issuerUrl: upstream.issuer, ...internal === INTERNAL && { internalUrl: INTERNAL } }
      const service = fromOutside(await startService(t, { ...settings, fetch: inside }), outside)
      const answer = await (await TestClient.register(service)).answer().catch((error: unknown) => String(error))
      outcomes.push([answer, [...new Set(asked)].map(origin => origin.replace(internal, 'itself'))])
    }
    t.strictSame(outcomes[0], outcomes[1], `${endpoint}: ${to}`)
    t.notMatch(outcomes[0], [{ code: /./ }], 'nobody logs in')
  }
})

t.test('endpoints that were named are asked as written', async t => {
  const { upstream, inside } = behind(metadata => metadata)
  const asked: string[] = []
  const tokenUrl = `${PUBLIC}/token`
  const ours = new Upstream(
    parseUpstreamUrls({
      issuerUrl: upstream.issuer,
      internalUrl: INTERNAL,
      tokenUrl,
      scopes: SCOPES,
      fetch: async (input, init) => {
        asked.push(String(input))
        return await (String(input) === tokenUrl ? upstream.fetch : inside)(input, init)
      }
    }),
    CALLBACK,
    Date.now
  )
  t.equal(await ours.knows({ clientId: 'nobody' }), false)
  t.strictSame(asked, [`${INTERNAL}${REALM}/.well-known/openid-configuration`, tokenUrl])
})

t.test('by its variables, over the network', async t => {
  const upstream = new ScriptableUpstream({ origin: PUBLIC, path: REALM })
  const internal = await listen(t, upstream, await freePort())
  const service = await startConfigured(t, { OAUTH_ISSUER_URL: upstream.issuer, OAUTH_INTERNAL_URL: internal })
  const { whoami } = await journey(fromOutside({ ...service, log: [] }, upstream.fetch))
  t.match(whoami, { issuer: PUBLIC + REALM, subject: 'alice' })
  t.equal((await fetch(`${service.url}/readyz`)).status, 200)
  t.ok(upstream.asked('token').every(({ url }) => url.origin === internal))
  t.equal(upstream.asked('token').length, 1)
})

t.test('the proxy to the internet carries no request to a host of NO_PROXY', async t => {
  const proxy = await connectProxy(t)
  const direct = new Proxy({ url: proxy.url, except: ['keycloak'] })
  const way = (internalUrl: string) =>
    new BackChannel({ issuerUrl: new URL(PUBLIC), internalUrl: new URL(internalUrl) }).fetch(proxiedFetch(direct))
  for (const internalUrl of ['https://keycloak:8443', 'http://keycloak.internal:8080', 'http://127.0.0.1:1']) {
    await t.rejects(way(internalUrl)(`${PUBLIC}/token`, { signal: AbortSignal.timeout(2000) }), internalUrl)
  }
  t.strictSame(proxy.asked, [])
})

t.test('what is mapped where', async t => {
  for (const [issuer, internal, from, to] of [
    ['https://a.test', 'http://kc:8080', 'https://a.test/token?x=1', 'http://kc:8080/token?x=1'],
    ['https://a.test', 'http://kc:8080/', 'https://a.test:443/', 'http://kc:8080/'],
    ['https://a.test/realms/x', 'http://kc:8080', 'https://a.test/realms/x/token', 'http://kc:8080/realms/x/token'],
    ['https://a.test/realms/x/', 'http://kc/realms/x', 'https://a.test/realms/x/token', 'http://kc/realms/x/token'],
    // outside of the path of the issuer, as at Entra
    ['https://a.test/t/v2.0', 'http://kc/t/v2.0', 'https://a.test/t/oauth2/v2.0/token', 'http://kc/t/oauth2/v2.0/token'],
    ['https://a.test/auth/realms/x', 'http://kc/realms/x', 'https://a.test/auth/realms/x/t', 'http://kc/realms/x/t'],
    ['https://a.test/realms/x', 'http://kc/auth/realms/x', 'https://a.test/realms/x/t', 'http://kc/auth/realms/x/t'],
    [
      'https://a.test/auth/realms/x',
      'http://kc/realms/x',
      'https://a.test/.well-known/oauth-authorization-server/auth/realms/x',
      'http://kc/.well-known/oauth-authorization-server/realms/x'
    ],
    ['https://a.test/auth/realms/x', 'http://kc/realms/x', 'https://a.test/authentic/t', undefined],
    ['https://a.test/auth/realms/x', 'http://kc/realms/x', 'https://a.test/auth/../other', undefined],
    ['https://a.test', 'http://kc:8080', 'https://a.test.evil.example/token', undefined],
    ['https://a.test', 'http://kc:8080', 'http://a.test/token', undefined],
    ['https://a.test', 'http://kc:8080', 'https://a.test:8443/token', undefined]
  ] as const) {
    const channel = new BackChannel({ issuerUrl: new URL(issuer), internalUrl: new URL(internal) })
    t.equal(channel.toInternal(new URL(from)).href, to ?? new URL(from).href, `${issuer} at ${internal}: ${from}`)
    if (to !== undefined) t.equal(channel.toPublic(to), new URL(from).href, `${internal}: ${to}`)
  }
})

t.test('OAUTH_INTERNAL_URL', async t => {
  const load = (OAUTH_INTERNAL_URL: string, environment: NodeJS.ProcessEnv = { OAUTH_ISSUER_URL: PUBLIC }) =>
    loadConfig({ ...environment, OAUTH_INTERNAL_URL }, { dotenv: false }).upstream?.internalUrl?.href
  for (const url of [
    'http://keycloak:8080/realms/x',
    'http://keycloak.auth.svc:8080',
    'http://keycloak.auth.svc.cluster.local',
    'http://kc.internal/',
    'http://kc.local/',
    'http://10.1.2.3:8080/',
    'http://172.31.0.1/',
    'http://192.168.1.1/',
    'http://[fd12::1]/',
    'http://localhost:8080/',
    'http://127.0.0.1/',
    'https://login.example.net/'
  ]) t.equal(load(url), new URL(url).href)
  for (const url of [
    'http://login.example.net',
    'http://8.8.8.8',
    'http://172.32.0.1',
    'http://169.254.169.254',
    'http://[2001:4860:4860::8888]',
    'http://user:pass@keycloak:8080',
    'http://keycloak:8080/?x=1',
    'http://keycloak:8080/#x',
    'keycloak:8080',
    'ftp://keycloak',
    'http://keycloak.svc.example.com'
  ]) {
    const message = /^OAUTH_INTERNAL_URL is .*; it takes an https URL/
    t.throws(() => load(url), { name: ConfigError.name, message }, url)
  }
  for (const environment of [{}, { OAUTH_AUTHORIZATION_URL: `${PUBLIC}/a`, OAUTH_TOKEN_URL: `${PUBLIC}/t` }]) {
    t.throws(
      () => load(INTERNAL, { ...environment, OAUTH_CLIENT_ID: 'us' }),
      /^OAUTH_ISSUER_URL is not set, but OAUTH_INTERNAL_URL is;/
    )
  }
})
