import t from 'tap'
import { isTooDeep, MAX_JSON_DEPTH } from '../../src/mcp/wire/json-depth.js'
import { ask, bearer, newTokens, register } from '../support/oauth-flow.js'
import { startTarget } from '../support/target.js'

const arrays = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
const objects = (depth: number) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`
const DEPTHS = [MAX_JSON_DEPTH + 1, 5000, 100_000, 1_000_000]

t.test('JSON that is nested too deep is 400 everywhere, and the service continues', async t => {
  const target = await startTarget(t)
  const { accessToken } = await newTokens(target, await register(target))
  const meta =
    '"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",' +
    '"io.modelcontextprotocol/clientInfo":{"name":"x","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}'
  const messages: ReadonlyArray<readonly [string, (deep: string) => string, Record<string, string>?]> = [
    [
      'initialize, its capabilities',
      deep =>
        '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25",' +
        `"capabilities":{"experimental":{"x":${deep}}},"clientInfo":{"name":"x","version":"1"}}}`
    ],
    [
      'initialize, a member of its own',
      deep =>
        '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25",' +
        `"capabilities":{},"clientInfo":{"name":"x","version":"1"},"x":${deep}}}`
    ],
    [
      '2026-07-28',
      deep => `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":${deep},${meta}}}`,
      { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'add' }
    ],
    ['no message', deep => deep]
  ]
  const headers = {
    ...bearer(accessToken),
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream'
  }
  for (const deep of [...DEPTHS.map(arrays), ...DEPTHS.map(depth => objects(Math.min(depth, 500_000)))]) {
    for (const [name, bodyWith, more] of messages) {
      for (const path of ['/mcp', '/messages?sessionId=x']) {
        const answer = await ask(target, `${target.url}${path}`, {
          method: 'POST',
          headers: { ...headers, ...more },
          body: bodyWith(deep)
        })
        t.equal(answer.status, 400, `${name} at ${path}: ${deep.length}`)
        t.match(JSON.parse(answer.text), { jsonrpc: '2.0', error: { code: -32600, message: /nested deeper than 200/ } })
      }
    }
    for (const path of ['/register', '/token', '/revoke', '/introspect']) {
      const answer = await ask(target, `${target.url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: `{"redirect_uris":["http://localhost/x"],"x":${deep}}`
      })
      t.match(
        [answer.status, answer.error],
        deep.length < 60_000 ? [400, 'invalid_request'] : [413, 'invalid_request'],
        `${path}: ${deep.length}`
      )
    }
  }
  const allowed = messages[1]?.[1](arrays(MAX_JSON_DEPTH - 5)) ?? ''
  t.equal(
    (await ask(target, `${target.url}/mcp`, { method: 'POST', headers, body: allowed })).status,
    200,
    'less is fine'
  )
})

t.test('the depth of a text', async t => {
  const filler = 'x'.repeat(1000)
  for (const [text, expected] of [
    [arrays(MAX_JSON_DEPTH), false],
    [arrays(MAX_JSON_DEPTH + 1), true],
    [objects(MAX_JSON_DEPTH), false],
    [objects(MAX_JSON_DEPTH + 1), true],
    [JSON.stringify({ text: arrays(1000) }), false],
    [JSON.stringify({ text: `"${arrays(1000)}`, filler }), false],
    [JSON.stringify({ '\\': filler, more: '\\"[[[' }), false],
    [`["\\\\",${arrays(MAX_JSON_DEPTH)}]`, true],
    [`["\\\\\\"",${arrays(MAX_JSON_DEPTH)}]`, true],
    [`[${'[],'.repeat(5000)}1]`, false],
    [`"${filler}`, false]
  ] as const) { t.equal(isTooDeep(text), expected, text.slice(0, 30)) }
})
