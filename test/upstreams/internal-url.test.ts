import t from 'tap'
import { createTokenVerifier } from '../../src/oauth/resource-server/resource-server.js'
import type { UpstreamOptions } from '../../src/oauth/options.js'
import { toUpstreamSettings } from '../../src/oauth/upstream-settings.js'
import { Upstream } from '../../src/oauth/upstream/upstream.js'
import {
  ScriptableUpstream,
  type ReceivedRequest,
  type ScriptableUpstreamOptions,
  type UpstreamAnswer
} from '../../src/testing/index.js'
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
    const ours = new Upstream(toUpstreamSettings(settings), CALLBACK, Date.now)
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
    toUpstreamSettings({
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
