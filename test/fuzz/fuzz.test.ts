import t from 'tap'
import { find, lacking } from '../support/programs.js'
import type { Fuzzer } from './fuzzer.js'
import { faultOf } from './oracle.js'
import { fuzz, lineOf, type Store } from './run.js'
import { routeOf } from './routes.js'
import type { RequestStep } from './steps.js'

// the machine may be busy with other tests

const SEED = 20_261_128
const COUNT = 2500

/** Fails for each finding, with how it is repeated. */
function report (
  t: { comment(text: string): void; fail(text: string): void; pass(text: string): void },
  store: Store,
  { findings, figures }: Fuzzer
): void {
  for (const { text, replay } of findings.values()) t.fail(`${text}\nAgain: npm run fuzz -- --replay '${replay}'`)
  const line = lineOf(store, SEED, figures)
  t.comment(line)
  if (findings.size === 0) t.pass(line)
}

for (const [setting, count] of [
  [{ store: 'memory' }, COUNT],
  [{ store: 'redis' }, COUNT],
  [{ store: 'sqlite' }, COUNT / 5],
  [{ store: 'memory', several: true }, COUNT / 5]
] as const) {
  const { store } = setting
  const name = 'several' in setting ? 'several servers' : store
  const missing =
    store === 'redis' && find('redis-server') === undefined && process.env.CI !== 'true'
      ? lacking('redis-server')
      : false
  t.test(`strangers' requests end nothing, and get what their route promises: ${name}`, { skip: missing }, async t => {
    const fuzzer = await fuzz(setting, fuzzer => fuzzer.run(SEED, count))
    report(t, store, fuzzer)
    const { requests, statuses } = fuzzer.figures
    t.ok(requests >= count, 'all were sent')
    t.ok((statuses.get('2xx') ?? 0) > count / 10, 'some were right')
    t.ok((statuses.get('4xx') ?? 0) > count / 5, 'and some were wrong')
  })
}

t.test('the oracle sees what is wrong, and nothing else', async t => {
  const post: RequestStep = {
    via: 'inject',
    method: 'POST',
    target: '/mcp',
    headers: [['host', 'x']],
    body: '{"jsonrpc":"2.0","id":1,"method":"ping"}',
    encoding: 'utf8',
    address: '127.0.0.1',
    client: 'waits'
  }
  const token = { ...post, target: '/token', body: 'a=b' }
  const page: RequestStep = { ...post, method: 'GET', target: '/authorize' }
  const json = { 'content-type': 'application/json', 'x-request-id': 'x', 'cache-control': 'no-store' }
  const html = {
    'content-type': 'text/html',
    'x-request-id': 'x',
    'cache-control': 'no-store',
    'content-security-policy': "default-src 'none'"
  }
  const events = { ...json, 'content-type': 'text/event-stream' }
  const error = (code: number, id: unknown = null) =>
    JSON.stringify({ jsonrpc: '2.0', id, error: { code, message: 'x' } })
  const cases: ReadonlyArray<readonly [RequestStep, number, Record<string, string>, string, RegExp?]> = [
    [post, 200, json, '{"jsonrpc":"2.0","id":1,"result":{}}'],
    [post, 200, json, '{"jsonrpc":"2.0","id":2,"result":{}}', /the id 2/],
    [post, 200, json, '{"jsonrpc":"2.0","id":1}', /result and error/],
    [post, 200, json, error(-32603, 1), /-32603/],
    [post, 200, json, error(-32601, 1)],
    [post, 200, events, 'id: 1\ndata: {"jsonrpc":"2.0","id":1,"result":{}}\n\n'],
    [post, 200, events, 'data: {}\n\n', /JSON-RPC/],
    [post, 400, json, error(-32600)],
    [post, 400, json, error(-32600, 7), /the id 7/],
    [post, 400, json, '{"message":"x"}', /JSON-RPC/],
    [post, 202, {}, '', /X-Request-Id/],
    [post, 202, json, 'x', /202 with a body/],
    [post, 401, json, '{"error":"invalid_token","error_description":"x"}', /challenge/],
    [post, 401, { ...json, 'www-authenticate': 'Bearer x' }, '{"error":"invalid_token","error_description":"x"}'],
    [post, 500, json, error(-32603), /no documented refusal/],
    [post, 503, json, error(-32000)],
    [
      post,
      502,
      json,
      '{"error":"server_error","error_description":"Something went wrong on our side."}',
      /a fault of ours/
    ],
    [{ ...post, method: 'PROPFIND' }, 404, json, error(-32000), /a method that is not there/],
    [{ ...post, method: 'PROPFIND' }, 405, json, error(-32000), /without Allow/],
    [{ ...post, method: 'PROPFIND' }, 405, { ...json, allow: 'POST' }, error(-32000)],
    [token, 400, json, '{"error":"invalid_grant","error_description":"x"}'],
    [token, 400, json, '{"statusCode":400}', /OAuth error/],
    [token, 200, json, '{"access_token":"x"}'],
    [token, 200, { ...json, 'cache-control': '' }, '{"access_token":"x"}', /no-store/],
    [token, 400, json, '{"error":"x","error_description":"at a (/x/src/app.ts:1:2)"}', /stack/],
    [page, 200, html, 'x'],
    [page, 200, html, '<fuzz-x>', /HTML/],
    [page, 200, { ...html, 'content-security-policy': '' }, 'x', /Content-Security-Policy/],
    [page, 302, { 'x-request-id': 'x', location: 'javascript:alert(1)' }, '', /a redirect to/],
    [page, 302, { 'x-request-id': 'x', location: '/x' }, '', /a redirect to/],
    [page, 200, { ...html, 'x-injected': '1' }, 'x', /header of the caller/]
  ]
  for (const [step, status, headers, body, expected] of cases) {
    const fault = faultOf(step, { status, headers: new Map(Object.entries(headers)), body, isOpen: false }, routeOf)
    if (expected === undefined) t.equal(fault, undefined, body)
    else t.match(fault, expected, body)
  }
})

t.test('a case is repeated as its finding names it', async t => {
  const fuzzer = await fuzz({ store: 'memory' }, async (fuzzer, [world]) => {
    await fuzzer.replay(`${world?.options.name}:7:3`)
    await t.rejects(fuzzer.replay('nowhere:7:3'), /names no case/)
  })
  t.equal(fuzzer.findings.size, 0)
  t.ok(fuzzer.figures.requests > 0)
})
