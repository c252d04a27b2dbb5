import { randomBytes } from 'node:crypto'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { createServer } from '../support/sample-server.js'
import { mcpService } from '../../src/service/mcp-service.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { RATE_COUNTERS } from '../../src/stores/rate-counters.js'
import type { Stores } from '../../src/stores/stores.js'
import { ScriptableUpstream } from '../../src/testing/index.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'
import { form, newCode, newTokens, redeem, refresh, register, WEB_URI, type Parameters } from '../support/oauth-flow.js'
import { embed, type Target } from '../support/target.js'

const MAX = 6
const ADDRESS = '203.0.113.7'
const FORM = { 'content-type': 'application/x-www-form-urlencoded' }

type Attempt = (
  index: number
) => { method: 'GET' | 'POST', url: string, payload?: Parameters, headers?: Record<string, string> }

const made = (prefix: string, index: number) => prefix + String(index).padStart(43, 'A')
const basic = (id: string) => ({ authorization: `Basic ${Buffer.from(`${id}:x`).toString('base64')}` })

/** Every endpoint, and whatever a caller can claim there, another each time. */
const ATTEMPTS: Record<string, Attempt> = {
  'GET /authorize': index => ({ method: 'GET', url: `/authorize?client_id=${made('mcpc_', index)}` }),
  'POST /authorize': index => ({ method: 'POST', url: '/authorize', payload: { client_id: made('mcpc_', index) } }),
  'POST /authorize, with an id in the query': index => ({
    method: 'POST',
    url: `/authorize?client_id=${made('mcpc_', index)}`,
    payload: {}
  }),
  'POST /authorize/consent': index => ({
    method: 'POST',
    url: '/authorize/consent',
    payload: { transaction: made('', index), decision: 'allow', client_id: made('mcpc_', index) }
  }),
  'GET /oauth/callback': index => ({
    method: 'GET',
    url: `/oauth/callback?state=${made('', index)}&code=x&client_id=${made('mcpc_', index)}`
  }),
  'GET /oauth/connections': index => ({
    method: 'GET',
    url: `/oauth/connections?client_id=${made('mcpc_', index)}`,
    headers: { cookie: `person=${index}` }
  }),
  'GET /oauth/connections/login': index => ({
    method: 'GET',
    url: `/oauth/connections/login?client_id=${made('mcpc_', index)}`
  }),
  'GET /oauth/connections/callback': index => ({
    method: 'GET',
    url: `/oauth/connections/callback?client_id=${made('mcpc_', index)}`
  }),
  'POST /oauth/connections/end': index => ({
    method: 'POST',
    url: '/oauth/connections/end',
    payload: { client_id: made('mcpc_', index) }
  }),
  'POST /oauth/connections/logout': index => ({
    method: 'POST',
    url: '/oauth/connections/logout',
    payload: { client_id: made('mcpc_', index) }
  }),
  'POST /token, with a code': index => ({
    method: 'POST',
    url: '/token',
    payload: { grant_type: 'authorization_code', code: made('mcpac_', index), client_id: made('mcpc_', index) }
  }),
  'POST /token, with a refresh token': index => ({
    method: 'POST',
    url: '/token',
    payload: {
      grant_type: 'refresh_token',
      refresh_token: made('mcprt_', index) + 'x'.repeat(16),
      client_id: made('mcpc_', index)
    }
  }),
  'POST /token, with an id in the query': index => ({
    method: 'POST',
    url: `/token?client_id=${made('mcpc_', index)}`,
    payload: {}
  }),
  'POST /token, with an id in the header': index => ({
    method: 'POST',
    url: '/token',
    payload: { grant_type: 'refresh_token' },
    headers: basic(made('mcpc_', index))
  }),
  'POST /token, with the URL of a document': index => ({
    method: 'POST',
    url: '/token',
    payload: { grant_type: 'refresh_token', client_id: `https://c${index}.example/x` }
  }),
  'POST /revoke': index => ({
    method: 'POST',
    url: '/revoke',
    payload: { token: made('mcprt_', index), client_id: made('mcpc_', index) }
  }),
  'POST /introspect': index => ({
    method: 'POST',
    url: '/introspect',
    payload: { token: made('mcpat_', index) },
    headers: basic(`service-${index}`)
  }),
  'POST /register': index => ({ method: 'POST', url: '/register', payload: { client_id: made('mcpc_', index) } }),
  'POST /mcp': index => ({
    method: 'POST',
    url: '/mcp',
    headers: { authorization: `Bearer ${made('mcpat_', index)}` }
  }),
  'GET /mcp': index => ({
    method: 'GET',
    url: '/mcp',
    headers: { authorization: `Bearer ${made('mcpat_', index)}xxxxxxxxxxxxxxxx` }
  }),
  'GET /sse': index => ({ method: 'GET', url: '/sse', headers: { authorization: `Bearer ${made('mcpat_', index)}` } })
}

async function send (
  { app }: Pick<Target, 'app'>,
  { payload, headers, ...request }: ReturnType<Attempt>,
  remoteAddress: string
) {
  const body = payload !== undefined && { payload: form(payload).toString() }
  return await app.inject({ ...request, ...body, remoteAddress, headers: { ...body !== false && FORM, ...headers } })
}

const ELSEWHERE = '198.51.100.7'
// keys share counters by a hash with a secret: with a random one, two that are compared may share one
const KEYS = `1:${Buffer.alloc(32, 1).toString('base64url')}`

t.test('what a caller claims is never the key of a limit, at any endpoint', async t => {
  for (const [what, attempt] of Object.entries(ATTEMPTS)) {
    const target = await embed(t, { requestsPerMinute: MAX, encryptionKeys: KEYS })
    const answers = []
    for (let index = 0; index < MAX + 2; index++) answers.push(await send(target, attempt(index), ADDRESS))
    const statuses = answers.map(({ statusCode }) => statusCode)
    t.ok(statuses.slice(0, MAX).every(status => status < 500 && status !== 429), `${what}: ${statuses.join(' ')}`)
    t.strictSame(statuses.slice(MAX), [429, 429], what)
    const seconds = Number(answers.at(-1)?.headers['retry-after'])
    t.ok(seconds >= 1 && seconds <= 60, `Retry-After: ${seconds}`)
    t.not((await send(target, attempt(99), ELSEWHERE)).statusCode, 429, `${what}, from elsewhere`)
  }
})

t.test('an address is an IPv4 address or the /64 of an IPv6 address, as the proxy reports it', async t => {
  const target = await embed(t, { requestsPerMinute: MAX })
  const ask = async (remoteAddress: string) =>
    (await target.app.inject({ url: '/authorize', remoteAddress })).statusCode
  for (let index = 0; index < MAX; index++) t.equal(await ask(`2001:db8:1:2:${index}::${index}`), 400)
  t.equal(await ask('2001:DB8:0001:2:ffff:ffff:ffff:ffff'), 429)
  t.equal(await ask('2001:db8:1:3::1'), 400, 'the next /64 is somebody else')
  for (let index = 0; index < MAX; index++) t.equal(await ask(index % 2 === 0 ? ADDRESS : `::ffff:${ADDRESS}`), 400)
  for (const spelling of [ADDRESS, `::ffff:${ADDRESS}`, '::ffff:cb00:7107', `${ADDRESS}:4711`]) {
    t.equal(await ask(spelling), 429, spelling)
  }

  const proxied = Fastify({ trustProxy: '10.0.0.1' })
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  t.teardown(async () => {
    await proxied.close()
    await stores.close()
  })
  await proxied.register(mcpService, {
    createServer,
    upstream: new ScriptableUpstream().options,
    stores,
    publicUrl: 'http://localhost:5050',
    requestsPerMinute: MAX
  })
  const askThrough = async (forwardedFor: string) =>
    (await proxied.inject({
      url: '/authorize',
      remoteAddress: '10.0.0.1',
      headers: { 'x-forwarded-for': forwardedFor }
    })).statusCode
  for (let index = 0; index < MAX; index++) {
    t.equal(await askThrough(`192.0.2.${index}, ${ADDRESS}`), 400, 'only what our proxy says counts')
  }
  t.equal(await askThrough(`192.0.2.99, ${ADDRESS}`), 429)
  t.equal(await askThrough('198.51.100.1'), 400)
})

t.test('hosted clients at one address do not lock each other out', async t => {
  const target = await embed(t, {
    requestsPerMinute: 3 * MAX,
    introspectionServices: { service: 'a-secret-of-a-service' }
  })
  const client = await register(target, WEB_URI)
  const confidential = await register(target, WEB_URI, { token_endpoint_auth_method: 'client_secret_post' })
  const logins = [
    { tokens: await newTokens(target, client), code: await newCode(target, client) },
    { tokens: await newTokens(target, client), code: await newCode(target, client) }
  ]
  const own = await newTokens(target, confidential)
  const flood = ['POST /token, with a code', 'POST /revoke', 'POST /introspect', 'POST /mcp', 'GET /mcp']
  for (const what of flood) {
    for (let index = 0; index < 4 * MAX; index++) {
      await send(target, ATTEMPTS[what]?.(index) ?? { method: 'GET', url: '/' }, '127.0.0.1')
    }
  }
  for (const { tokens, code } of logins) {
    t.equal((await refresh(target, client, tokens.refreshToken)).status, 200, 'a client refreshes')
    t.equal((await redeem(target, client, code)).status, 200, 'and redeems a code')
    t.equal(
      (await target.app.inject({
        method: 'DELETE',
        url: '/mcp',
        headers: { authorization: `Bearer ${tokens.accessToken}`, 'mcp-session-id': 'x' }
      })).statusCode,
      404,
      'its token is looked up'
    )
  }
  t.equal((await refresh(target, confidential, own.refreshToken)).status, 200)
  const introspected = await send(
    target,
    {
      method: 'POST',
      url: '/introspect',
      payload: { token: 'x', client_id: 'service', client_secret: 'a-secret-of-a-service' }
    },
    '127.0.0.1'
  )
  t.equal(introspected.statusCode, 200, 'the operator\'s service introspects')
})

t.test('requests that prove who makes them are not counted for the address', async t => {
  const target = await embed(t, { requestsPerMinute: MAX })
  const client = await register(target, WEB_URI)
  let { refreshToken } = await newTokens(target, client)
  for (let index = 0; index < MAX - 1; index++) {
    const answer = await refresh(target, client, refreshToken)
    t.equal(answer.status, 200)
    refreshToken = answer.member('refresh_token') ?? ''
  }
  const answer = await refresh(target, client, refreshToken)
  t.strictSame([answer.status, answer.error], [429, 'rate_limited'], 'but for the person: the code was the first')
  for (let index = 0; index < MAX; index++) {
    t.equal((await redeem(target, client, made('mcpac_', index))).status, 400, 'all of the address is left')
  }
  t.equal((await redeem(target, client, made('mcpac_', 99))).status, 429)
})

async function replica (t: Test, stores: Stores): Promise<Pick<Target, 'app'>> {
  const app = Fastify()
  const encryptionKeys = `1:${Buffer.alloc(32, 1).toString('base64url')}`
  await app.register(mcpService, {
    createServer,
    upstream: new ScriptableUpstream().options,
    stores,
    publicUrl: 'http://localhost:5050',
    requestsPerMinute: MAX,
    encryptionKeys
  })
  t.teardown(() => app.close())
  return { app }
}

redisTest('replicas count together, in a fixed room', async (t, server) => {
  const stores = await redisReplicas(t, server)
  const replicas = []
  for (const store of stores) replicas.push(await replica(t, store))
  const attempt = ATTEMPTS['POST /token, with a code']
  const statuses: number[] = []
  for (let index = 0; index < MAX + 2; index++) {
    const at = replicas[index % replicas.length]
    if (attempt === undefined || at === undefined) throw new Error('nothing to attack')
    statuses.push((await send(at, attempt(index), ADDRESS)).statusCode)
  }
  t.strictSame(statuses, [...Array<number>(MAX).fill(401), 429, 429])
  const admin = server.admin(t)
  for (let index = 0; index < 200; index++) {
    await replicas[0]?.app.inject({ url: '/authorize', remoteAddress: `2001:db8:${randomBytes(2).toString('hex')}::1` })
  }
  const [key = '', ...more] = await admin.keys('*:rates')
  t.strictSame(more, [])
  t.ok(await admin.strlen(key) <= RATE_COUNTERS * 4, 'no more for 200 addresses')
  t.ok(await admin.pttl(key) > 0)
})
