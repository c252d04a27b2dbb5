import { collectDefaultMetrics, Counter, Registry } from 'prom-client'
import t from 'tap'
import { buildApp } from '../../src/app.js'
import { loadConfig } from '../../src/config/config.js'
import { Metrics } from '../../src/observability/metrics.js'
import { ServiceMetrics } from '../../src/observability/service-metrics.js'
import { newCode, newTokens, redeem, refresh, register } from '../support/oauth-flow.js'
import { request } from '../support/raw-http.js'
import { valueAt } from '../support/json.js'
import { RawClient } from '../support/mcp-harness.js'
import { createServer } from '../support/sample-server.js'
import { QUIET, runService } from '../support/service.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'

const TOKEN = 'a-token-of-the-scraper'
const service = await runService({ METRICS_TOKEN: TOKEN })
t.teardown(() => service.close())
const { app, url } = service
const client = await register(service)

async function scrape (): Promise<string> {
  return (await app.inject({ url: '/metrics', headers: { authorization: `Bearer ${TOKEN}` } })).body
}

/** The value of one series; its labels as they stand in the text. */
function valueOf (text: string, series: string): number | undefined {
  const line = text.split('\n').find(line => line.startsWith(`${series} `))
  return line === undefined ? undefined : Number(line.slice(series.length + 1))
}

t.test('the figures are for who has the token', async t => {
  for (const authorization of [undefined, 'Bearer ', `Bearer ${TOKEN}x`, `Basic ${TOKEN}`, TOKEN]) {
    const refused = await app.inject({
      url: '/metrics',
      headers: { ...authorization !== undefined && { authorization } }
    })
    t.match(refused, { statusCode: 401, body: '', headers: { 'www-authenticate': 'Bearer realm="metrics"' } })
  }
  const read = await app.inject({ url: '/metrics', headers: { authorization: `Bearer ${TOKEN}` } })
  t.match(read, {
    statusCode: 200,
    headers: { 'content-type': /^text\/plain; version=0\.0\.4/, 'cache-control': 'no-store' }
  })
  t.match(read.body, /^process_cpu_seconds_total /m)
  t.match(read.body, /^mcp_build_info\{version="\d+\.\d+\.\d+",node_version="v\d+\.\d+\.\d+"\} 1$/m)
})

t.test('without a token, they are open on loopback outside production, and not there elsewhere', async t => {
  const environment = { ...QUIET, OAUTH_ISSUER_URL: 'https://login.example', PUBLIC_URL: 'http://localhost:5050' }
  for (const [NODE_ENV, status] of [['development', 200], ['production', 404]] as const) {
    const app = await buildApp(loadConfig({ ...environment, NODE_ENV }, { dotenv: false }), { createServer })
    t.teardown(() => app.close())
    t.equal((await app.inject({ url: '/metrics' })).statusCode, status, NODE_ENV)
  }
  for (const METRICS_TOKEN of ['short', 'sixteen letters, but spaces']) {
    t.throws(() => loadConfig({ METRICS_TOKEN }, { dotenv: false }), {
      message: /^METRICS_TOKEN is not valid; it takes at least 16/
    })
  }
})

t.test('requests, by the pattern of their route', async t => {
  await app.inject({ url: '/nothing/123?code=4' })
  await app.inject({ url: '/.well-known/oauth-authorization-server/mcp' })
  await app.inject({ method: 'POST', url: '/messages?sessionId=5' })
  const text = await scrape()
  const count = (labels: string) => valueOf(text, `http_request_duration_seconds_count{${labels}}`)
  t.equal(count('method="GET",route="unmatched",status_code="404"'), 1)
  t.equal(count('method="GET",route="/.well-known/oauth-authorization-server/mcp",status_code="200"'), 1)
  t.equal(count('method="POST",route="/messages",status_code="401"'), 1)
  t.notMatch(text, /nothing\/|sessionId=|code=4/)
})

t.test('calls, by the names of tools that there are', async t => {
  const { accessToken } = await newTokens(service, client)
  const mcp = await new RawClient({ url }, accessToken).connect()
  const call = async (name: string, input: object) =>
    (await mcp.request('tools/call', { name, arguments: input })).text()
  await call('add', { l: 1, r: 2 })
  await call('divide', { l: 1, r: 0 })
  await (await mcp.request('tools/list')).text()
  await call('divide', { l: 1, r: 0 })
  await call('nothing-of-the-kind', {})
  await (await mcp.request('made/up')).text()
  t.match(await request(url, 'tools/call', { name: 'add', arguments: { l: 3, r: 4 } }, { token: accessToken }), {
    result: { content: [{ text: '7' }] }
  })
  t.match(await request(url, 'tools/call', { name: 'nothing-of-the-kind' }, { token: accessToken }), { status: 200 })

  const text = await scrape()
  const count = (labels: string) => valueOf(text, `mcp_request_duration_seconds_count{${labels}}`)
  t.equal(count('method="initialize",tool="",outcome="ok"'), 1, 'the client asks for it, as over HTTP+SSE')
  t.equal(count('method="tools/call",tool="add",outcome="ok"'), 2, 'of both eras')
  t.equal(count('method="tools/call",tool="divide",outcome="tool_error"'), 1, 'once it is known that there is one')
  t.equal(
    valueOf(text, 'mcp_request_duration_seconds_count{method="tools/call",tool="unknown",outcome="tool_error"}'),
    3
  )
  t.equal(count('method="other",tool="",outcome="error"'), 1)
  t.notMatch(text, /nothing-of-the-kind|made\/up/)

  const pending = mcp.request('tools/call', { name: 'countdown', arguments: { from: 1, intervalMs: 60_000 } })
  await mcp.notify('notifications/cancelled', { requestId: 8, reason: 'enough' })
  await (await pending).text()
  t.equal(
    valueOf(
      await scrape(),
      'mcp_request_duration_seconds_count{method="tools/call",tool="countdown",outcome="cancelled"}'
    ),
    1
  )
})

t.test('sessions, instances and streams', async t => {
  const before = await scrape()
  const { accessToken } = await newTokens(service, client)
  const mcp = await new RawClient({ url }, accessToken).connect()
  const leave = new AbortController()
  await mcp.get({}, leave.signal)
  const text = await scrape()
  for (const gauge of ['mcp_sessions', 'mcp_server_instances', 'mcp_streams']) {
    t.equal(valueOf(text, gauge), Number(valueOf(before, gauge)) + 1, gauge)
  }
  t.ok(Number(valueOf(text, 'mcp_event_log_bytes')) >= 0)
  t.notMatch(
    text,
    /http_request_duration_seconds_count\{method="GET",route="\/mcp",status_code="200"\}/,
    'a stream that is open is no slow request'
  )
  leave.abort()
})

t.test('tokens, and what they are asked of the upstream', async t => {
  const { refreshToken } = await newTokens(service, client)
  await refresh(service, client, refreshToken)
  await refresh(service, client, refreshToken)
  await refresh(service, client, 'unknown')
  const code = await newCode(service, client)
  await redeem(service, client, code)
  await redeem(service, client, code)
  await redeem(service, client, code, { grant_type: 'password' })
  const text = await scrape()
  const count = (grantType: string, outcome: string) =>
    valueOf(text, `oauth_token_requests_total{grant_type="${grantType}",outcome="${outcome}"}`)
  t.ok(Number(count('authorization_code', 'issued')) >= 2)
  t.equal(count('refresh_token', 'issued'), 1)
  t.equal(count('refresh_token', 'repeated'), 1)
  t.equal(count('refresh_token', 'invalid_grant'), 1)
  t.equal(count('authorization_code', 'replayed'), 1)
  t.equal(count('other', 'unsupported_grant_type'), 1)
  for (const endpoint of ['discovery', 'registration', 'token']) {
    t.ok(valueOf(text, `oauth_upstream_request_duration_seconds_count{endpoint="${endpoint}",outcome="2xx"}`), endpoint)
  }
})

t.test('two services in one process count for themselves', async t => {
  const other = new ServiceMetrics()
  other.onRequestEnd({ method: 'GET', route: '/', statusCode: 200, seconds: 1 })
  t.match(await other.registry.metrics(), 'route="/"')
  t.notMatch(await scrape(), /http_request_duration_seconds_sum\{method="GET",route="\/",status_code="200"\} 1$/m)
})

t.test('the registry of a host app may have its own metrics by these names', async t => {
  for (const [first, second] of [['app', 'ours'], ['ours', 'app']]) {
    const registry = new Registry()
    const make: Record<string, () => void> = {
      ours: () => { t.ok(new Metrics(registry).registry) },
      app: () => {
        for (const name of ['http_request_duration_seconds', 'process_unhandled_rejections_total']) {
          t.ok(new Counter({ name, help: 'of the app', registers: [registry] }))
        }
        collectDefaultMetrics({ register: registry })
      }
    }
    for (const part of [first, second]) make[part ?? '']?.()
    const text = await registry.metrics()
    t.match(text, '# HELP http_request_duration_seconds of the app', `${first} first`)
    t.match(text, '# TYPE mcp_request_duration_seconds histogram', `${first} first`)
  }
})

redisTest('what Redis is asked', async (t, server) => {
  const metrics = new Metrics()
  const [stores] = await redisReplicas(
    t,
    server,
    { onCommand: metrics.onCommand, commandTimeoutMs: 200, graceMs: 50 },
    1
  )
  await server.stop('SIGKILL')
  await t.rejects(async () => await stores?.check())
  const text = await metrics.registry.metrics()
  for (const outcome of ['ok', 'unavailable']) {
    t.ok(valueOf(text, `store_command_duration_seconds_count{outcome="${outcome}"}`), outcome)
  }
})

t.test('who comes while the process cannot keep up is told to try again, each in its own words', async t => {
  const config = loadConfig({ ...QUIET, OAUTH_ISSUER_URL: 'https://login.example', MAX_HEAP_BYTES: '1' }, {
    dotenv: false
  })
  const app = await buildApp(config, { createServer })
  t.teardown(() => app.close())
  await app.ready()
  while (!app.isUnderPressure()) await new Promise(resolve => { setTimeout(resolve, 20) })
  const answers = {
    mcp: await app.inject({ method: 'POST', url: '/mcp', payload: '{' }),
    token: await app.inject({ method: 'POST', url: '/token' }),
    authorize: await app.inject({ url: '/authorize' }),
    home: await app.inject({ url: '/' }),
    metadata: await app.inject({ url: '/.well-known/oauth-authorization-server' })
  }
  for (const [name, answer] of Object.entries(answers)) {
    t.match(answer, { statusCode: 503, headers: { 'retry-after': '5' } }, name)
  }
  t.match(answers.mcp.json(), {
    jsonrpc: '2.0',
    error: { code: -32000, message: 'This server is overloaded. Try again in 5 seconds.' }
  })
  t.match(answers.token.json(), { error: 'temporarily_unavailable', request_id: String })
  for (const page of [answers.authorize, answers.home]) {
    t.match(page.body, 'This server is overloaded.')
    t.match(page.headers['content-security-policy'], /default-src 'none'/, 'also a page for who is refused at the door')
  }
  t.equal((await app.inject({ url: '/healthz' })).statusCode, 200)
  t.equal((await app.inject({ url: '/metrics' })).statusCode, 200)
  t.equal(valueAt((await app.inject({ url: '/readyz' })).json(), 'status'), 'ok', 'a restart would not help')
})

t.test('who comes first is served, though the start kept the process busy', async t => {
  const app = await buildApp(
    loadConfig({ OAUTH_ISSUER_URL: 'https://login.example', LOG_LEVEL: 'silent', MAX_EVENT_LOOP_DELAY_MS: '1' }, {
      dotenv: false
    }),
    { createServer }
  )
  t.teardown(() => app.close())
  await app.listen({ port: 0 })
  let now = performance.now()
  t.intercept(performance, 'now', { value: () => now })
  const busy = setInterval(() => {
    const until = Date.now() + 30
    while (Date.now() < until);
  }, 1)
  t.teardown(() => { clearInterval(busy) })
  while (!app.isUnderPressure()) await new Promise(resolve => { setTimeout(resolve, 20) })
  t.equal((await app.inject({ method: 'POST', url: '/mcp' })).statusCode, 401)
  now += 60_000
  t.equal((await app.inject({ method: 'POST', url: '/mcp' })).statusCode, 503, 'later, it is busy')
})
