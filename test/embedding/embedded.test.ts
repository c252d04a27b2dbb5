import {
  StreamableHTTPClientTransport as StreamableHTTPClientTransport2,
  Client as Client2
} from '@modelcontextprotocol/client'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { startDemoUpstream } from '../../src/demo/upstream.js'
import {
  createMemoryStores,
  mcpDiscovery,
  mcpService,
  mcpServiceParts,
  type BrokerModeOptions,
  type HostAuthModeOptions
} from '../../src/index.js'
import { createServer } from '../support/sample-server.js'
import { Person } from '../support/person.js'
import { emitted } from '../support/emitted.js'
import { freePort } from '../support/free-port.js'
import { createHost } from './host.js'

const login = await startDemoUpstream({ port: 0 })
t.teardown(() => login.close())

const hostAuth: HostAuthModeOptions['auth'] = {
  mode: 'host',
  authorizationServers: ['https://login.example.com'],
  verifyAccessToken: async token => ({
    token,
    clientId: 'c',
    scopes: ['mcp'],
    extra: { issuer: 'https://login.example.com', subject: token }
  })
}
const clientInfo = { name: 'embedded', version: '1' }
const scopes = ['openid', 'profile', 'email', 'offline_access']

/** Options of a service, with stores that end with the test. */
function optionsFor (t: Test, publicUrl: string): BrokerModeOptions {
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  t.teardown(() => stores.close())
  return { publicUrl, createServer, stores, upstream: { issuerUrl: new URL(login.issuer), scopes } }
}

/** The host with services in it, on a port. */
async function listen (
  t: Test,
  plug: (app: FastifyInstance, url: string) => Promise<void>
): Promise<{ app: FastifyInstance, url: string }> {
  const app = await createHost()
  const port = await freePort()
  const url = `http://localhost:${port}`
  await plug(app, url)
  t.teardown(() => app.close())
  await app.listen({ port, host: '127.0.0.1' })
  return { app, url }
}

const transports = {
  'SDK 1.x, Streamable HTTP': (url: string, person: Person) =>
    new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { authProvider: person }),
  'SDK 1.x, HTTP+SSE': (url: string, person: Person) =>
    new SSEClientTransport(new URL(`${url}/sse`), { authProvider: person })
}

/** From 401 to a tool call, as a client of SDK 1.x does it. @returns what the redirect to the client said */
async function logInAndCall (
  t: Test,
  url: string,
  person: Person,
  transportOf: (url: string, person: Person) => StreamableHTTPClientTransport | SSEClientTransport =
  transports['SDK 1.x, Streamable HTTP']
) {
  const first = transportOf(url, person)
  await t.rejects(new Client(clientInfo).connect(first), { message: /Unauthorized/ })
  const callback = await person.logIn()
  await first.finishAuth(callback.get('code') ?? '')
  const client = new Client(clientInfo)
  t.teardown(() => client.close())
  await client.connect(transportOf(url, person))
  t.match(await client.callTool({ name: 'add', arguments: { l: 1, r: 2 } }), { content: [{ text: '3' }] })
  t.match(JSON.stringify(await client.callTool({ name: 'whoami', arguments: {} })), new RegExp(person.name))
  return callback
}

for (const discovery of [true, false]) {
  const how = `${discovery ? 'with' : 'without'} mcpDiscovery`
  t.test(`under a prefix of somebody's app, every client logs in and calls: ${how}`, async t => {
    const { url } = await listen(t, async (app, url) => {
      const options = optionsFor(t, url)
      await app.register(mcpService, { ...options, prefix: '/ai' })
      if (discovery) await app.register(mcpDiscovery, { ...options, servicePrefix: '/ai' })
    })
    for (const [name, transportOf] of Object.entries(transports)) {
      t.comment(name)
      const callback = await logInAndCall(t, `${url}/ai`, new Person('alice'), transportOf)
      t.equal(callback.get('iss'), `${url}/ai`)
    }
    const person = new Person('bob')
    const transport = () => new StreamableHTTPClientTransport2(new URL(`${url}/ai/mcp`), { authProvider: person })
    const [first, client] = [transport(), new Client2(clientInfo, { versionNegotiation: { mode: 'auto' } })]
    await t.rejects(new Client2(clientInfo).connect(first), /Unauthorized/)
    await first.finishAuth(await person.logIn())
    t.teardown(() => client.close())
    await client.connect(transport())
    t.match(await client.callTool({ name: 'add', arguments: { l: 1, r: 2 } }), { content: [{ text: '3' }] })
    t.ok(person.browser.visited.some(({ pathname }) => pathname === '/ai/oauth/callback'))
  })
}

t.test('what clients probe is answered, wherever they put the path', async t => {
  const publicUrl = 'https://mcp.example.com'
  const app = await createHost()
  t.teardown(() => app.close())
  const options = optionsFor(t, publicUrl)
  await app.register(mcpService, { ...options, prefix: '/ai' })
  await app.register(mcpDiscovery, { ...options, servicePrefix: '/ai' })
  await app.register(mcpService, { ...optionsFor(t, publicUrl), prefix: '/v2/ai' })
  await app.register(mcpDiscovery, { ...options, servicePrefix: '/v2/ai', forOrigin: false })

  for (const [prefix, others] of [['/ai', ['']], ['/v2/ai', []]] as const) {
    const base = publicUrl + prefix
    for (const name of ['oauth-authorization-server', 'openid-configuration']) {
      const places = [
        ...['', '/mcp', '/sse'].flatMap(
          path => [`/.well-known/${name}${prefix}${path}`, `${prefix}${path}/.well-known/${name}`]
        ),
        `${prefix}/.well-known/${name}/mcp`,
        ...others.map(path => `/.well-known/${name}${path}`)
      ]
      for (const url of places) {
        const answer = await app.inject({ url, headers: { origin: 'https://client.example' } })
        t.match(answer.json(), {
          issuer: base,
          token_endpoint: `${base}/token`,
          authorization_endpoint: `${base}/authorize`,
          registration_endpoint: `${base}/register`
        }, url)
        t.match(
          answer.headers,
          { 'access-control-allow-origin': '*', 'access-control-allow-credentials': undefined },
          'for any site, whatever the host has for its own'
        )
      }
    }
    for (const [path, resource] of [['/mcp', `${base}/mcp`], ['/sse', `${base}/sse`], ['', base]] as const) {
      for (
        const url of [
          `/.well-known/oauth-protected-resource${prefix}${path}`,
          `${prefix}${path}/.well-known/oauth-protected-resource`,
          `${prefix}/.well-known/oauth-protected-resource${path}`
        ]
      ) {
        t.match((await app.inject({ url })).json(), { resource, authorization_servers: [base] }, url)
      }
    }
    for (const path of ['/mcp', '/sse']) {
      const { statusCode, headers } = await app.inject({ url: prefix + path })
      t.equal(statusCode, 401)
      t.match(
        headers['www-authenticate'],
        `Bearer resource_metadata="${base}/.well-known/oauth-protected-resource${path}"`
      )
    }
    t.same((await app.inject({ url: `${prefix}/.well-known/jwks.json` })).json(), { keys: [] })
  }
  t.match(
    (await app.inject({ url: '/.well-known/oauth-protected-resource' })).json(),
    { resource: `${publicUrl}/ai` },
    'those of the origin lead to one of them'
  )
})

t.test('behind a proxy that strips a path, and nested in prefixes', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  const options = optionsFor(t, 'https://example.com/outer/')
  await app.register(async inner => {
    await inner.register(mcpService, { ...options, prefix: '/ai/' })
  }, { prefix: '/v1' })
  await app.register(mcpDiscovery, { ...options, servicePrefix: '/v1/ai' })
  const metadata = await app.inject({ url: '/.well-known/oauth-authorization-server/outer/v1/ai' })
  t.match(metadata.json(), { issuer: 'https://example.com/outer/v1/ai' })
  t.match(
    (await app.inject({ url: '/v1/ai/mcp' })).headers['www-authenticate'],
    '"https://example.com/outer/v1/ai/.well-known/oauth-protected-resource/mcp"'
  )
})

t.test('two services in one app: each with its own login, in one browser', async t => {
  const { url } = await listen(t, async (app, url) => {
    await app.register(mcpService, { ...optionsFor(t, url), prefix: '/a' })
    await app.register(mcpService, { ...optionsFor(t, url), prefix: '/b' })
  })
  const [first, second] = [new Person('alice'), new Person('alice')]
  const atA = transports['SDK 1.x, Streamable HTTP'](`${url}/a`, first)
  await t.rejects(new Client(clientInfo).connect(atA), /Unauthorized/)
  if (first.authorizationUrl === undefined) throw new Error('not sent to log in')
  const begun = await first.browser.open(first.authorizationUrl)
  // the other login, from its beginning to its end, in the same browser
  Object.assign(second, { browser: first.browser })
  await logInAndCall(t, `${url}/b`, second)
  const gone = await first.browser.submit(begun, {}, 'Allow access')
  t.equal(gone.url.origin, login.issuer, 'the first still knows this browser')
  await atA.finishAuth((await first.logIn()).get('code') ?? '')

  for (
    const [prefix, token, status] of [['/a', first.accessToken, 200], ['/b', second.accessToken, 200], [
      '/a',
      second.accessToken,
      401
    ], ['/b', first.accessToken, 401]] as const
  ) {
    const answer = await fetch(`${url}${prefix}/mcp`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream'
      },
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: 1,
        method: 'initialize',
        params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo }
      })
    })
    t.equal(answer.status, status, prefix)
  }
})

t.test('our pages and answers are ours, whatever the host has around them', async t => {
  const publicUrl = 'https://mcp.example.com'
  const lines: string[] = []
  const app = Fastify({ logger: { stream: { write: line => { lines.push(line) } } } })
  t.teardown(() => app.close())
  await app.register(async host => {
    host.addHook('onRequest', async request => {
      if (request.headers['x-over'] !== undefined) throw Object.assign(new Error('Too much.'), { statusCode: 429 })
    })
    host.setErrorHandler((error, _request, reply) =>
      reply.code(error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500).send({
        host: 'error'
      })
    )
    await host.register(mcpService, { ...optionsFor(t, publicUrl), allowedOrigins: ['https://client.example'] })
  }, { prefix: '/ai' })
  const broken = await app.inject({
    method: 'POST',
    url: '/ai/token',
    headers: { 'content-type': 'application/json' },
    payload: '{'
  })
  t.match({ status: broken.statusCode, body: broken.json<unknown>() }, {
    status: 400,
    body: { error: 'invalid_request' }
  })
  for (const url of ['/ai/token', '/ai/authorize/consent', '/ai/mcp']) {
    const over = await app.inject({ method: 'POST', url, headers: { 'x-over': '1' } })
    t.match(
      { status: over.statusCode, body: over.json<unknown>() },
      { status: 429, body: { host: 'error' } },
      'what a hook of the host refuses is answered as the host does'
    )
  }
  await app.inject({ url: '/ai/oauth/callback?code=a-code-of-the-upstream&state=s' })
  t.notMatch(lines.join(''), /a-code-of-the-upstream/, 'and its log has no codes')

  const host = await createHost()
  t.teardown(() => host.close())
  await host.register(mcpService, {
    ...optionsFor(t, publicUrl),
    prefix: '/ai',
    allowedOrigins: ['https://client.example']
  })
  const page = await host.inject({ url: '/ai/authorize?client_id=nobody' })
  t.match(page.headers, {
    'content-security-policy': /^default-src 'none'; style-src 'sha256-/,
    'referrer-policy': 'same-origin'
  }, 'helmet or not')
  const preflight = async (url: string) =>
    (await host.inject({
      method: 'OPTIONS',
      url,
      headers: {
        origin: 'https://client.example',
        'access-control-request-method': 'DELETE',
        'access-control-request-headers': 'mcp-session-id,authorization'
      }
    })).headers
  t.match(await preflight('/ai/mcp'), {
    'access-control-allow-origin': 'https://client.example',
    'access-control-allow-headers': 'mcp-session-id,authorization',
    'access-control-allow-methods': 'GET, POST, DELETE',
    'access-control-allow-credentials': undefined
  })
  t.match(
    await preflight('/ai/register'),
    { 'access-control-allow-origin': '*', 'access-control-allow-credentials': undefined }
  )
  const registered = await host.inject(
    { method: 'POST', url: '/ai/register', payload: { redirect_uris: ['https://client.example/cb'] } }
  )
  t.match(
    { status: registered.statusCode, body: registered.json<unknown>() },
    { status: 201, body: { client_id: String } },
    'our JSON in and out, not the host\'s'
  )
})

t.test('tokens of the host, its own routes beside ours, and no network at all', async t => {
  const app = await createHost()
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  t.teardown(() => stores.close())
  await app.register(async ai => {
    await ai.register(mcpServiceParts, { publicUrl: 'http://localhost', createServer, stores, auth: hostAuth })
    ai.get(
      '/me',
      { onRequest: ai.bearerAuth },
      async (request, reply) =>
        await reply.serializer(JSON.stringify).send({
          subject: request.authInfo?.extra.subject,
          sessions: ai.mcpSessions.counts.sessions
        })
    )
  }, { prefix: '/ai' })
  await app.register(mcpDiscovery, { publicUrl: 'http://localhost', auth: hostAuth, servicePrefix: '/ai' })
  const headers = { authorization: 'Bearer alice', accept: 'application/json, text/event-stream' }
  const call = async (message: object, more = {}) =>
    await app.inject({
      method: 'POST',
      url: '/ai/mcp',
      headers: { ...headers, ...more },
      payload: { jsonrpc: '2.0', id: 1, ...message }
    })
  const begun = await call({
    method: 'initialize',
    params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo }
  })
  t.equal(begun.statusCode, 200)
  const added = await call({ method: 'tools/call', params: { name: 'add', arguments: { l: 1, r: 2 } } }, {
    'mcp-session-id': String(begun.headers['mcp-session-id'])
  })
  t.match(added.json(), { result: { content: [{ text: '3' }] } })
  t.same((await app.inject({ url: '/ai/me', headers })).json(), { subject: 'alice', sessions: 1 })
  t.equal((await app.inject({ url: '/ai/me' })).statusCode, 401)
  t.match((await app.inject({ url: '/.well-known/oauth-protected-resource/ai/mcp' })).json(), {
    resource: 'http://localhost/ai/mcp',
    authorization_servers: ['https://login.example.com']
  })
  t.equal(
    (await app.inject({ url: '/.well-known/oauth-authorization-server/ai' })).statusCode,
    404,
    'there is no broker'
  )

  const stream = await app.inject({
    url: '/ai/sse',
    headers: { ...headers, accept: 'text/event-stream' },
    payloadAsStream: true
  })
  const [value] = await emitted(stream.stream(), 'data')
  t.match(String(value), /data: http:\/\/localhost\/ai\/messages\?sessionId=/)
  await app.close()
  t.pass('an open stream does not hold the closing')
})

t.test('a call takes what it takes, however soon the host gives up', async t => {
  const app = Fastify({ handlerTimeout: 20 })
  t.teardown(() => app.close())
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  t.teardown(() => stores.close())
  await app.register(mcpService, {
    publicUrl: 'http://localhost',
    createServer,
    stores,
    sessionMode: 'stateless',
    auth: hostAuth,
    streams: { silenceMs: 60_000 }
  })
  const answer = await app.inject({
    method: 'POST',
    url: '/mcp',
    headers: { authorization: 'Bearer alice', accept: 'application/json, text/event-stream' },
    payload: {
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: 'countdown', arguments: { from: 1, intervalMs: 200 } }
    }
  })
  t.match(answer.json(), { result: { content: [{ text: 'Lift-off!' }] } })
})

t.test('what cannot be is refused at once', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  for (const publicUrl of ['mcp.example.com', 'ftp://mcp.example.com', 'https://mcp.example.com/?a', '']) {
    await t.rejects(async () => await Fastify().register(mcpService, optionsFor(t, publicUrl)), {
      code: 'config_invalid',
      message: /publicUrl/
    }, publicUrl)
  }
  await t.rejects(
    async () =>
      await Fastify().register(mcpService, { ...optionsFor(t, 'https://mcp.example.com'), prefix: '/:tenant' }),
    { code: 'config_invalid', message: /prefix/ }
  )
  await t.rejects(
    async () =>
      await Fastify().register(mcpDiscovery, {
        publicUrl: 'https://mcp.example.com',
        servicePrefix: '/ai',
        prefix: '/x'
      }),
    { code: 'config_invalid', message: /root/ }
  )
})
