import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { createServer } from '../support/sample-server.js'
import { mcpService } from '../../src/service/mcp-service.js'
import type { ResourceServerModeOptions } from '../../src/service/plugin-options.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { fetchFrom, injectFetch } from '../../src/testing/inject-fetch.js'
import { bearer, callMcp } from '../support/oauth-flow.js'
import type { Target } from '../support/target.js'

const ISSUER = 'https://login.test'
const URL_OF_SERVICE = 'http://localhost:5050'
const RESOURCE = `${URL_OF_SERVICE}/mcp`

const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true })
const jwk = { ...await exportJWK(publicKey), kid: 'key', alg: 'ES256' }

/** An authorization server whose introspection says what a test wants. */
const introspected = new Map<string, Record<string, unknown>>()
const issuerFetch = fetchFrom(async request => {
  switch (new URL(request.url).pathname) {
    case '/.well-known/openid-configuration':
      return Response.json({
        issuer: ISSUER,
        jwks_uri: `${ISSUER}/jwks`,
        introspection_endpoint: `${ISSUER}/introspect`,
        authorization_endpoint: `${ISSUER}/a`,
        token_endpoint: `${ISSUER}/token`
      })
    case '/jwks':
      return Response.json({ keys: [jwk] })
    default:
      return Response.json(
        introspected.get(new URLSearchParams(await request.text()).get('token') ?? '') ?? { active: false }
      )
  }
})

async function start (t: Test, auth: Partial<ResourceServerModeOptions['auth']> = {}): Promise<Target> {
  const app = Fastify()
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  await app.register(mcpService, {
    createServer,
    publicUrl: URL_OF_SERVICE,
    stores,
    auth: {
      mode: 'resource-server',
      issuer: ISSUER,
      fetch: issuerFetch,
      introspection: { clientId: 'rs', clientSecret: 'rs-secret' },
      ...auth
    }
  })
  t.teardown(async () => {
    await app.close()
    await stores.close()
  })
  return { app, upstream: { issuer: ISSUER }, fetch: injectFetch(app), url: URL_OF_SERVICE }
}

const CLAIMS = { iss: ISSUER, aud: RESOURCE, sub: 'alice', client_id: 'app', scope: 'mcp' }

async function sign (claims: Record<string, unknown>, header: Record<string, unknown> = {}): Promise<string> {
  return await new SignJWT({ ...CLAIMS, ...claims }).setProtectedHeader({ alg: 'ES256', kid: 'key', ...header })
    .setIssuedAt().setExpirationTime('5m').sign(privateKey)
}

/** [taken as it is, taken with OAUTH_STRICT_TOKEN_TYPE] */
type Taken = readonly [usual: boolean, strict: boolean]
const EVERYWHERE: Taken = [true, true]
const LENIENT: Taken = [true, false]
const NOWHERE: Taken = [false, false]

t.test('by the typ header', async t => {
  const rows: Array<[typ: unknown, taken: Taken]> = [
    ['at+jwt', EVERYWHERE],
    ['AT+JWT', EVERYWHERE],
    ['application/at+jwt', EVERYWHERE],
    ['Application/At+Jwt', EVERYWHERE],
    [undefined, LENIENT],
    ['JWT', LENIENT],
    ['jwt', LENIENT],
    ['application/jwt', LENIENT],
    ['application/okta-internal-at+jwt', LENIENT],
    ...[
      'logout+jwt',
      'LOGOUT+JWT',
      'application/logout+jwt',
      'id+jwt',
      'id_token+jwt',
      'dpop+jwt',
      'secevent+jwt',
      'client-authentication+jwt',
      'oauth-id-jag+jwt',
      'oauth-authz-req+jwt',
      'token-introspection+jwt',
      'txntoken+jwt',
      'kb+jwt',
      'vc+sd-jwt',
      'rt+jwt',
      'jose',
      'JWE',
      '',
      ' at+jwt',
      'at+jwt ',
      'at+jwt;x',
      'text/at+jwt',
      'application/application/at+jwt',
      'xat+jwt'
    ].map(typ => [typ, NOWHERE] as [string, Taken]),
    [null, NOWHERE], [1, NOWHERE], [['at+jwt'], NOWHERE], [{}, NOWHERE]
  ]
  const [usual, strict] = [await start(t), await start(t, { strictTokenType: true })]
  for (const [typ, taken] of rows) {
    const token = await sign({}, typ === undefined ? {} : { typ })
    const statuses = [(await callMcp(usual, bearer(token))).status, (await callMcp(strict, bearer(token))).status]
    t.strictSame(statuses, taken.map(is => is ? 200 : 401), JSON.stringify(typ))
  }
})

const REFUSED: Record<string, Record<string, unknown>> = {
  'an ID token, by its nonce': { nonce: 'n' },
  'an ID token, by at_hash': { at_hash: 'x' },
  'an ID token, by c_hash': { c_hash: 'x' },
  'an ID token, by s_hash': { s_hash: 'x' },
  'an ID token of Keycloak': { typ: 'ID', azp: 'app' },
  'a refresh token of Keycloak': { typ: 'Refresh' },
  'an offline token of Keycloak': { typ: 'Offline' },
  'a logout token of Keycloak': { typ: 'Logout' },
  'a typ that is no text': { typ: ['Bearer'] },
  'a DPoP token of Keycloak': { typ: 'DPoP' },
  'an ID token of Cognito': { token_use: 'id' },
  'a refresh token of Hydra': { token_use: 'refresh_token' },
  'a DPoP token': { token_type: 'DPoP' },
  'a logout token': { events: { 'http://schemas.openid.net/event/backchannel-logout': {} }, sid: 's' },
  'a security event without any event': { events: {} },
  'a DPoP proof': { htm: 'POST', htu: RESOURCE },
  'an introspection response': { token_introspection: { active: true } },
  'a token bound to a DPoP key': { cnf: { jkt: 'x' } },
  'a token bound to a certificate': { cnf: { 'x5t#S256': 'x' } },
  'a client assertion': { sub: ISSUER },
  'what is for the token endpoint, too': { aud: [RESOURCE, `${ISSUER}/token`] },
  'an empty sub': { sub: '' },
  'a blank sub': { sub: ' \t' },
  'a sub with a line break': { sub: 'alice\nroot' },
  'a sub of ours': { sub: 'grant:mcpg_x' },
  'a sub that is absurdly long': { sub: 'x'.repeat(2000) },
  'a sub that is no text': { sub: { name: 'alice' } }
}
const TAKEN: Record<string, Record<string, unknown>> = {
  plain: {},
  'of Keycloak': { typ: 'Bearer', azp: 'app', sid: 's', session_state: 's', acr: '1' },
  'of Cognito': { token_use: 'access' },
  'with what RFC 9068 allows': { auth_time: 1, acr: '1', amr: ['pwd'], jti: 'x', roles: [] },
  'with a subject that is long': { sub: 'x'.repeat(255) },
  'for another resource, too': { aud: [RESOURCE, `${ISSUER}/userinfo`] }
}

t.test('by the claims, of JWTs and of what introspection says', async t => {
  const target = await start(t)
  let tokens = 0
  for (const [all, status] of [[REFUSED, 401], [TAKEN, 200]] as const) {
    for (const [what, claims] of Object.entries(all)) {
      t.equal((await callMcp(target, bearer(await sign(claims)))).status, status, `JWT: ${what}`)
      const opaque = `opaque-${++tokens}`
      introspected.set(opaque, { active: true, ...CLAIMS, ...claims })
      t.equal((await callMcp(target, bearer(opaque))).status, status, `introspected: ${what}`)
    }
  }
  const now = Math.floor(Date.now() / 1000)
  for (const [what, claims] of Object.entries({
    'of another issuer': { iss: 'https://other.test' },
    'that has expired': { exp: now - 60 },
    'that is not good yet': { nbf: now + 60 },
    'without a sub': { sub: undefined },
    'without an audience': { aud: undefined }
  })) {
    const opaque = what.replaceAll(' ', '-')
    introspected.set(opaque, { active: true, ...CLAIMS, ...claims })
    t.equal((await callMcp(target, bearer(opaque))).status, 401, `introspected: ${what}`)
  }
})

t.test('by headers that say how a token is to be read', async t => {
  const target = await start(t)
  const b64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const payload = b64({ ...CLAIMS, exp: Math.floor(Date.now() / 1000) + 60 })
  for (
    const header of [
      { alg: 'none' },
      { alg: 'HS256', kid: 'key' },
      { alg: 'ES256', kid: 'key', crit: ['b64'], b64: false },
      { alg: 'ES256', kid: 'key', crit: ['exp'], exp: 1 },
      { alg: 'ES256', kid: 'key', crit: [] },
      { alg: 'ES256', kid: 'key', crit: ['x'], x: 1 },
      { alg: 'ES256', jwk },
      { alg: 'ES256', jku: 'https://evil.test/jwks', kid: 'key' },
      { alg: 'dir', enc: 'A256GCM' },
      {},
      [],
      null,
      'x'
    ]
  ) {
    t.equal(
      (await callMcp(target, bearer(`${b64(header)}.${payload}.${Buffer.alloc(64).toString('base64url')}`))).status,
      401,
      JSON.stringify(header)
    )
  }
  for (const header of [{ crit: ['b64'], b64: false }, { crit: ['b64'], b64: true }]) {
    const signed = await sign({}, header).catch(() => undefined)
    if (signed !== undefined) {
      t.equal((await callMcp(target, bearer(signed))).status, header.b64 ? 200 : 401, JSON.stringify(header))
    }
  }
})
