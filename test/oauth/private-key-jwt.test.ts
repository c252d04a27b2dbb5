import * as openid from 'openid-client'
import t, { type Test } from 'tap'
import type { BrokerModeOptions } from '../../src/service/plugin-options.js'
import { ScriptableUpstream } from '../../src/testing/index.js'
import { valueAt } from '../support/json.js'
import {
  ALGORITHMS,
  asserted,
  keyHost,
  newKey,
  sign,
  type ClientKey,
  type KeyHost
} from '../support/client-keys.js'
import { clock } from '../support/clock.js'
import {
  isGood,
  newCode,
  parseTokens,
  post,
  redeem,
  refresh,
  register,
  revoke,
  VERIFIER,
  WEB_URI,
  type Client,
  type Parameters
} from '../support/oauth-flow.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'
import { embed, startTarget, type Target } from '../support/target.js'

const ADMIN_TOKEN = 'the-token-of-the-operators'
const start = (t: Test, options: Partial<BrokerModeOptions> = {}, upstream = new ScriptableUpstream()) =>
  embed(t, { allowLoopbackClients: true, adminToken: ADMIN_TOKEN, ...options }, upstream)

const [rsa, ec] = [await newKey('RS256'), await newKey('ES256')]
const keys: ClientKey[] = [rsa, ec, await newKey('PS256'), await newKey('EdDSA')]

/** Ways in which a client publishes its key. */
const CLIENTS: Record<string, (t: Test, target: Target, key: ClientKey) => Promise<Client>> = {
  'a document with jwks_uri': async (t, _target, { jwk }) => (await keyHost(t, {}, [jwk])).client,
  'a document with jwks': async (t, _target, { jwk }) =>
    (await keyHost(t, { jwks_uri: undefined, jwks: { keys: [jwk] } })).client,
  'a document with jwks_uri that lists none, too': async (t, _target, { jwk }) =>
    (await keyHost(t, { token_endpoint_auth_methods_supported: ['none', 'private_key_jwt'] }, [jwk])).client,
  'a registration with jwks': async (_t, target, { jwk }) =>
    await register(target, WEB_URI, { token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [jwk] } }),
  'a registration with jwks_uri': async (t, target, { jwk }) =>
    await register(target, WEB_URI, {
      token_endpoint_auth_method: 'private_key_jwt',
      jwks_uri: (await keyHost(t, {}, [jwk])).jwksUri
    })
}

for (const [kind, makeClient] of Object.entries(CLIENTS)) {
  for (const key of keys) {
    t.test(`${kind}, ${key.alg}: logs in, refreshes, asks and revokes`, async t => {
      const target = await start(t)
      const client = await makeClient(t, target, key)
      t.equal(client.clientSecret, undefined, 'no secret is issued to it')
      const { clientId } = client
      const signed = async (claims = {}) => asserted(await sign(target, clientId, key, claims))
      const tokens = parseTokens(await redeem(target, client, await newCode(target, client), await signed()))
      t.ok(await isGood(target, tokens.accessToken))
      // the assertion names the client; the issuer is as good an audience as its token endpoint, and so are both
      const { url } = target
      const refreshed = await refresh(target, client, tokens.refreshToken, {
        ...await signed({ aud: [url, `${url}/token`] }),
        client_id: undefined
      })
      const { accessToken } = parseTokens(refreshed)
      const known = await post(target, '/introspect', { token: accessToken, ...await signed({ aud: url }) })
      t.match(known.body, { active: true, client_id: clientId })
      t.equal((await revoke(target, client, accessToken, await signed({ exp: Date.now() / 1000 + 3599 }))).status, 200)
      t.notOk(await isGood(target, accessToken))
    })
  }
}

t.test('a client that the operator has named with its keys must sign, too', async t => {
  const clientId = 'https://chatgpt.com/oauth/client.json'
  const redirectUris = [WEB_URI]
  for (const keysOf of [{ jwks: { keys: [rsa.jwk] } }, { jwksUri: (await keyHost(t, {}, [rsa.jwk])).jwksUri }]) {
    const target = await start(t, { clients: [{ clientId, redirectUris, ...keysOf }], clientMetadataDocuments: false })
    const client = { clientId, redirectUri: WEB_URI }
    const code = await newCode(target, client)
    t.match((await redeem(target, client, code)).member('error_description'), /must authenticate with private_key_jwt/)
    t.equal((await redeem(target, client, code, asserted(await sign(target, clientId, rsa)))).status, 200)
  }
  const faults = {
    'not both': { jwks: { keys: [rsa.jwk] }, clientSecret: 'a-secret-of-the-client' },
    'Only one of jwks and jwks_uri': { jwks: { keys: [rsa.jwk] }, jwksUri: 'https://app.example/jwks' },
    'public keys only': { jwks: { keys: [{ ...rsa.jwk, d: 'x' }] } },
    'jwks_uri must be an https URL': { jwksUri: 'ftp://app.example/jwks' }
  }
  for (const [why, fault] of Object.entries(faults)) {
    await t.rejects(start(t, { clients: [{ clientId, redirectUris, ...fault }] }), new RegExp(`clients\\[0\\].*${why}`))
    const environment = { PREREGISTERED_CLIENTS: JSON.stringify([{ clientId, redirectUris, ...fault }]) }
    await t.rejects(startTarget(t, environment), new RegExp(`^PREREGISTERED_CLIENTS\\[0\\] is not valid: .*${why}`))
  }
})

for (const key of keys) {
  t.test(`openid-client with ${key.alg}: code, refresh, introspection, revocation`, async t => {
    const target = await start(t)
    const host = await keyHost(t, {}, [key.jwk])
    const { clientId } = host.client
    const config = await openid.discovery(
      new URL(target.url),
      clientId,
      undefined,
      openid.PrivateKeyJwt({ key: key.privateKey, kid: key.kid }),
      {
        execute: [openid.allowInsecureRequests],
        [openid.customFetch]: async (url, { method, headers, body = null }) =>
          await target.fetch(url, { method, headers, body }),
        algorithm: 'oauth2'
      }
    )
    const code = await newCode(target, host.client)
    const callback = new URL(`${WEB_URI}?code=${code}&iss=${encodeURIComponent(target.url)}`)
    const tokens = await openid.authorizationCodeGrant(config, callback, { pkceCodeVerifier: VERIFIER })
    const refreshed = await openid.refreshTokenGrant(config, tokens.refresh_token ?? '')
    t.match(await openid.tokenIntrospection(config, refreshed.access_token), { active: true, client_id: clientId })
    await openid.tokenRevocation(config, refreshed.access_token)
    t.notOk(await isGood(target, refreshed.access_token))
  })
}

t.test('the metadata say so', async t => {
  const { app } = await start(t)
  for (const name of ['oauth-authorization-server', 'openid-configuration']) {
    const document: unknown = (await app.inject({ url: `/.well-known/${name}` })).json()
    for (const endpoint of ['token', 'revocation', 'introspection']) {
      const methods = valueAt(document, `${endpoint}_endpoint_auth_methods_supported`)
      t.ok(Array.isArray(methods) && methods.includes('private_key_jwt'), endpoint)
      t.strictSame(valueAt(document, `${endpoint}_endpoint_auth_signing_alg_values_supported`), [...ALGORITHMS])
    }
  }
})

t.test('another client\'s tokens are not shown to a client that signs, nor ended by it', async t => {
  const target = await start(t)
  const { client } = await keyHost(t, {}, [rsa.jwk])
  const other = await register(target, WEB_URI)
  const { accessToken } = parseTokens(await redeem(target, other, await newCode(target, other)))
  const signed = async () => asserted(await sign(target, client.clientId, rsa))
  await newCode(target, client)
  t.same((await post(target, '/introspect', { token: accessToken, ...await signed() })).body, { active: false })
  t.equal((await revoke(target, client, accessToken, await signed())).status, 200)
  t.ok(await isGood(target, accessToken))
})

/** What the last attempt is said to have come to. */
async function verdict ({ app }: Target): Promise<string> {
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, accept: 'application/json' }
  const report: unknown = (await app.inject({ url: '/admin/attempts', headers })).json()
  return ['text', 'advice'].map(member => String(valueAt(report, 'attempts', 0, 'verdict', member))).join(' ')
}

const now = () => Math.floor(Date.now() / 1000)
type Make = (target: Target, clientId: string) => Promise<Parameters>
const claims = (change: (target: Target, clientId: string) => Record<string, unknown>): Make =>
  async (target, clientId) => asserted(await sign(target, clientId, rsa, change(target, clientId)))
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
const withHeader = (jwt: string, header: object, signature = jwt.split('.')[2]) =>
  [encode(header), jwt.split('.')[1], signature].join('.')

const REFUSED: Record<string, [make: Make, error: string, description: RegExp]> = {
  'another client in it': [claims(() => ({ iss: 'other', sub: 'other' })), 'invalid_client', /iss and sub/],
  'another issuer in it': [claims(() => ({ iss: 'other' })), 'invalid_client', /iss and sub/],
  'another subject in it': [claims(() => ({ sub: 'other' })), 'invalid_client', /iss and sub/],
  'no issuer': [claims(() => ({ iss: undefined })), 'invalid_client', /its iss is missing/],
  'another audience': [claims(() => ({ aud: 'https://other.example/token' })), 'invalid_client', /its aud must be http/],
  'no audience': [claims(() => ({ aud: undefined })), 'invalid_client', /its aud is missing/],
  'an empty audience': [claims(() => ({ aud: [] })), 'invalid_client', /its aud is missing or wrong/],
  'our audience among others': [
    claims(({ url }) => ({ aud: [`${url}/token`, 'https://other.example'] })), 'invalid_client', /nothing else/
  ],
  'the audience of our resource': [claims(({ url }) => ({ aud: `${url}/mcp` })), 'invalid_client', /its aud must be/],
  'no end': [claims(() => ({ exp: undefined })), 'invalid_client', /its exp is missing/],
  'an end as text': [claims(() => ({ exp: String(now() + 60) })), 'invalid_client', /./],
  'an end in the past': [claims(() => ({ exp: now() - 60 })), 'invalid_client', /has expired.*Sign a new one/],
  'an end more than an hour away': [claims(() => ({ exp: now() + 3700 })), 'invalid_client', /at most an hour/],
  'a beginning in the future': [claims(() => ({ iat: now() + 600 })), 'invalid_client', /clocks/],
  'a nbf in the future': [claims(() => ({ nbf: now() + 600 })), 'invalid_client', /clocks/],
  'no jti': [claims(() => ({ jti: undefined })), 'invalid_client', /its jti is missing/],
  'an empty jti': [claims(() => ({ jti: '' })), 'invalid_client', /its jti is missing/],
  'a long jti': [claims(() => ({ jti: 'x'.repeat(5000) })), 'invalid_client', /its jti is missing or wrong/],
  'a very long jti': [claims(() => ({ jti: 'x'.repeat(20_000) })), 'invalid_client', /longer than 8192/],
  'the alg none': [
    async (target, clientId) => {
      const jwt = await sign(target, clientId, rsa)
      return asserted(withHeader(jwt, { alg: 'none' }, ''))
    },
    'invalid_client',
    /must be signed with RS256/
  ],
  'a MAC with the public key': [
    async (target, clientId) => {
      const jwt = await sign(target, clientId, rsa)
      const body = `${encode({ alg: 'HS256', kid: rsa.kid })}.${String(jwt.split('.')[1])}`
      const { createHmac } = await import('node:crypto')
      const secret = JSON.stringify(rsa.jwk)
      return asserted(`${body}.${createHmac('sha256', secret).update(body).digest('base64url')}`)
    },
    'invalid_client',
    /must be signed with RS256/
  ],
  'the key of somebody else under the same kid': [
    async (target, clientId) => asserted(await sign(target, clientId, await newKey('RS256', rsa.kid))),
    'invalid_client',
    /signature does not fit/
  ],
  'its own key in the header': [
    async (target, clientId) => {
      const key = await newKey('RS256', 'own')
      return asserted(await sign(target, clientId, key, {}, { jwk: key.jwk, jku: 'https://attacker.example/jwks' }))
    },
    'invalid_client',
    /none of the keys/
  ],
  'the kid of a key of another type': [
    async (target, clientId) => asserted(await sign(target, clientId, { ...ec, kid: rsa.kid })),
    'invalid_client',
    /none of the keys/
  ],
  'no kid, and no key that fits': [
    async (target, clientId) =>
      asserted(await sign(target, clientId, await newKey('RS256'), {}, { kid: undefined })),
    'invalid_client',
    /none of the keys/
  ],
  'a critical header that we do not know': [
    async (target, clientId) => {
      const jwt = await sign(target, clientId, rsa)
      return asserted(withHeader(jwt, { alg: 'RS256', kid: rsa.kid, crit: ['x'], x: 1 }))
    },
    'invalid_client',
    /./
  ],
  'no JWT': [async () => asserted('x.y.z'), 'invalid_client', /not a valid JWT/],
  'five parts': [async () => asserted('a.b.c.d.e'), 'invalid_client', /not a valid JWT/],
  'another type': [
    async (target, clientId) => ({
      ...asserted(await sign(target, clientId, rsa)),
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:saml2-bearer'
    }),
    'invalid_client',
    /client_assertion_type must be urn/
  ],
  'no type': [
    async (target, clientId) => ({ client_assertion: await sign(target, clientId, rsa) }),
    'invalid_client',
    /client_assertion_type must be urn/
  ],
  'a type alone': [
    async () => ({ client_assertion_type: asserted('').client_assertion_type }), 'invalid_client', /is missing/
  ],
  'a secret, too': [
    async (target, clientId) => ({ ...asserted(await sign(target, clientId, rsa)), client_secret: 'x' }),
    'invalid_request',
    /in several ways/
  ]
}

for (const mayDoWithout of [false, true]) {
  t.test(`assertions that are refused${mayDoWithout ? ', though the client may come without' : ''}`, async t => {
    const target = await start(t, { requestsPerMinute: 10_000 })
    const methods = mayDoWithout ? ['none', 'private_key_jwt'] : ['private_key_jwt']
    const { client } = await keyHost(t, { token_endpoint_auth_methods_supported: methods }, [rsa.jwk, ec.jwk])
    const code = await newCode(target, client)
    for (const [what, [make, error, description]] of Object.entries(REFUSED)) {
      const answer = await redeem(target, client, code, await make(target, client.clientId))
      t.strictSame([answer.status, answer.error], [error === 'invalid_client' ? 401 : 400, error], what)
      const said = answer.member('error_description') ?? ''
      t.match(said, description, what)
      t.match(said, /^[\x20-\x21\x23-\x5b\x5d-\x7e]*$/, 'in the characters of RFC 6749 5.2')
      t.match(await verdict(target), /authenticate validly.*(clocks|key)/s, `${what}: the verdict`)
    }
    const without = await redeem(target, client, code)
    if (mayDoWithout) t.equal(without.status, 200, 'and without, the code is good')
    else {
      t.strictSame([without.status, without.error], [401, 'invalid_client'])
      t.match(without.member('error_description'), /must authenticate with private_key_jwt: send client_assertion/)
      t.match(await verdict(target), /without the client assertion/)
      const signed = asserted(await sign(target, client.clientId, rsa))
      t.equal((await redeem(target, client, code, signed)).status, 200, 'and with a good one, the code is good')
    }
  })
}

t.test('an assertion of a client that has no keys here is refused, whatever it says', async t => {
  const target = await start(t)
  const client = await register(target, WEB_URI)
  const code = await newCode(target, client)
  const answer = await redeem(target, client, code, asserted(await sign(target, client.clientId, rsa)))
  t.strictSame([answer.status, answer.error], [401, 'invalid_client'])
  t.match(answer.member('error_description'), /did not register private_key_jwt/)
  t.equal((await redeem(target, client, code)).status, 200)
})

t.test('an algorithm that the client has named is the only one', async t => {
  const target = await start(t)
  const { client } = await keyHost(t, { token_endpoint_auth_signing_alg: 'ES256' }, [rsa.jwk, ec.jwk])
  const code = await newCode(target, client)
  const by = async (key: ClientKey) =>
    await redeem(target, client, code, asserted(await sign(target, client.clientId, key)))
  t.match((await by(rsa)).member('error_description'), /must be signed with ES256/)
  t.equal((await by(ec)).status, 200)
})

/** A jti works once, even if both come at the same time, at different endpoints. */
async function worksOnce (t: Test, targets: readonly [Target, Target]): Promise<void> {
  const [first] = targets
  const { client } = await keyHost(t, {}, [rsa.jwk])
  const signed = async () => asserted(await sign(first, client.clientId, rsa))
  const { refreshToken, accessToken } = parseTokens(
    await redeem(first, client, await newCode(first, client), await signed())
  )
  const jwt = await signed()
  const answers = await Promise.all(Array.from({ length: 10 }, async (_, index) => {
    const target = targets[index % 2] ?? first
    return await (index % 3 === 0
      ? post(target, '/introspect', { token: accessToken, client_id: client.clientId, ...jwt })
      : refresh(target, client, refreshToken, jwt))
  }))
  const replays = answers.filter(({ text }) => text.includes('was used before'))
  t.equal(replays.length, 9, 'one of them was the first')
  t.ok(replays.every(({ status, error }) => status === 401 && error === 'invalid_client'))
  for (const target of targets) {
    t.match((await revoke(target, client, 'x', jwt)).member('error_description'), /Sign a new one/)
  }
}

t.test('an assertion works once', async t => {
  const target = await start(t)
  await worksOnce(t, [target, target])
  const { client } = await keyHost(t, {}, [rsa.jwk])
  const code = await newCode(target, client)
  const jwt = asserted(await sign(target, client.clientId, rsa))
  await refresh(target, client, 'x', jwt)
  await redeem(target, client, code, jwt)
  t.match(await verdict(target), /used twice.*another jti/s)
})

redisTest('an assertion works once over all replicas', async (t, server) => {
  const [a, b] = await redisReplicas(t, server)
  if (a === undefined || b === undefined) throw new Error('There is no replica.')
  const upstream = new ScriptableUpstream()
  const encryptionKeys = `1:${Buffer.alloc(32, 1).toString('base64url')}`
  await worksOnce(t, [
    await start(t, { stores: a, encryptionKeys }, upstream),
    await start(t, { stores: b, encryptionKeys }, upstream)
  ])
})

/** Signs with a key, for a request that shows a good refresh token; the new one is kept. */
async function session (target: Target, host: KeyHost, first: ClientKey) {
  const { client } = host
  const jwt = async (key: ClientKey) => asserted(await sign(target, client.clientId, key))
  let tokens = parseTokens(await redeem(target, client, await newCode(target, client), await jwt(first)))
  return async (key: ClientKey) => {
    const answer = await refresh(target, client, tokens.refreshToken, await jwt(key))
    if (answer.status === 200) tokens = parseTokens(answer)
    return answer
  }
}

for (const inline of [false, true]) {
  const where = inline ? ' in its document' : ''
  t.test(`a client that changes its keys${where} is asked again for an unknown kid`, async t => {
    const time = clock(t)
    const target = await start(t)
    const publish = (key: ClientKey) => {
      if (inline) host.document = { jwks_uri: undefined, jwks: { keys: [key.jwk] } }
      else host.keys = [key.jwk]
    }
    const host = await keyHost(t)
    publish(rsa)
    const answer = await session(target, host, rsa)
    const asks = () => inline ? host.asked.document : host.asked.keys
    const next = await newKey('ES256', 'next')
    const before = asks()
    for (let index = 0; index < 20; index++) {
      t.equal((await answer(await newKey('ES256', `unknown-${index}`))).status, 401)
    }
    t.equal(asks(), before, 'not again within 30 seconds')
    publish(next)
    time.forward(31)
    t.equal((await answer(next)).status, 200, 'the new key')
    t.equal(asks(), before + 1)
    t.equal((await answer(rsa)).status, 401, 'and no longer the old one')
  })
}

t.test('a document that names another jwks_uri is read again for an unknown kid', async t => {
  const time = clock(t)
  const target = await start(t)
  const [host, moved] = [await keyHost(t, {}, [rsa.jwk]), await keyHost(t, {}, [ec.jwk])]
  const answer = await session(target, host, rsa)
  host.document = { jwks_uri: moved.jwksUri }
  time.forward(31)
  t.equal((await answer(ec)).status, 200)
})

t.test('a host of keys that is down logs nobody out', async t => {
  const time = clock(t)
  const target = await start(t)
  const host = await keyHost(t, {}, [rsa.jwk])
  const answer = await session(target, host, rsa)
  host.answerKeys = (_request, response) => response.writeHead(503).end()
  time.forward(3700)
  t.equal((await answer(rsa)).status, 200, 'the last good keys')
  time.forward(31)
  const unknown = await answer(ec)
  t.strictSame([unknown.status, unknown.error], [503, 'temporarily_unavailable'], 'a key that may be new')
  t.ok(Number(unknown.headers.get('retry-after')) > 0)
  time.forward(2 * 86_400)
  t.equal((await answer(rsa)).status, 503, 'they are too old by now')
  host.answerKeys = undefined
  time.forward(60)
  t.equal((await answer(rsa)).status, 200)
})

const UNUSABLE: Record<string, NonNullable<KeyHost['answerKeys']>> = {
  'status 404': (_request, response) => response.writeHead(404).end(),
  'a redirect': (_request, response) => response.writeHead(302, { location: '/jwks2.json' }).end(),
  'ten megabytes': (_request, response) => response.end(`{"keys":[],"x":"${'x'.repeat(10_000_000)}"}`),
  'a key set of 65 KB': (_request, response) =>
    response.end(JSON.stringify({ keys: [rsa.jwk], x: 'x'.repeat(65_536) })),
  'a page': (_request, response) => response.end('<h1>Keys</h1>'),
  'no keys': (_request, response) => response.end('{"keys":[]}'),
  'keys that are none': (_request, response) => response.end('{"keys":[null,1,"x",{},{"kty":"oct","k":"AAAA"}]}'),
  'keys that are no list': (_request, response) => response.end('{"keys":{"0":1}}'),
  null: (_request, response) => response.end('null'),
  'a weak key': (_request, response) =>
    response.end(JSON.stringify({ keys: [{ ...rsa.jwk, n: String(rsa.jwk.n).slice(0, 170) }] })),
  'a key for encryption': (_request, response) =>
    response.end(JSON.stringify({ keys: [{ ...rsa.jwk, use: 'enc' }] })),
  'a private key': (_request, response) => response.end(JSON.stringify({ keys: [{ ...rsa.jwk, d: 'AQAB' }] }))
}

for (const [what, answerKeys] of Object.entries(UNUSABLE)) {
  t.test(`a key set that cannot be used: ${what}`, async t => {
    const target = await start(t)
    const host = await keyHost(t, {}, [rsa.jwk])
    host.answerKeys = answerKeys
    const code = await newCode(target, host.client)
    for (let index = 0; index < 3; index++) {
      const signed = asserted(await sign(target, host.client.clientId, rsa))
      const answer = await redeem(target, host.client, code, signed)
      t.strictSame([answer.status, answer.error], [401, 'invalid_client'])
      t.equal(answer.member('error_description'), 'The key set of the client cannot be used.', 'and not why')
    }
    t.equal(host.asked.keys, 1, 'it is not asked again at once')
    t.match(await verdict(target), /key set of the client/)
  })
}

t.test('a stranger has no keys fetched without end', async t => {
  const target = await start(t)
  const statuses: number[] = []
  let asked = 0
  for (let index = 0; index < 70; index++) {
    const host = await keyHost(t, {}, [rsa.jwk])
    const client = await register(target, WEB_URI, {
      token_endpoint_auth_method: 'private_key_jwt',
      jwks_uri: host.jwksUri
    })
    const answer = await refresh(target, client, 'x', asserted(await sign(target, client.clientId, rsa)))
    statuses.push(answer.status)
    asked += host.asked.keys
  }
  t.equal(asked, 60)
  t.strictSame([...new Set(statuses)], [400, 429])
})
