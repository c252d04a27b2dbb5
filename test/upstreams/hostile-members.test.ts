import t, { type Test } from 'tap'
import type { AttemptsReport } from '../../src/oauth/login-attempts/report.js'
import { createTokenVerifier } from '../../src/oauth/resource-server/resource-server.js'
import { OAuthError } from '../../src/errors.js'
import {
  ScriptableUpstream,
  type ScriptableUpstreamOptions,
  type UpstreamEndpoint
} from '../../src/testing/index.js'
import { objectOf } from '../support/json.js'
import { startService, TestClient, type Service } from './test-client.js'

/*
 * Every member of what an upstream sends, one at a time, as nothing, as something else, or far too long.
 */

const ADMIN_TOKEN = 'the-token-of-the-operators'
const RESOURCE = 'https://mcp.example.com/mcp'

const VALUES: ReadonlyArray<readonly [string, unknown]> = [
  ['absent', undefined],
  ['null', null],
  ['empty', ''],
  ['a number', -5],
  ['a flag', true],
  ['a list', [null, 5, {}]],
  ['an object', { toString: 5 }],
  ['text of another kind', 'javascript:alert(1)'],
  ['long', `https://login.test/${'x'.repeat(20_000)}`],
  ['absurdly long', 'x'.repeat(300_000)]
]

/** Of each answer, what we read and what servers usually send besides. */
const MEMBERS: ReadonlyArray<readonly [UpstreamEndpoint, ScriptableUpstreamOptions, string[]]> = [
  ['openid-configuration', {}, [
    'issuer',
    'authorization_endpoint',
    'token_endpoint',
    'registration_endpoint',
    'revocation_endpoint',
    'userinfo_endpoint',
    'jwks_uri',
    'scopes_supported',
    'token_endpoint_auth_methods_supported',
    'id_token_signing_alg_values_supported',
    'authorization_response_iss_parameter_supported',
    'code_challenge_methods_supported'
  ]],
  ['register', {}, [
    'client_id',
    'client_secret',
    'client_secret_expires_at',
    'token_endpoint_auth_method',
    'registration_client_uri',
    'registration_access_token',
    'redirect_uris'
  ]],
  ['token', {}, ['access_token', 'token_type', 'expires_in', 'refresh_token', 'id_token', 'scope']],
  ['userinfo', { idTokens: false }, ['sub', 'name', 'email']]
]

async function start (t: Test, options: ScriptableUpstreamOptions): Promise<{
  upstream: ScriptableUpstream
  service: Service
}> {
  const upstream = new ScriptableUpstream(options)
  const service = await startService(
    t,
    { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch },
    { adminToken: ADMIN_TOKEN, consentInDynamicMode: false }
  )
  return { upstream, service }
}

async function lastVerdict ({ app }: Service): Promise<AttemptsReport['attempts'][number]['verdict'] | undefined> {
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, accept: 'application/json' }
  return (await app.inject({ url: '/admin/attempts', headers })).json<AttemptsReport>().attempts[0]?.verdict
}

/**
 * What became of a login, or of a refresh: `good`, `stays upstream`, or the error's code. An unforeseen error is `500`.
 */
async function endOf (client: TestClient, step: 'login' | 'refresh'): Promise<string> {
  if (step === 'refresh') {
    const { status, body } = await client.refresh()
    return status === 200 ? 'good' : status === 500 ? '500' : String(body.error)
  }
  try {
    const { code, error = 'no error' } = await client.answer()
    return code === undefined ? error : 'good'
  } catch (error) {
    // with a client id that it does not know, the person sees a page there
    if (error instanceof Error && error.message.endsWith('unknown client or redirect_uri')) return 'stays upstream'
    throw error
  }
}

for (const [endpoint, options, members] of MEMBERS) {
  for (const step of endpoint === 'token' ? ['login', 'refresh'] as const : ['login'] as const) {
    t.test(`${endpoint}, at a ${step}`, async t => {
      for (const member of members) {
        const ends: Record<string, string> = {}
        for (const [name, value] of VALUES) {
          const { upstream, service } = await start(t, { expiresIn: 0, ...options })
          const client = await TestClient.register(service)
          if (step === 'refresh') await client.logIn()
          upstream.overrides[endpoint] = async (_request, usual) => {
            const { body, ...answer } = await usual()
            return { ...answer, body: { ...objectOf(body), [member]: value } }
          }
          ends[name] = await endOf(client, step)
          const what = `${member}: ${name}: ${ends[name]}`
          t.match(ends[name], /^(good|server_error|access_denied|temporarily_unavailable|stays upstream)$/, what)
          t.notOk(service.log.some(({ msg }) => String(msg).includes('internal error')), what)
          // a client that has its code, or its tokens, is not done yet
          const { outcome, text = '' } = await lastVerdict(service) ?? {}
          const waits = ends[name] === 'good' || ends[name] === 'stays upstream'
          if (step === 'login') t.equal(outcome, waits ? 'waiting' : 'failed', `${what}: ${text}`)
          else if (ends[name] !== 'good') t.match({ outcome, text }, { outcome: 'failed', text: /login server/ }, what)
          t.notMatch(text, /see the log/, what)
        }
        // what says nothing is not there; but a person with a name of no characters is refused
        if (member === 'sub') continue
        t.equal(ends.null, ends.absent, member)
        t.equal(ends.empty, ends.absent, member)
      }
    })
  }
}

t.test('an answer that is too long, or is something else altogether', async t => {
  const bodies: unknown[] = ['x'.repeat(300_000), `{"a":"${'x'.repeat(300_000)}"}`, [], 'null', '5', '"text"', '{', '']
  for (const endpoint of ['openid-configuration', 'register', 'token', 'userinfo'] as const) {
    for (const body of bodies) {
      const { upstream, service } = await start(t, { idTokens: false })
      upstream.overrides[endpoint] = () => ({ status: endpoint === 'register' ? 201 : 200, body })
      const what = `${endpoint}: ${JSON.stringify(body).slice(0, 20)}`
      t.match(await endOf(await TestClient.register(service), 'login'), /^server_error$/, what)
      t.match(await lastVerdict(service), { outcome: 'failed', text: /login server/ }, what)
    }
  }
})

t.test('an answer without an end is given up when it is too long', async t => {
  const upstream = new ScriptableUpstream()
  let chunks = 0
  const endless: typeof fetch = async (input, init) => {
    if (new URL(String(input)).pathname !== '/token') return await upstream.fetch(input, init)
    return new Response(
      new ReadableStream<Uint8Array>({
        pull: controller => {
          chunks++
          controller.enqueue(new Uint8Array(65_536).fill(32))
        }
      }),
      { headers: { 'content-type': 'application/json' } }
    )
  }
  const service = await startService(t, { issuerUrl: new URL(upstream.issuer), fetch: endless }, {
    consentInDynamicMode: false
  })
  t.equal(await endOf(await TestClient.register(service), 'login'), 'server_error')
  t.ok(chunks < 10, `${chunks} chunks`)
})

/** What becomes of a good token whose issuer sends `change` in place of its usual answers. */
async function verify (
  endpoint: 'jwks' | 'openid-configuration',
  change: (body: Record<string, unknown>) => unknown
): Promise<string> {
  const upstream = new ScriptableUpstream()
  upstream.overrides[endpoint] = async (_request, usual) => {
    const { body, ...answer } = await usual()
    return { ...answer, body: change(objectOf(body)) }
  }
  const verify = createTokenVerifier({ issuer: upstream.issuer, audiences: [RESOURCE], fetch: upstream.fetch })
  try {
    await verify(await upstream.sign({ aud: RESOURCE, sub: 'alice', client_id: 'app', scope: 'mcp' }))
    return 'good'
  } catch (error) {
    return error instanceof OAuthError ? error.code : '500'
  }
}

t.test('key sets, and metadata that name them', async t => {
  const foreseen = /^(good|invalid_token|temporarily_unavailable|server_error)$/
  for (const [name, value] of VALUES) {
    t.match(await verify('jwks', body => ({ ...body, keys: value })), /^temporarily_unavailable|invalid_token$/, name)
    for (const member of ['jwks_uri', 'issuer', 'token_endpoint']) {
      const end = await verify('openid-configuration', body => ({ ...body, [member]: value }))
      t.match(end, foreseen, `${member}: ${name}: ${end}`)
    }
    for (const member of ['kty', 'crv', 'x', 'y', 'kid', 'use', 'alg', 'key_ops', 'x5c', 'n']) {
      const end = await verify('jwks', ({ keys }) => ({
        keys: [keys].flat().map(key => ({ ...objectOf(key), [member]: value }))
      }))
      t.match(end, foreseen, `${member}: ${name}: ${end}`)
    }
    const end = await verify('jwks', ({ keys }) => ({ keys: [value, { kty: value }, ...[keys].flat()] }))
    t.equal(end, name === 'absurdly long' ? 'temporarily_unavailable' : 'good', `a bad key spoils no other: ${name}`)
  }
})
