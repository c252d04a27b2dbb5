import t, { type Test } from 'tap'
import { createTokenVerifier } from '../../src/oauth/resource-server/resource-server.js'
import { ScriptableUpstream, type UpstreamOverride } from '../../src/testing/index.js'
import { startService } from '../support/service.js'
import { valueAt } from '../support/json.js'
import { freePort } from '../support/free-port.js'
import { listen } from '../support/listening-upstream.js'

const RESOURCE = 'https://mcp.example.com/mcp'
const DAY = 86_400
/** How a key set endpoint fails. */
const OUTAGES: Readonly<Record<string, UpstreamOverride>> = {
  503: () => ({ status: 503 }),
  404: () => ({ status: 404 }),
  'no connection': () => { throw new TypeError('fetch failed') },
  'no JSON': () => ({ status: 200, body: '<h1>Sorry</h1>' }),
  'no keys': () => ({ status: 200, body: { error: 'sorry' } })
}

/** An issuer, and what verifies its tokens; `seconds` pass when a test says so. */
function setUp () {
  const upstream = new ScriptableUpstream()
  const warnings: string[] = []
  let now = Date.now()
  const verify = createTokenVerifier(
    { issuer: upstream.issuer, audiences: [RESOURCE], fetch: upstream.fetch },
    () => now,
    { warn: (_details, message) => { warnings.push(message) } }
  )
  const claims = { aud: RESOURCE, sub: 'alice', client_id: 'app' }
  // another server of the same name: its key is not among those of the first
  const successor = new ScriptableUpstream()
  const sign = async (by: ScriptableUpstream) => await by.sign(claims, 3 * DAY)
  const withKid = (token: string, kid: string) =>
    token.replace(/^[^.]+/, header => btoa(atob(header).replace(/"kid":"[^"]*"/, `"kid":"${kid}"`)).replace(/=+$/, ''))
  return {
    upstream,
    warnings,
    pass: (seconds: number) => { now += seconds * 1000 },
    verdict: async (token: string) =>
      await verify(token).then(() => 'good', (error: unknown) => valueAt(error, 'code')),
    verify,
    good: async () => await sign(upstream),
    ofNewKey: async () => withKid(await sign(successor), 'new')
  }
}

for (const [name, outage] of Object.entries(OUTAGES)) {
  t.test(`keys cannot be fetched: ${name}`, async t => {
    const { upstream, warnings, pass, verdict, verify, good, ofNewKey } = setUp()
    const [token, unknown] = [await good(), await ofNewKey()]
    t.equal(await verdict(token), 'good')
    t.equal(await verdict(unknown), 'invalid_token', 'the issuer has no such key')
    t.equal(upstream.asked('jwks').length, 1, 'and was asked just now')

    upstream.overrides.jwks = outage
    pass(31)
    t.equal(await verdict(unknown), 'temporarily_unavailable', 'the key may be new')
    t.equal(await verdict(unknown), 'temporarily_unavailable')
    t.equal(upstream.asked('jwks').length, 2, 'it is not asked for every token')
    t.equal(await verdict(token), 'good', 'the last good keys stay in use')
    for (const seconds of [600, 3600, DAY - 3600 - 600 - 32]) {
      pass(seconds)
      t.equal(await verdict(token), 'good', `${seconds} s later`)
    }
    t.equal(await verdict(unknown), 'temporarily_unavailable')
    t.match(warnings, [/keys of the issuer cannot be fetched/])
    t.equal(warnings.length, 1, 'one warning')
    pass(2)
    t.equal(await verdict(token), 'temporarily_unavailable', 'not for longer than a day')
    if (name === '503') await t.rejects(verify(token), { code: 'temporarily_unavailable', retryAfterSeconds: 5 })

    delete upstream.overrides.jwks
    pass(2)
    t.equal(await verdict(unknown), 'invalid_token', 'now it is known to be bad')
    t.equal(await verdict(token), 'good')
    upstream.overrides.jwks = outage
    pass(600)
    t.equal(await verdict(token), 'good')
    t.equal(warnings.length, 2, 'one warning for each outage')
  })
}

t.test('a key that was new during an outage is good as soon as it is over', async t => {
  const { upstream, pass, verdict, good } = setUp()
  const token = await good()
  upstream.overrides.jwks = () => ({ status: 200, body: { keys: [] } })
  t.equal(await verdict(token), 'invalid_token')
  upstream.overrides.jwks = () => ({ status: 503 })
  pass(30)
  t.equal(await verdict(token), 'temporarily_unavailable')
  delete upstream.overrides.jwks
  pass(2)
  t.equal(await verdict(token), 'good', 'no cooldown after a failure')
})

t.test('keys that cannot be fetched hold up one request only', async t => {
  const { upstream, pass, verdict, good } = setUp()
  const token = await good()
  t.equal(await verdict(token), 'good')
  upstream.overrides.jwks = () => ({ status: 503 })
  pass(600)
  t.equal(await verdict(token), 'good')
  pass(60)
  delete upstream.overrides.jwks
  const held = upstream.hold()
  t.equal(await verdict(token), 'good', 'while the next request for them is unanswered')
  await held.asked
  held.release()
})

t.test('keys that were withdrawn are bad after ten minutes', async t => {
  const { upstream, pass, verdict, good } = setUp()
  const token = await good()
  t.equal(await verdict(token), 'good')
  upstream.overrides.jwks = () => ({ status: 200, body: { keys: [] } })
  pass(599)
  t.equal(await verdict(token), 'good')
  pass(1)
  t.equal(await verdict(token), 'invalid_token')
})

t.test('through the front door: 200, 503 with Retry-After, and 401', async t => {
  const { upstream, status } = await startResourceServer(t)
  t.equal((await status('alice')).status, 200)
  upstream.overrides.jwks = () => ({ status: 503 })
  t.equal((await status('alice')).status, 200)
  delete upstream.overrides.jwks
  t.equal((await status('alice', 'https://other.example')).status, 401)
  const other = await startResourceServer(t)
  other.upstream.overrides.jwks = () => ({ status: 503 })
  const { status: code, headers } = await other.status('alice')
  t.strictSame([code, headers.get('retry-after')], [503, '5'])
})

async function startResourceServer (t: Test) {
  const port = await freePort()
  const upstream = new ScriptableUpstream({ origin: `http://localhost:${port}` })
  await listen(t, upstream, port)
  const service = await startService(t, { AUTH_MODE: 'resource-server', OAUTH_ISSUER_URL: upstream.issuer })
  const status = async (sub: string, aud = `${service.url}/mcp`) => {
    const token = await upstream.sign({ sub, aud, client_id: 'app', scope: 'mcp' })
    const response = await fetch(`${service.url}/mcp`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        accept: 'application/json, text/event-stream',
        'content-type': 'application/json'
      },
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: 1,
        method: 'initialize',
        params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } }
      })
    })
    await response.text()
    return response
  }
  return { upstream, status }
}
