import t, { type Test } from 'tap'
import { canonicalAuthority, canonicalOrigin } from '../../src/validation/authorities.js'
import type { McpTransportsOptions } from '../../src/mcp/options.js'
import { initializeParams, startMcp } from '../support/mcp-harness.js'
import { modernRequest } from '../../src/testing/modern-request.js'
import { startTarget } from '../support/target.js'

/*
 * Who may call is told by Host and Origin, in any spelling of the same authority; X-Forwarded-* tells nothing.
 */

type Headers = Record<string, string>

const legacy = { jsonrpc: '2.0', id: 1, method: 'initialize', params: initializeParams() }
const modern = modernRequest(1, 'server/discover', {}, {
  'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': {}
})
const ACCEPT = 'application/json, text/event-stream'

/** The status of each way to call, with these headers: both eras over Streamable HTTP, and both ends of HTTP+SSE. */
async function callAll (
  t: Test,
  options: Partial<McpTransportsOptions>
): Promise<(headers: Headers) => Promise<number[]>> {
  const { app } = await startMcp(t, options)
  const authorization = 'Bearer alice'
  return async headers => {
    const post = { authorization, accept: ACCEPT, ...headers }
    const answers = await Promise.all([
      app.inject({ method: 'POST', url: '/mcp', headers: post, payload: legacy }),
      app.inject({ method: 'POST', url: '/mcp', headers: { ...post, ...modern.headers }, payload: modern.body }),
      // without accepting a stream: it would stay open
      app.inject({ url: '/sse', headers: { authorization, accept: 'x/y', ...headers } }),
      app.inject({ method: 'POST', url: '/messages?sessionId=none', headers: post, payload: legacy })
    ])
    return answers.map(({ statusCode }) => statusCode)
  }
}

const TAKEN = [200, 200, 406, 404]
const REFUSED = [403, 403, 403, 403]

interface Case {
  publicUrl: string
  options?: Partial<McpTransportsOptions>
  taken: Headers[]
  refused: Headers[]
}

const hosts = (...values: string[]): Headers[] => values.map(host => ({ host }))
const from = (host: string, ...values: string[]): Headers[] => values.map(origin => ({ host, origin }))

const cases: Case[] = [{
  publicUrl: 'https://mcp.example.com',
  taken: [
    ...hosts('mcp.example.com', 'mcp.example.com:443', 'MCP.Example.COM', 'mcp.example.com.', 'mcp.example.com:'),
    ...hosts('MCP.example.com.:443', 'mcp.example.com:0443'),
    ...from('mcp.example.com', 'https://mcp.example.com', 'https://mcp.example.com:443', 'HTTPS://MCP.Example.com'),
    ...from('mcp.example.com:443', 'https://mcp.example.com.', 'https://mcp.example.com.:443')
  ],
  refused: [
    ...hosts('mcp.example.com:80', 'mcp.example.com:8443', 'mcp.example.com..', 'evil.example', 'example.com', ''),
    ...hosts('mcp.example.com@evil.example', 'evil.example/mcp.example.com', 'mcp.example.com:443:443'),
    ...hosts('mcp.example.com:x'),
    ...hosts('mcp.example.com:99999', 'mcp.example.com, evil.example', 'localhost', '127.0.0.1', '[::1]'),
    ...hosts('mcp.example.com\\@x'),
    ...hosts('mcp.example.com#x', 'mcp.example.com?x', 'mcp%2eexample.com', '.mcp.example.com'),
    ...from('mcp.example.com', 'http://mcp.example.com', 'https://mcp.example.com:80', 'https://mcp.example.com:8443'),
    ...from('mcp.example.com', 'https://mcp.example.com/', 'https://mcp.example.com..', 'null', '', 'https://'),
    ...from('mcp.example.com', 'https://mcp.example.com@evil.example', 'https://evil.example#mcp.example.com'),
    ...from('mcp.example.com', 'https://mcp.example.com https://evil.example', 'http://localhost:6274'),
    ...from('mcp.example.com', 'mcp.example.com')
  ]
}, {
  publicUrl: 'https://mcp.example.com:8443',
  taken: [
    ...hosts('mcp.example.com:8443', 'MCP.example.com.:8443'),
    ...from('mcp.example.com:8443', 'https://mcp.example.com:8443')
  ],
  refused: [
    ...hosts('mcp.example.com', 'mcp.example.com:443'),
    ...from('mcp.example.com:8443', 'https://mcp.example.com')
  ]
}, {
  publicUrl: 'https://[2001:db8::1]',
  taken: hosts('[2001:db8::1]', '[2001:DB8:0:0::1]:443', '[2001:db8::1]:443'),
  refused: hosts('2001:db8::1', '[2001:db8::2]', '[2001:db8::1]:80', '[::1]')
}, {
  publicUrl: 'http://localhost:5050',
  taken: [
    ...hosts('localhost:5050', 'LOCALHOST', 'localhost.:5050', '127.0.0.1:1', '[::1]:5050', '[0:0:0:0:0:0:0:1]'),
    ...hosts('127.0.0.1.'),
    ...from('localhost', 'http://localhost:6274', 'https://LOCALHOST:443', 'http://[::1]', 'http://localhost.:6274'),
    ...from('localhost', 'http://127.9.9.9')
  ],
  refused: [
    ...hosts('localhost.evil.example', 'evil.example', '127.0.0.1.evil.example', 'localhost..', '[::2]'),
    ...hosts('0.0.0.0', 'xlocalhost'),
    ...from('localhost', 'http://localhost.evil.example', 'http://evil.example', 'http://[::2]'),
    ...from('localhost', 'vscode-webview://localhost')
  ]
}, {
  publicUrl: 'https://mcp.example.com',
  options: { allowedHosts: ['Internal:443', '10.0.0.7:8080'] },
  taken: hosts('internal', 'internal:443', '10.0.0.7:8080', 'mcp.example.com'),
  refused: hosts('internal:8080', '10.0.0.7', '10.0.0.7:443')
}, {
  publicUrl: 'https://mcp.example.com',
  options: {
    allowedOrigins: [
      'https://*.example.com',
      'https://*.apps.example.net:8443',
      'http://*.localhost',
      'HTTPS://App.Example.Org:443',
      'chrome-extension://abcdefghijklmnopabcdefghijklmnop',
      'moz-extension://0A1B2C3D-0000-4000-8000-000000000000',
      'vscode-webview://x',
      'app://localhost:3000'
    ]
  },
  taken: from(
    'mcp.example.com',
    'https://app.example.com',
    'https://a.b.example.com',
    'https://A.Example.com:443',
    'https://app.example.com.',
    'https://xn--bcher-kva.example.com',
    'https://x.apps.example.net:8443',
    'http://tauri.localhost',
    'https://app.example.org',
    'chrome-extension://abcdefghijklmnopabcdefghijklmnop',
    'moz-extension://0a1b2c3d-0000-4000-8000-000000000000',
    'vscode-webview://x',
    'app://localhost:3000'
  ),
  refused: from(
    'mcp.example.com',
    'https://example.com',
    'https://evilexample.com',
    'https://evil.com',
    'https://.example.com',
    'https://a..example.com',
    'https://*.example.com',
    'http://app.example.com',
    'https://app.example.com:8443',
    'https://app.example.com.evil.com',
    'https://evil.com/.example.com',
    'https://evil.com:443#.example.com',
    'https://evil.com@app.example.com',
    'https://evil.com\\.example.com',
    'https://evil.com:1.example.com',
    'https://x.apps.example.net',
    'https://apps.example.net:8443',
    'http://localhost',
    'https://app.example.org:8443',
    'chrome-extension://bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb',
    'chrome-extension://*',
    'vscode-webview://y',
    'vscode-webview://x.y',
    'app://localhost',
    'null'
  )
}]

for (const { publicUrl, options = {}, taken, refused } of cases) {
  t.test(`${publicUrl} ${Object.entries(options).join(' ')}`, async t => {
    const call = await callAll(t, { publicUrl, ...options })
    for (const headers of taken) t.strictSame(await call(headers), TAKEN, JSON.stringify(headers))
    for (const headers of refused) t.strictSame(await call(headers), REFUSED, JSON.stringify(headers))
  })
}

t.test('a browser gets its own spelling back', async t => {
  const { app } = await startMcp(t, { publicUrl: 'https://mcp.example.com', allowedOrigins: ['https://*.example.com'] })
  for (const origin of ['https://app.example.com', 'https://mcp.example.com:443', 'https://app.example.com.']) {
    const preflight = await app.inject({
      method: 'OPTIONS',
      url: '/mcp',
      headers: { host: 'mcp.example.com', origin, 'access-control-request-method': 'POST' }
    })
    t.match(preflight, { statusCode: 204, headers: { 'access-control-allow-origin': origin } })
  }
})

t.test('X-Forwarded-* neither admits nor refuses', async t => {
  const forwarded: Headers[] = [
    { 'x-forwarded-host': 'mcp.example.com:443', 'x-forwarded-proto': 'https', 'x-forwarded-port': '443' },
    { 'x-forwarded-host': 'MCP.Example.com.', 'x-forwarded-proto': 'HTTPS' },
    { 'x-forwarded-host': 'evil.example, mcp.example.com', 'x-forwarded-proto': 'http,https' },
    { 'x-forwarded-host': 'mcp.example.com, evil.example', 'x-forwarded-port': '80, 443' },
    { 'x-forwarded-host': '[::1]:443', 'x-forwarded-for': '[2001:db8::1]:443, 10.0.0.1:80' },
    { 'x-forwarded-host': ':::', 'x-forwarded-proto': 'x', 'x-forwarded-port': '-1', 'x-forwarded-for': 'unknown' },
    { 'x-forwarded-host': '', 'x-forwarded-proto': '', 'x-forwarded-port': '', 'x-forwarded-for': '' },
    { forwarded: 'host="mcp.example.com:443";proto=https' }
  ]
  for (const TRUST_PROXY of ['false', 'true', '1', '127.0.0.1,10.0.0.0/8']) {
    const { app } = await startTarget(t, { TRUST_PROXY, PUBLIC_URL: 'https://mcp.example.com' })
    for (const headers of forwarded) {
      const name = `TRUST_PROXY=${TRUST_PROXY} ${JSON.stringify(headers)}`
      for (const host of ['mcp.example.com', 'mcp.example.com:443']) {
        const challenge = await app.inject({ url: '/mcp', headers: { ...headers, host } })
        t.match(challenge, {
          statusCode: 401,
          headers: { 'www-authenticate': /resource_metadata="https:\/\/mcp\.example\.com\/\.well-known/ }
        }, name)
        const metadata = await app.inject({
          url: '/.well-known/oauth-protected-resource/mcp',
          headers: { ...headers, host }
        })
        t.match(metadata.json(), { resource: 'https://mcp.example.com/mcp' }, name)
      }
    }
  }
  const { app } = await startMcp(t, { publicUrl: 'https://mcp.example.com' })
  for (const headers of forwarded) {
    const answer = await app.inject({
      method: 'POST',
      url: '/mcp',
      headers: { authorization: 'Bearer alice', accept: ACCEPT, ...headers, host: 'evil.example' },
      payload: legacy
    })
    t.equal(answer.statusCode, 403, `a foreign Host stays one: ${JSON.stringify(headers)}`)
  }
})

t.test('forms of our pages come from any spelling of our origin', async t => {
  const { app } = await startTarget(t, { PUBLIC_URL: 'https://mcp.example.com' })
  const send = async (origin: string) => {
    const answer = await app.inject({
      method: 'POST',
      url: '/authorize/consent',
      headers: { origin, 'content-type': 'application/x-www-form-urlencoded' },
      payload: 'decision=allow'
    })
    return /not sent from a page of this server/.test(answer.body) ? 'refused' : 'read'
  }
  for (const origin of ['https://mcp.example.com', 'https://mcp.example.com:443', 'https://MCP.example.com.']) {
    t.equal(await send(origin), 'read', origin)
  }
  for (const origin of ['https://mcp.example.com:8443', 'http://mcp.example.com', 'https://x.mcp.example.com', 'null']) {
    t.equal(await send(origin), 'refused', origin)
  }
})

t.test('what is canonical stays so', async t => {
  for (const authority of ['example.com', 'example.com:8443', '[2001:db8::1]:8443', '127.0.0.1']) {
    t.equal(canonicalAuthority(authority, 'https:'), authority)
    t.equal(canonicalOrigin(`https://${authority}`), `https://${authority}`)
  }
  for (
    const none of ['', ' ', 'x y', 'a/b', 'javascript://x', 'data://x', 'file://x', 'wss://x', 'https://', 'https://a/']
  ) {
    t.equal(canonicalOrigin(none), undefined, none)
  }
})
