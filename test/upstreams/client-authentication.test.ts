import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { jwtVerify } from 'jose'
import t from 'tap'
import { loadConfig } from '../../src/config/config.js'
import { ScriptableUpstream } from '../../src/testing/index.js'
import { objectOf } from '../support/json.js'
import { journey, startService, TestClient } from './test-client.js'

t.test('a secret: by the method that works, whatever the metadata says; the other is tried once', async t => {
  for (const takes of ['client_secret_basic', 'client_secret_post']) {
    for (const says of [['client_secret_basic'], ['client_secret_post'], ['private_key_jwt'], undefined]) {
      for (const [status, error] of [[401, 'invalid_client'], [400, 'invalid_client'], [401, 'unauthorized_client']]) {
        const upstream = new ScriptableUpstream({
          expiresIn: 0,
          metadata: { token_endpoint_auth_methods_supported: says }
        })
        const service = await startService(t, {
          issuerUrl: new URL(upstream.issuer),
          fetch: upstream.fetch,
          clientId: 'us',
          clientSecret: 'shh'
        })
        upstream.clients.addByHand(service.url, { authMethod: takes })
        upstream.overrides.token = async (request, usual) =>
          upstream.clients.of(request) === undefined ? { status: Number(status), body: { error } } : await usual()
        const { client, whoami } = await journey(service)
        const what = `takes ${takes}, says ${String(says)}, ${status} ${error}`
        t.match(whoami, { subject: 'alice' }, what)
        const asked = upstream.asked('token').length
        t.ok(asked <= 2, what)
        t.equal((await client.refresh()).status, 200, what)
        t.equal(upstream.asked('token').length, asked + 1, `${what}: it is remembered`)
      }
    }
  }
})

t.test('a method that was chosen is the only one; a wrong secret is tried twice', async t => {
  for (const [ours, requests] of [[{ clientAuthMethod: 'client_secret_post' as const }, 1], [{}, 2]] as const) {
    const upstream = new ScriptableUpstream()
    const service = await startService(t, {
      issuerUrl: new URL(upstream.issuer),
      fetch: upstream.fetch,
      clientId: 'us',
      clientSecret: 'wrong',
      ...ours
    })
    upstream.clients.addByHand(service.url)
    t.match(await (await TestClient.register(service)).answer(), { error: 'server_error' })
    t.equal(upstream.asked('token').length, requests)
  }
})

t.test('private_key_jwt, with a PEM and with a JWK', async t => {
  for (
    const { privateKey } of [
      generateKeyPairSync('rsa', { modulusLength: 2048 }),
      generateKeyPairSync('ec', { namedCurve: 'P-256' }),
      generateKeyPairSync('ed25519')
    ]
  ) {
    const pem = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
    const jwk = createPrivateKey(pem).export({ format: 'jwk' })
    for (const clientKey of [pem, pem.replaceAll('\n', '\\n'), JSON.stringify({ ...jwk, kid: 'ours', x5t: 'thumb' })]) {
      const upstream = new ScriptableUpstream()
      const service = await startService(t, {
        issuerUrl: new URL(upstream.issuer),
        fetch: upstream.fetch,
        clientId: 'us',
        clientAuthMethod: 'private_key_jwt',
        clientKey
      })
      upstream.clients.addByHand(service.url, { authMethod: 'none' })
      t.match((await journey(service)).whoami, { subject: 'alice' })
      const { client_assertion: assertion, client_assertion_type: type } = upstream.asked('token')[0]?.parameters ?? {}
      t.equal(type, 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer')
      const { protectedHeader } = await jwtVerify(String(assertion), createPublicKey(pem), {
        issuer: 'us',
        subject: 'us',
        audience: `${upstream.origin}/token`
      })
      if (clientKey.startsWith('{')) t.match(protectedHeader, { kid: 'ours', x5t: 'thumb' })
    }
  }
})

t.test('from the environment', async t => {
  const load = (env: NodeJS.ProcessEnv) =>
    loadConfig({ OAUTH_ISSUER_URL: 'https://login.test', OAUTH_CLIENT_ID: 'us', ...env }, { dotenv: false }).upstream
  const withSecret = { OAUTH_CLIENT_SECRET: 'shh' }
  t.equal(load({ OAUTH_CLIENT_AUTH_METHOD: 'post', ...withSecret })?.clientAuthMethod, 'client_secret_post')
  t.equal(load({ OAUTH_CLIENT_AUTH_METHOD: 'basic', ...withSecret })?.clientAuthMethod, 'client_secret_basic')
  t.equal(load(withSecret)?.clientAuthMethod, undefined)
  t.throws(() => load({ OAUTH_CLIENT_AUTH_METHOD: 'post' }), { message: /^OAUTH_CLIENT_SECRET is not set/ })
  t.throws(() => load({ OAUTH_CLIENT_AUTH_METHOD: 'private_key_jwt' }), { message: /^OAUTH_CLIENT_KEY is not set/ })
  t.throws(() => load({ OAUTH_CLIENT_AUTH_METHOD: 'private_key_jwt', OAUTH_CLIENT_KEY: 'secret text' }), {
    message: /^OAUTH_CLIENT_KEY is not valid; it takes a private key/
  })
})

t.test('an ID token without nonce (LinkedIn): only where that is allowed, and never with a wrong one', async t => {
  for (const [allowMissingNonce, nonce, good] of [
    [true, undefined, true],
    [false, undefined, false],
    [true, 'another', false]
  ] as const) {
    const upstream = new ScriptableUpstream()
    const service = await startService(t, {
      issuerUrl: new URL(upstream.issuer),
      fetch: upstream.fetch,
      allowMissingNonce
    })
    upstream.overrides.token = async (_request, usual) => {
      const { status, body } = await usual()
      const claims = { sub: 'alice', aud: [...upstream.clients.keys()][0] ?? '', ...nonce !== undefined && { nonce } }
      return { status, body: { ...objectOf(body), id_token: await upstream.sign(claims) } }
    }
    const answer = await (await TestClient.register(service)).answer()
    t.equal('code' in answer, good, `${allowMissingNonce} ${nonce}: ${answer.error}`)
  }
})
