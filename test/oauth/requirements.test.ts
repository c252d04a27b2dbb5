import { createServer } from 'node:http'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import {
  ask,
  askToRegister,
  authorizationUrl,
  authorize,
  bearer,
  callMcp,
  isGood,
  newCode,
  newTokens,
  openBrowser,
  post,
  redeem,
  register,
  WEB_URI
} from '../support/oauth-flow.js'
import { addressOf } from '../support/address-of.js'
import { agree, startTarget } from '../support/target.js'
import { logIn } from '../support/browser.js'
import { valueAt } from '../support/json.js'
import { RawClient, startMcp } from '../support/mcp-harness.js'

// what the specifications ask for and no other test shows: SECURITY.md names each
const METADATA = [
  'oauth-authorization-server',
  'openid-configuration',
  'oauth-authorization-server/mcp',
  'openid-configuration/mcp'
]

t.test('the metadata say what clients must verify before they log in, in each document the same', async t => {
  const { app, url } = await startTarget(t)
  for (const name of METADATA) {
    const document: unknown = (await app.inject({ url: `/.well-known/${name}` })).json()
    t.match(document, {
      issuer: url,
      code_challenge_methods_supported: ['S256'],
      authorization_response_iss_parameter_supported: true,
      client_id_metadata_document_supported: true,
      response_types_supported: ['code'],
      grant_types_supported: ['authorization_code', 'refresh_token']
    }, name)
  }
})

t.test('the protected resource metadata names the authorization server, and only scopes of the resource', async t => {
  const { app, url } = await startTarget(t, { MCP_SCOPES: 'mcp more' })
  for (const path of ['', '/mcp', '/sse']) {
    const document: unknown = (await app.inject({ url: `/.well-known/oauth-protected-resource${path}` })).json()
    t.match(document, {
      resource: url + path,
      authorization_servers: [url],
      scopes_supported: ['mcp', 'more'],
      bearer_methods_supported: ['header']
    }, path)
    t.notMatch(String(valueAt(document, 'scopes_supported')), /offline_access/)
  }
  for (const path of ['/mcp', '/sse']) {
    const { statusCode, headers } = await app.inject({ url: path })
    t.equal(statusCode, 401)
    t.equal(
      headers['www-authenticate'],
      `Bearer resource_metadata="${url}/.well-known/oauth-protected-resource${path}", scope="mcp"`,
      'the base scope, not the catalogue; no error code without a token'
    )
  }
})

t.test('no token is issued but for a code or a refresh token, and none in a redirect', async t => {
  const target = await startTarget(t)
  const client = await register(target, WEB_URI)
  for (
    const grantType of [
      'password',
      'client_credentials',
      'implicit',
      'urn:ietf:params:oauth:grant-type:jwt-bearer',
      'urn:ietf:params:oauth:grant-type:device_code',
      ''
    ]
  ) {
    const answer = await post(target, '/token', {
      grant_type: grantType,
      client_id: client.clientId,
      username: 'alice',
      password: 'any',
      scope: 'mcp'
    })
    t.match(
      answer.error,
      grantType === '' ? /^(invalid_request|unsupported_grant_type)$/ : 'unsupported_grant_type',
      grantType
    )
    t.equal(answer.member('access_token'), undefined)
  }
  for (const responseType of ['token', 'id_token', 'code token', 'none']) {
    const page = await ask(target, authorizationUrl(target, client, { response_type: responseType }))
    t.not(page.status, 200, responseType)
    t.notMatch(page.bytes, /access_token|id_token=/)
  }
})

t.test('client ids are ours to choose: random, and never a URL or the name of a person', async t => {
  const target = await startTarget(t)
  const ids = new Set<string>()
  for (const wanted of ['alice', 'https://app.example/client.json', undefined]) {
    const answer = await askToRegister(target, {
      client_id: wanted,
      sub: 'alice',
      redirect_uris: [WEB_URI],
      token_endpoint_auth_method: 'none'
    })
    const id = answer.member('client_id') ?? ''
    t.match(id, /^mcpc_[\w-]{43}$/, `asked for ${wanted}`)
    ids.add(id)
  }
  t.equal(ids.size, 3)
})

t.test('CORS: the token endpoint and the metadata are readable, the authorization endpoint never is', async t => {
  const target = await startTarget(t)
  const client = await register(target, WEB_URI)
  const origin = 'https://app.example'
  const { pathname, search } = authorizationUrl(target, client)
  for (const url of [pathname + search, '/authorize/consent', '/oauth/callback']) {
    for (const method of ['GET', 'POST', 'OPTIONS'] as const) {
      const { headers } = await target.app.inject({
        method,
        url,
        headers: { origin, 'access-control-request-method': 'POST' }
      })
      t.equal(headers['access-control-allow-origin'], undefined, `${method} ${url.split('?')[0]}`)
    }
  }
  for (const url of ['/.well-known/oauth-authorization-server', '/.well-known/oauth-protected-resource']) {
    const { headers } = await target.app.inject({ url, headers: { origin } })
    t.equal(headers['access-control-allow-origin'], '*', url)
  }
})

t.test('what follows a form is a 303, and no redirect keeps the method', async t => {
  const target = await startTarget(t)
  const client = await register(target, WEB_URI)
  const statuses: number[] = []
  const watching: typeof fetch = async (input, init) => {
    const response = await target.fetch(input, init)
    const url = new URL(input instanceof Request ? input.url : input)
    if (url.origin === target.url && response.status >= 300 && response.status < 400) {
      statuses.push(response.status)
      if (init?.method === 'POST') t.equal(response.status, 303, url.pathname)
    }
    return response
  }
  await logIn(openBrowser({ ...target, fetch: watching }), authorizationUrl(target, client))
  t.ok(statuses.length > 1)
  t.strictSame(statuses.filter(status => status !== 302 && status !== 303), [])
})

t.test('our state at the upstream is new for each attempt, comes after consent, and is good once', async t => {
  const target = await startTarget(t)
  const client = await register(target, WEB_URI)
  const before = await target.app.inject({
    url: authorizationUrl(target, client).pathname + authorizationUrl(target, client).search
  })
  t.equal(before.headers.location, undefined, 'nothing goes upstream before consent')
  const states = new Set<string>()
  for (let attempt = 0; attempt < 5; attempt++) states.add((await agree(target, client)).state)
  t.equal(states.size, 5)
  for (const state of states) t.ok(Buffer.from(state, 'base64url').length >= 16, state)

  const browser = openBrowser(target)
  await authorize(target, client, { browser })
  const callback = browser.visited.find(url => url.pathname === '/oauth/callback')
  if (callback === undefined) throw new Error('There was no callback.')
  const again = await browser.open(callback)
  t.ok(again.status >= 400, String(again.status))
  t.equal(again.url.href, callback.href, 'the same callback once more leads nowhere')
})

t.test('a resource is the same one in upper case, and with the default port', async t => {
  const target = await startTarget(t, { PUBLIC_URL: 'https://mcp.example.com' })
  const client = await register(target, WEB_URI)
  for (
    const [resource, isOurs] of [
      ['https://mcp.example.com/mcp', true],
      ['HTTPS://mcp.example.com/mcp', true],
      ['https://MCP.Example.com/mcp', true],
      ['https://mcp.example.com:443/mcp', true],
      ['https://mcp.example.com/MCP', false],
      ['https://mcp.example.com:444/mcp', false],
      ['https://mcp.example.com.evil.example/mcp', false],
      ['http://mcp.example.com/mcp', false]
    ] as const
  ) {
    const url = authorizationUrl(target, client, { resource })
    const page = await target.app.inject({ url: url.pathname + url.search })
    t.equal(page.statusCode === 200 && page.body.includes('name="decision"'), isOurs, resource)
  }
})

t.test('access tokens live an hour, and a token is good at the resource it was issued for', async t => {
  const target = await startTarget(t)
  const client = await register(target, WEB_URI)
  const answer = await redeem(target, client, await newCode(target, client))
  t.match(JSON.parse(answer.text), { token_type: 'Bearer', expires_in: 3600, scope: 'mcp' })
  t.equal(answer.headers.get('cache-control'), 'no-store')
})

t.test('a session id is random, and opens nothing without a token of its owner', async t => {
  const service = await startMcp(t)
  const ids = new Set<string>()
  for (let session = 0; session < 20; session++) {
    const { sessionId = '' } = await new RawClient(service).connect()
    t.match(sessionId, /^[\w-]{32}$/, '192 bits')
    ids.add(sessionId)
  }
  t.equal(ids.size, 20)
  const [id = ''] = ids
  const ping = { method: 'POST', body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' }) }
  for (
    const [authorization, status] of [[undefined, 401], ['Bearer nobody', 401], ['Bearer bob', 404], [
      'Bearer alice-elsewhere',
      404
    ], ['Bearer alice', 200]] as const
  ) {
    const headers = {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-session-id': id,
      ...authorization !== undefined && { authorization }
    }
    t.equal((await fetch(`${service.url}/mcp`, { ...ping, headers })).status, status, authorization ?? 'no token')
  }
})

t.test('our tokens are worth nothing upstream, and a refresh token is not an access token', async t => {
  const target = await startTarget(t)
  const tokens = await newTokens(target, await register(target, WEB_URI))
  t.ok(await isGood(target, tokens.accessToken))
  const upstream = await ask(target, `${target.upstream.issuer}/me`, { headers: bearer(tokens.accessToken) })
  t.not(upstream.status, 200, 'upstream')
  t.equal((await callMcp(target, { authorization: `Bearer ${tokens.refreshToken}` })).status, 401)
})

/** A host of metadata documents, on loopback. */
async function documents (t: Test, more: Record<string, unknown>): Promise<string> {
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'application/json').end(
      JSON.stringify({
        client_id: clientId,
        client_name: 'App',
        redirect_uris: ['http://localhost:3334/callback'],
        ...more
      })
    )
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.close() })
  const address = addressOf(server)
  const clientId = `http://127.0.0.1:${address.port}/client.json`
  return clientId
}

const shared = ['client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt']
for (
  const more of [
    {},
    ...shared.map(method => ({ token_endpoint_auth_method: method })),
    { client_secret: 'secret' },
    { redirect_uris: null },
    { client_name: null },
    { client_name: ' ' },
    { redirect_uris: 'http://localhost:3334/callback' },
    { client_id: 'https://another.example/client.json' }
  ]
) {
  const outcome = Object.keys(more).length === 0 ? 'taken' : 'refused'
  t.test(`a metadata document with ${JSON.stringify(more)} is ${outcome}`, async t => {
    const target = await startTarget(t)
    const clientId = await documents(t, more)
    const page = await ask(
      target,
      authorizationUrl(target, { clientId, redirectUri: 'http://localhost:3334/callback' })
    )
    t.equal(page.status, Object.keys(more).length === 0 ? 200 : 400)
    t.equal(page.headers.get('location'), null)
  })
}
