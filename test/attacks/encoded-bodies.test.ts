import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import t from 'tap'
import { ScriptableUpstream } from '../../src/testing/index.js'
import { textAt, valueAt } from '../support/json.js'
import { RawClient, startMcp } from '../support/mcp-harness.js'
import { startService } from '../upstreams/test-client.js'

/* A compressed body is refused by its encoding, at every endpoint that reads one; nothing is unpacked. */

const plain = (text: string) => Buffer.from(text)
const encodings: Record<string, (text: string) => Buffer> = {
  gzip: gzipSync,
  br: brotliCompressSync,
  deflate: deflateSync,
  zstd: plain,
  'x-unknown': plain,
  'gzip, gzip': text => gzipSync(gzipSync(text)),
  'gzip, identity': gzipSync,
  GZIP: gzipSync
}

const rpc = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' })

for (const sessionMode of ['stateful', 'stateless'] as const) {
  t.test(`MCP, ${sessionMode}`, async t => {
    const service = await startMcp(t, { sessionMode })
    const headers = { authorization: 'Bearer alice', accept: 'application/json, text/event-stream' }
    const session = sessionMode === 'stateful' ? (await new RawClient(service).connect()).headers() : headers
    const modern = { ...headers, 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'ping' }
    for (const [encoding, encode] of Object.entries(encodings)) {
      for (
        const [era, url, more] of [
          ['2025', '/mcp', session],
          ['2026-07-28', '/mcp', modern],
          ...sessionMode === 'stateful' ? [['HTTP+SSE', '/messages?sessionId=x', headers] as const] : []
        ] as const
      ) {
        const response = await service.app.inject({
          method: 'POST',
          url,
          headers: { ...more, 'content-type': 'application/json', 'content-encoding': encoding },
          payload: encode(rpc)
        })
        t.equal(response.statusCode, 415, `${era}: ${encoding}`)
        t.equal(response.headers['accept-encoding'], 'identity')
        t.match(textAt(response.json(), 'error', 'message'), /Content-Encoding/)
      }
    }
    const response = await service.app.inject({
      method: 'POST',
      url: '/mcp',
      headers: { ...session, 'content-type': 'application/json', 'content-encoding': 'identity' },
      payload: rpc
    })
    t.not(response.statusCode, 415, 'identity says that the body is as it is')
  })
}

t.test('OAuth', async t => {
  const upstream = new ScriptableUpstream()
  const { app } = await startService(t, { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch })
  for (const [encoding, encode] of Object.entries(encodings)) {
    for (const url of ['/token', '/register', '/revoke', '/introspect', '/authorize', '/authorize/consent']) {
      const isJson = url === '/register'
      const response = await app.inject({
        method: 'POST',
        url,
        headers: {
          'content-type': isJson ? 'application/json' : 'application/x-www-form-urlencoded',
          'content-encoding': encoding
        },
        payload: encode(isJson ? '{"redirect_uris":[]}' : 'a=b')
      })
      t.equal(response.statusCode, 415, `${url}: ${encoding}`)
      if (!url.startsWith('/authorize')) {
        t.equal(valueAt(response.json(), 'error'), 'invalid_request')
        t.match(textAt(response.json(), 'error_description'), /Content-Encoding/)
      }
    }
  }
})
