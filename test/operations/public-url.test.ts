import t, { type Test } from 'tap'
import { ownPaths } from '../../src/service/own-paths.js'
import { freePort } from '../support/free-port.js'
import { bearer, newTokens, register } from '../support/oauth-flow.js'
import { startService } from '../support/service.js'
import { startTarget } from '../support/target.js'
import { faults, open, outside } from '../doctor/deployments.js'
import { initializeParams } from '../support/mcp-harness.js'

/*
 * The public URL itself: what it serves, with a path and without, and what a request under another name learns.
 */

const ACCEPT = 'application/json, text/event-stream'
const initialize = { jsonrpc: '2.0', id: 1, method: 'initialize', params: initializeParams() }

t.test('requests reach their routes, whether a proxy passes the path of PUBLIC_URL on or removes it', async t => {
  const route = (url: string, publicUrl = 'https://example.com/tools', request: object = {}, mode = 'stateful') =>
    ownPaths(publicUrl, mode === 'stateful' ? 'stateful' : 'stateless')({ method: 'GET', headers: {}, url, ...request })
  for (const [url, expected] of [
    ['/tools/mcp', '/mcp'],
    ['/mcp', '/mcp'],
    ['/tools/mcp?x=/tools/y', '/mcp?x=/tools/y'],
    ['/tools', '/'],
    ['/tools/', '/'],
    ['/tools?x', '/?x'],
    ['/', '/'],
    ['/toolset/mcp', '/toolset/mcp'],
    ['/tools/tools/mcp', '/tools/mcp'],
    ['/TOOLS/mcp', '/TOOLS/mcp'],
    ['/tools/.well-known/openid-configuration', '/.well-known/openid-configuration'],
    ['/.well-known/oauth-authorization-server/tools', '/.well-known/oauth-authorization-server'],
    ['/.well-known/oauth-authorization-server/tools/mcp', '/.well-known/oauth-authorization-server/mcp'],
    ['/.well-known/oauth-protected-resource/tools/mcp?x', '/.well-known/oauth-protected-resource/mcp?x'],
    ['/.well-known/oauth-protected-resource/toolset', '/.well-known/oauth-protected-resource/toolset'],
    ['/.well-known/oauth-protected-resource', '/.well-known/oauth-protected-resource'],
    ['/x/.well-known/y/tools', '/x/.well-known/y/tools'],
    ['//tools/mcp', '//tools/mcp']
  ] as const) t.equal(route(url), expected, url)
  for (const url of ['/mcp', '/tools/mcp', '/.well-known/x/tools', '/%zz', '*', '//']) {
    t.equal(route(url, 'https://example.com'), url, `${url} of a service without a path`)
  }
  const stream = { headers: { accept: 'text/event-stream' } }
  const session = { headers: { 'mcp-session-id': 'x' } }
  const html = { headers: { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' } }
  for (const [url, publicUrl] of [['/', 'https://example.com'], ['/tools', 'https://example.com/tools']] as const) {
    for (const method of ['POST', 'DELETE', 'OPTIONS', 'PUT', 'PROPFIND']) {
      t.equal(route(`${url}?x=1`, publicUrl, { method, ...html }), '/mcp?x=1', method)
    }
    t.equal(route(url, publicUrl, stream), '/sse')
    t.equal(route(url, publicUrl, stream, 'stateless'), '/mcp')
    t.equal(route(url, publicUrl, session), '/mcp')
    for (const page of [html, {}, { headers: { accept: '*/*' } }]) t.equal(route(url, publicUrl, page), '/')
    t.equal(route(url, publicUrl, { method: 'HEAD', ...stream }), '/')
  }
})

for (const path of ['', '/tools']) {
  const publicUrl = `https://mcp.example.com${path}`
  t.test(`${publicUrl} is an MCP endpoint, and a page for browsers`, async t => {
    const target = await startTarget(t, { PUBLIC_URL: publicUrl })
    const { app } = target
    const host = 'mcp.example.com'
    const at = path === '' ? '/' : path
    const page = await app.inject({ url: at, headers: { host, accept: 'text/html,*/*' } })
    t.match(page, { statusCode: 200, headers: { 'content-type': /html/ } })
    t.match(page.body, `<code>${publicUrl}/mcp</code>`)
    t.match(page.body, `href="${publicUrl}/oauth/connections"`)
    t.notMatch(page.body, /another name/)

    const challenge = await app.inject({ method: 'POST', url: at, headers: { host, accept: ACCEPT } })
    const metadataUrl = /resource_metadata="([^"]+)"/.exec(String(challenge.headers['www-authenticate']))?.[1] ?? ''
    t.equal(challenge.statusCode, 401)
    t.equal(metadataUrl, `${publicUrl}/.well-known/oauth-protected-resource`)
    t.match((await app.inject(new URL(metadataUrl).pathname)).json(), {
      resource: publicUrl,
      authorization_servers: [publicUrl]
    }, 'RFC 9728 3.3: it is the metadata of the URL that the client came to')
    const ofMcp = await app.inject({ method: 'POST', url: `${path}/mcp`, headers: { host } })
    t.match(ofMcp.headers['www-authenticate'], `"${publicUrl}/.well-known/oauth-protected-resource/mcp"`)

    const preflight = await app.inject({
      method: 'OPTIONS',
      url: at,
      headers: { host, origin: 'https://mcp.example.com', 'access-control-request-method': 'POST' }
    })
    t.match(preflight, { statusCode: 204, headers: { 'access-control-allow-origin': 'https://mcp.example.com' } })
    const foreign = { host, origin: 'https://evil.example' }
    t.equal((await app.inject({ method: 'POST', url: at, headers: foreign })).statusCode, 403, 'guarded like /mcp')
    const stream = await app.inject({ url: at, headers: { host: 'evil.example', accept: 'text/event-stream' } })
    t.equal(stream.statusCode, 401)
  })
}

t.test('metadata, cookies and links with a path', async t => {
  const { app } = await startTarget(t, { PUBLIC_URL: 'https://example.com/tools' })
  const issuer = 'https://example.com/tools'
  for (const url of [
    '/.well-known/oauth-authorization-server/tools',
    '/.well-known/openid-configuration/tools',
    '/tools/.well-known/openid-configuration',
    '/tools/.well-known/oauth-authorization-server',
    '/.well-known/oauth-authorization-server/tools/mcp'
  ]) t.match((await app.inject(url)).json(), { issuer, token_endpoint: `${issuer}/token` }, url)
  for (const url of [
    '/.well-known/oauth-protected-resource/tools/mcp',
    '/tools/.well-known/oauth-protected-resource/mcp',
    '/tools/mcp/.well-known/oauth-protected-resource'
  ]) t.match((await app.inject(url)).json(), { resource: `${issuer}/mcp` }, url)
  t.match((await app.inject('/.well-known/oauth-protected-resource/tools')).json(), { resource: issuer })
  for (const url of ['/healthz', '/tools/healthz', '/tools/readyz']) {
    t.equal((await app.inject(url)).statusCode, 200, url)
  }
  t.match((await app.inject('/tools/openapi.json')).json(), { servers: [{ url: issuer }] })
  const login = await app.inject('/tools/oauth/connections/login')
  t.match(login.headers.location, /^https:\/\/example\.com\/tools\/authorize\?/)
  const cookie = String(login.headers['set-cookie'])
  t.match(cookie, /^__Host-mcp-sign-in-[\w-]{8}=/, 'another service of this origin has other cookies')
  t.match(cookie, /Path=\/;/, 'as __Host- asks for')
})

t.test('a token works at the URL itself and at its endpoints, and no other service takes it', async t => {
  const at = async (t: Test, path: string) => {
    const port = await freePort()
    return await startService(t, { PORT: String(port), PUBLIC_URL: `http://localhost:${port}${path}` })
  }
  const [one, other] = [await at(t, '/one'), await at(t, '')]
  const endpoint = { fetch, url: one.url, upstream: one.upstream }
  const client = await register(endpoint)
  const tokens = await newTokens(endpoint, client)
  for (const [url, status] of [
    [one.url, 200],
    [`${one.url}/`, 200],
    [`${one.url}/mcp`, 200],
    [other.url, 401],
    [`${other.url}/mcp`, 401]
  ] as const) {
    const answer = await fetch(url, {
      method: 'POST',
      headers: { ...bearer(tokens.accessToken), accept: ACCEPT, 'content-type': 'application/json' },
      body: JSON.stringify(initialize)
    })
    t.equal(answer.status, status, url)
    await answer.body?.cancel()
  }
})

t.test('who comes by another name is told which one to use', async t => {
  const { app } = await startTarget(t)
  for (const host of ['127.0.0.1:5050', '[::1]:5050', 'other.localhost']) {
    const challenge = await app.inject({ method: 'POST', url: '/mcp', headers: { host } })
    t.match(challenge.json(), {
      error: 'invalid_token',
      error_description: /The address of this server is http:\/\/localhost:5050\/mcp: use this name\./
    }, host)
    t.match((await app.inject({ url: '/', headers: { host } })).body, /You came by another name.*\n?.*localhost:5050/, host)
  }
  for (const host of ['localhost:5050', 'LOCALHOST:5050', 'localhost.:5050']) {
    t.notMatch((await app.inject({ method: 'POST', url: '/mcp', headers: { host } })).body, /use this name/, host)
    t.notMatch((await app.inject({ url: '/', headers: { host } })).body, /another name/, host)
  }
  const { app: mcp } = await startTarget(t, { PUBLIC_URL: 'https://example.com/tools', AUTH_MODE: 'broker' })
  const refused = await mcp.inject({ method: 'POST', url: '/tools', headers: { host: 'evil.example' } })
  t.equal(refused.statusCode, 401)
})

t.test('the doctor finds a service with a path sound, and says the name to use', async t => {
  const port = await freePort()
  const service = await startService(t, { PORT: String(port), PUBLIC_URL: `http://localhost:${port}/tools` })
  t.same(faults(await outside(service.url, { open })), [])
  const { port: plain } = new URL((await startService(t)).url)
  const finding = (await outside(`http://127.0.0.1:${plain}`)).find(({ check }) => check === 'public-url')
  t.match(JSON.stringify(finding), `give clients the URL http://localhost:${plain}/mcp`)
})
