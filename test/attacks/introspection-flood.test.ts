import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { issuerMetadata } from '../support/issuer-metadata.js'
import { createServer } from '../support/sample-server.js'
import { mcpService } from '../../src/service/mcp-service.js'
import { createTokenVerifier } from '../../src/oauth/resource-server/resource-server.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { fetchFrom } from '../../src/testing/inject-fetch.js'
import { valueAt } from '../support/json.js'

const ISSUER = 'https://login.test'
const RESOURCE = 'http://localhost:5050/mcp'
const MAX = 8

/** An authorization server that knows every token that begins with `good`, as far as a test lets it answer. */
function issuerOf () {
  const state = {
    asked: 0,
    discovered: 0,
    keysAsked: 0,
    down: false,
    keysDown: false,
    held: undefined as Promise<void> | undefined
  }
  const fetch = fetchFrom(async request => {
    const { pathname } = new URL(request.url)
    if (pathname.startsWith('/.well-known/')) {
      state.discovered++
      if (state.down) return new Response('', { status: 503 })
      return Response.json(issuerMetadata(ISSUER))
    }
    if (pathname === '/jwks') {
      state.keysAsked++
      return state.keysDown ? new Response('<h1>Bad Gateway</h1>', { status: 502 }) : Response.json({ keys: [] })
    }
    state.asked++
    await state.held
    if (state.down) return new Response('', { status: 503 })
    const token = new URLSearchParams(await request.text()).get('token') ?? ''
    return Response.json(
      token.startsWith('good')
        ? { active: true, sub: 'alice', client_id: 'app', scope: 'mcp', aud: RESOURCE }
        : { active: false }
    )
  })
  return { state, fetch }
}

const INTROSPECTION = { clientId: 'rs', clientSecret: 'rs-secret' }

async function start (t: Test, issuer: ReturnType<typeof issuerOf>) {
  const app = Fastify()
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  await app.register(mcpService, {
    createServer,
    publicUrl: 'http://localhost:5050',
    stores,
    auth: {
      mode: 'resource-server',
      issuer: ISSUER,
      fetch: issuer.fetch,
      introspection: INTROSPECTION,
      requestsPerMinute: MAX
    }
  })
  t.teardown(async () => {
    await app.close()
    await stores.close()
  })
  // 404, as there is no such session: the token was taken
  return async (token: string, remoteAddress = '203.0.113.7') =>
    await app.inject({
      method: 'DELETE',
      url: '/mcp',
      remoteAddress,
      headers: { authorization: `Bearer ${token}`, 'mcp-session-id': 'x' }
    })
}

t.test('made-up tokens are so many requests upstream from one address, and lock out nobody elsewhere', async t => {
  const issuer = issuerOf()
  const call = await start(t, issuer)
  t.equal((await call('good-before')).statusCode, 404)
  const statuses: number[] = []
  for (let index = 0; index < 3 * MAX; index++) statuses.push((await call(`made-up-${index}`)).statusCode)
  t.strictSame(statuses, [...Array<number>(MAX).fill(401), ...Array<number>(2 * MAX).fill(429)])
  t.equal(issuer.state.asked, MAX + 1)
  const refused = await call('made-up-99')
  t.ok(Number(refused.headers['retry-after']) > 0)
  t.match(refused.json(), { error: 'rate_limited' })
  t.equal((await call('good-before')).statusCode, 404, 'a token that is known goes on')
  t.equal((await call('good-elsewhere', '198.51.100.1')).statusCode, 404, 'and so does everybody elsewhere')
  t.equal((await call('made-up', '::ffff:203.0.113.7')).statusCode, 429)
})

t.test('good tokens are not counted', async t => {
  const call = await start(t, issuerOf())
  for (let index = 0; index < 4 * MAX; index++) t.equal((await call(`good-${index}`)).statusCode, 404)
})

t.test('a refusal is remembered for seconds, and one request answers all who ask at once', async t => {
  const issuer = issuerOf()
  let now = 1_000_000_000
  const verify = createTokenVerifier({
    issuer: ISSUER,
    audiences: [RESOURCE],
    fetch: issuer.fetch,
    introspection: INTROSPECTION
  }, () => now)
  const outcomes = await Promise.all(Array.from({ length: 20 }, () => verify('bad').catch((error: unknown) => error)))
  t.ok(outcomes.every(error => error instanceof Error))
  await t.rejects(verify('bad'), { code: 'invalid_token' })
  t.equal(issuer.state.asked, 1)
  now += 10_000
  await t.rejects(verify('bad'), { code: 'invalid_token' })
  t.equal(issuer.state.asked, 2)
  await Promise.all(Array.from({ length: 20 }, () => verify('good')))
  t.equal(issuer.state.asked, 3)
  now += 15_000
  await verify('good')
  t.equal(issuer.state.asked, 4, 'a revocation is seen after 15 seconds')
})

t.test('so many at once; and what was good is asked about even then', async t => {
  const issuer = issuerOf()
  let now = 1_000_000_000
  const verify = createTokenVerifier({
    issuer: ISSUER,
    audiences: [RESOURCE],
    fetch: issuer.fetch,
    introspection: INTROSPECTION
  }, () => now)
  await verify('good')
  now += 15_000
  let release = () => {}
  issuer.state.held = new Promise(resolve => {
    release = resolve
  })
  const flood = Array.from(
    { length: 100 },
    (_, index) =>
      verify(`bad-${index}`).then(() => 'good', (error: unknown) =>
        error instanceof Error && 'code' in error ? error.code : error)
  )
  const again = verify('good')
  release()
  const codes = await Promise.all(flood)
  t.strictSame([
    codes.filter(code => code === 'invalid_token').length,
    codes.filter(code => code === 'temporarily_unavailable').length
  ], [32, 68])
  t.match(await again, { clientId: 'app' })
})

t.test('an outage is 503, never 401, and no flood of requests', async t => {
  const issuer = issuerOf()
  const call = await start(t, issuer)
  t.equal((await call('good')).statusCode, 404)
  issuer.state.down = true
  const answer = await call('another')
  t.strictSame([answer.statusCode, valueAt(answer.json(), 'error'), Number(answer.headers['retry-after']) > 0], [
    503,
    'temporarily_unavailable',
    true
  ])
  issuer.state.keysDown = true
  const jwt = `${Buffer.from('{"alg":"ES256","kid":"x"}').toString('base64url')}.${
    Buffer.from('{}').toString('base64url')
  }.${Buffer.alloc(64).toString('base64url')}`
  for (let index = 0; index < 10; index++) {
    t.equal((await call(jwt)).statusCode, 503, 'keys that cannot be had say nothing of a token')
  }
  t.equal(issuer.state.keysAsked, 1)

  const down = issuerOf()
  down.state.down = true
  const first = await start(t, down)
  for (let index = 0; index < 10; index++) {
    t.equal((await first(index % 2 === 0 ? jwt : `opaque-${index}`, `198.51.100.${index}`)).statusCode, 503)
  }
  t.equal(down.state.discovered, 2, 'discovery, by both documents, once')
})
