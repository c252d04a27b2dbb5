import type { LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { initializeParams, RawClient, startMcp, type McpService } from '../support/mcp-harness.js'

const accept = 'application/json, text/event-stream'
const ping = { jsonrpc: '2.0', id: 7, method: 'ping' }

/** A POST to /mcp by way of `inject`. */
async function post (
  service: McpService,
  payload: string | object,
  headers: Record<string, string> = {}
): Promise<LightMyRequestResponse> {
  return await service.app.inject({
    method: 'POST',
    url: '/mcp',
    headers: {
      host: new URL(service.url).host,
      authorization: 'Bearer alice',
      accept,
      'content-type': 'application/json',
      ...headers
    },
    payload
  })
}

function isError (
  t: Test,
  response: { statusCode: number, body: string, headers: Record<string, unknown> },
  status: number,
  code: number,
  what: string,
  id: unknown = null
) {
  t.equal(response.statusCode, status, what)
  t.match(response.headers['content-type'], /^application\/json/, `${what}: JSON`)
  t.match(JSON.parse(response.body), { jsonrpc: '2.0', id, error: { code, message: /./ } }, `${what}: a JSON-RPC error`)
}

t.test('sessions of others, unknown and ended ones are not found; none at all is a bad request', async t => {
  const service = await startMcp(t)
  const alice = await new RawClient(service).connect()
  const sessionId = alice.sessionId ?? ''
  t.match(sessionId, /^[\x21-\x7E]{32,}$/)
  t.equal((await post(service, ping, { 'mcp-session-id': sessionId })).statusCode, 200)
  t.equal(
    (await post(service, ping, { 'mcp-session-id': sessionId, authorization: 'Bearer alice-again' })).statusCode,
    200,
    'another token of the same person and client'
  )

  for (const [what, token, id] of [
    ['another person', 'bob', sessionId], ['another client of the person', 'alice-elsewhere', sessionId],
    ['an unknown id', 'alice', 'x'.repeat(32)], ['__proto__', 'alice', '__proto__']
  ] as const) {
    for (const method of ['POST', 'GET', 'DELETE'] as const) {
      const response = await service.app.inject({
        method,
        url: '/mcp',
        headers: {
          host: new URL(service.url).host,
          authorization: `Bearer ${token}`,
          accept,
          'mcp-session-id': id,
          ...method === 'POST' && { 'content-type': 'application/json' }
        },
        ...method === 'POST' && { payload: ping }
      })
      isError(t, response, 404, -32001, `${method}, ${what}`)
    }
  }
  isError(t, await post(service, ping), 400, -32000, 'no session id')

  const gone = await service.app.inject({
    method: 'DELETE',
    url: '/mcp',
    headers: {
      host: new URL(service.url).host,
      authorization: 'Bearer alice',
      'mcp-session-id': sessionId,
      'content-type': 'application/json'
    }
  })
  t.equal(gone.statusCode, 200, 'DELETE, with the content type of a body that it has not')
  isError(t, await post(service, ping, { 'mcp-session-id': sessionId }), 404, -32001, 'after DELETE')
})

t.test('an invalid message gets a 4xx with a JSON-RPC error', async t => {
  const service = await startMcp(t, { maxBodyBytes: 10_000, limits: { maxInitializeBytes: 5000 } })
  const alice = await new RawClient(service).connect()
  const session = { 'mcp-session-id': alice.sessionId ?? '' }

  isError(t, await post(service, '', session), 400, -32700, 'an empty body')
  isError(t, await post(service, '{"jsonrpc"', session), 400, -32700, 'half a body')
  for (
    const body of [
      'null',
      '1',
      '"x"',
      '{}',
      '[]',
      '[1]',
      '{"jsonrpc":"1.0","id":1,"method":"ping"}',
      '{"jsonrpc":"2.0","id":null,"method":"ping"}',
      '{"jsonrpc":"2.0","id":1.5,"method":"ping"}',
      '{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}',
      '{"jsonrpc":"2.0","id":1,"method":"ping","more":1}',
      '{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"progressToken":{}}}}',
      '{"jsonrpc":"2.0","id":1}',
      '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"__proto__":{}}}'
    ]
  ) {
    const response = await post(service, body, session)
    t.ok(response.statusCode === 400, `${body} is a bad request`)
    t.match(response.json(), { error: { code: /-32600|-32602/ } })
  }
  isError(t, await post(service, [ping], session), 400, -32600, 'a batch in a revision without batches')
  isError(
    t,
    await post(service, { ...ping, method: 'initialize', params: {} }),
    400,
    -32602,
    'initialize without its parameters',
    ping.id
  )
  isError(
    t,
    await post(service, JSON.stringify({ ...ping, params: { x: 'x'.repeat(10_000) } }), session),
    413,
    -32000,
    'a large body'
  )
  isError(
    t,
    await post(service, { ...ping, method: 'initialize', params: { ...initializeParams(), x: 'x'.repeat(5000) } }),
    413,
    -32000,
    'a large initialize'
  )
  isError(t, await post(service, 'x', { ...session, 'content-type': 'text/plain' }), 415, -32000, 'another media type')
  isError(
    t,
    await post(service, ping, { ...session, accept: 'application/json' }),
    406,
    -32000,
    'a client that takes no stream'
  )
  isError(
    t,
    await post(service, ping, { ...session, accept: 'application/json, text/event-stream;q=0' }),
    406,
    -32000,
    'a client that refuses streams'
  )
  t.equal((await post(service, ping, { ...session, accept: '*/*' })).statusCode, 200, 'a client that takes anything')
  isError(
    t,
    await post(service, ping, { ...session, 'mcp-protocol-version': '1999-01-01' }),
    400,
    -32000,
    'an unknown revision'
  )
  t.equal(
    (await post(service, ping, { ...session, 'mcp-protocol-version': '2025-06-18' })).statusCode,
    200,
    'a known revision'
  )
  isError(
    t,
    await post(service, { ...ping, method: 'initialize', params: initializeParams() }, {
      ...session,
      origin: 'https://evil.example'
    }),
    403,
    -32000,
    'a foreign origin'
  )
  isError(t, await post(service, ping, { ...session, host: 'evil.example' }), 403, -32000, 'a foreign host')
})

t.test('verbs that are not served answer 405, after the token', async t => {
  const { app, url } = await startMcp(t)
  const host = new URL(url).host
  for (const [path, allowed] of [['/mcp', 'GET, POST, DELETE'], ['/sse', 'GET'], ['/messages', 'POST']] as const) {
    for (const method of ['GET', 'POST', 'DELETE', 'PUT', 'PATCH', 'HEAD'] as const) {
      const anonymous = await app.inject({
        method,
        url: path,
        headers: { host, accept },
        ...method !== 'GET' && method !== 'HEAD' && { payload: '{' }
      })
      t.equal(anonymous.statusCode, 401, `${method} ${path} without a token`)
      t.match(
        anonymous.headers['www-authenticate'],
        /^Bearer resource_metadata="[^"]+", scope="mcp"$/,
        'no error: no token came'
      )
      if (allowed.split(', ').includes(method)) continue
      const response = await app.inject({ method, url: path, headers: { host, authorization: 'Bearer alice' } })
      t.equal(response.statusCode, 405, `${method} ${path}`)
      t.equal(response.headers.allow, allowed)
    }
  }
})

t.test('browsers', async t => {
  const { app, url } = await startMcp(t, {
    publicUrl: 'https://mcp.example.com',
    allowedOrigins: ['https://app.example.com'],
    allowedHosts: ['internal:8080']
  })
  t.ok(url)
  for (const path of ['/mcp', '/sse', '/messages']) {
    const preflight = await app.inject({
      method: 'OPTIONS',
      url: path,
      headers: {
        host: 'mcp.example.com',
        origin: 'https://app.example.com',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,mcp-session-id'
      }
    })
    t.equal(preflight.statusCode, 204, `preflight of ${path} needs no token`)
    t.equal(preflight.headers['access-control-allow-origin'], 'https://app.example.com')
    t.equal(preflight.headers['access-control-allow-headers'], 'authorization,mcp-session-id')
  }
  const initialize = (headers: Record<string, string>) =>
    app.inject({
      method: 'POST',
      url: '/mcp',
      headers: { authorization: 'Bearer alice', accept, ...headers },
      payload: { jsonrpc: '2.0', id: 1, method: 'initialize', params: initializeParams() }
    })
  const allowed = await initialize({ host: 'mcp.example.com', origin: 'https://app.example.com' })
  t.equal(allowed.statusCode, 200)
  t.equal(allowed.headers['access-control-allow-origin'], 'https://app.example.com')
  t.match(allowed.headers['access-control-expose-headers'], /Mcp-Session-Id.*Mcp-Protocol-Version.*WWW-Authenticate/)
  const unasked = await initialize({ host: 'internal:8080' })
  t.equal(unasked.statusCode, 200, 'no origin: no browser')
  t.equal(unasked.headers.vary, 'Origin', 'caches are told all the same')
  t.equal(unasked.headers['access-control-allow-origin'], undefined)
  t.equal(
    (await initialize({ host: 'mcp.example.com', origin: 'http://localhost:6274' })).statusCode,
    403,
    'loopback origins are for loopback services'
  )
  t.equal((await initialize({ host: 'localhost' })).statusCode, 403)
})
