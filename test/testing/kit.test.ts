import { InvalidGrantError, TemporarilyUnavailableError } from '@modelcontextprotocol/sdk/server/auth/errors.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import * as z from 'zod'
import { createMemoryStores, mcpService, type BrokerModeOptions, type CreateServer } from '../../src/index.js'
import {
  injectFetch,
  ScriptableUpstream,
  testClient,
  type ScriptableUpstreamOptions,
  type TestClientOptions
} from '../../src/testing/index.js'
import './example.js'

const NOTHING = z.object({})
const text = (value: string) => ({ content: [{ type: 'text' as const, text: value }] })

const createServer: CreateServer = ({ getUpstreamAccessToken }) => {
  const server = new McpServer({ name: 'kit', version: '1.0.0' }, { capabilities: { logging: {} } })
  server.registerTool(
    'whoami',
    { inputSchema: NOTHING },
    (_input, { authInfo }) => text(String(authInfo?.extra?.subject))
  )
  server.registerTool(
    'upstream_token',
    { inputSchema: NOTHING },
    async () => text(String(await getUpstreamAccessToken()))
  )
  server.registerTool('steps', { inputSchema: NOTHING }, async (_input, { sendNotification, _meta }) => {
    const { progressToken = 'none' } = _meta ?? {}
    for (const progress of [1, 2]) {
      await sendNotification({ method: 'notifications/progress', params: { progressToken, progress } })
    }
    return text('done')
  })
  server.registerTool('ask', { inputSchema: NOTHING }, async () => {
    const { action, content } = await server.server.elicitInput({
      message: 'Colour?',
      requestedSchema: { type: 'object', properties: { colour: { type: 'string' } } }
    })
    return text(`${action} ${content?.colour}`)
  })
  return server
}

interface Setup {
  upstream?: ScriptableUpstreamOptions
  service?: Partial<BrokerModeOptions>
  client?: Partial<TestClientOptions>
}

/** An embedder's app, and a client in front of it. */
async function setUp (t: Test, { upstream: kind = {}, service = {}, client = {} }: Setup = {}) {
  const upstream = new ScriptableUpstream(kind)
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  const app = Fastify()
  await app.register(mcpService, {
    publicUrl: 'https://mcp.example.com',
    createServer,
    upstream: upstream.options,
    stores,
    scopes: ['mcp', 'files'],
    ...service
  })
  t.teardown(async () => {
    await app.close()
    await stores.close()
  })
  return { app, upstream, client: testClient(app, { upstream, ...client }) }
}

const told = ({ content: [first] }: { content: Array<{ type: string, text?: string }> }) => first?.text

for (const protocolVersion of ['2025-11-25', '2026-07-28'] as const) {
  t.test(`from nothing to a tool's result, ${protocolVersion}`, async t => {
    const { client, upstream } = await setUp(t)
    const alice = await client.login({
      as: 'alice',
      scopes: ['mcp'],
      protocolVersion,
      answers: { 'elicitation/create': () => ({ action: 'accept', content: { colour: 'blue' } }) }
    })
    t.strictSame(alice.scopes, ['mcp'])
    t.equal(told(await alice.callTool('whoami')), 'alice')
    t.match(told(await alice.callTool('upstream_token')), /^upstream-/)
    t.strictSame((await alice.listTools()).map(({ name }) => name), ['whoami', 'upstream_token', 'steps', 'ask'])
    t.equal(told(await alice.callTool('ask')), 'accept blue')
    await alice.request('tools/call', { name: 'steps', arguments: {}, _meta: { progressToken: 'mine' } })
    t.match(alice.notifications.filter(({ method }) => method === 'notifications/progress'), [
      { params: { progressToken: 'mine', progress: 1 } }, { params: { progressToken: 'mine', progress: 2 } }
    ])
    await t.rejects(alice.request('tools/nonsense'), { code: -32601 })
    const bob = await client.login({ as: 'bob', protocolVersion })
    t.equal(told(await bob.callTool('whoami')), 'bob')
    t.equal(bob.clientId, alice.clientId)
    t.equal(upstream.asked('register').length, 1)
    await alice.revoke()
    await t.rejects(alice.callTool('whoami'), { code: 401 })
    t.equal(told(await bob.callTool('whoami')), 'bob')
    await Promise.all([alice.close(), bob.close()])
  })
}

t.test('refresh, and the raw answer of the app', async t => {
  const { client } = await setUp(t)
  const alice = await client.login()
  const before = alice.accessToken
  await alice.refresh()
  t.not(alice.accessToken, before)
  t.equal(told(await alice.callTool('whoami')), 'alice')
  const answer = await alice.inject({
    method: 'POST',
    url: '/mcp',
    payload: { jsonrpc: '2.0', id: 1, method: 'ping' },
    headers: { accept: 'application/json, text/event-stream' }
  })
  t.equal(answer.statusCode, 400, 'a session id is missing')
  await alice.close()
})

t.test('an outage, and its end', async t => {
  const { client, upstream } = await setUp(t, { upstream: { expiresIn: 0 } })
  const alice = await client.login()
  upstream.outage()
  await t.rejects(alice.refresh(), TemporarilyUnavailableError)
  upstream.restore()
  await alice.refresh()
  t.equal(upstream.tokenRequests('refresh_token').length, 1)
})

t.test('an upstream that does not answer', async t => {
  const { client, upstream } = await setUp(t, { upstream: { expiresIn: 0 } })
  const alice = await client.login()
  const held = upstream.hold()
  let refreshed = false
  const refreshing = alice.refresh().then(() => { refreshed = true })
  await held.asked
  t.notOk(refreshed)
  held.release()
  await refreshing
})

t.test('a refresh token of the upstream that is used twice ends the login there', async t => {
  const { client, upstream } = await setUp(t, { upstream: { expiresIn: 0 } })
  const alice = await client.login()
  await alice.refresh()
  const [used] = upstream.tokenRequests('refresh_token')
  const replay = await upstream.fetch(`${upstream.origin}/token`, {
    method: 'POST',
    headers: { ...used?.headers },
    body: new URLSearchParams(
      Object.entries(used?.parameters ?? {}).map(([name, value]): [string, string] => [name, String(value)])
    )
  })
  t.match(await replay.json(), { error: 'invalid_grant' })
  await t.rejects(alice.refresh(), InvalidGrantError)
})

t.test('an upstream without refresh tokens: the login lasts as long as its access token', async t => {
  const { client, upstream } = await setUp(t)
  upstream.withoutRefreshTokens()
  upstream.accessTokensLive(0)
  const alice = await client.login()
  t.equal(told(await alice.callTool('upstream_token')), 'undefined')
  await alice.close()
})

t.test('a person who is refused', async t => {
  const { client, upstream } = await setUp(t)
  upstream.deny()
  await t.rejects(client.login(), { name: 'LoginError', error: 'access_denied' })
  upstream.restore()
  t.equal((await client.login()).scopes.join(), 'mcp')
})

t.test('static mode: this service and the client are registered by hand', async t => {
  const redirectUri = 'https://app.example/callback'
  const upstream = new ScriptableUpstream()
  upstream.clients.addByHand('https://mcp.example.com')
  const { client } = await setUp(t, {
    service: {
      upstream: { ...upstream.options, clientId: 'us', clientSecret: 'shh' },
      clients: [{ clientId: 'app', clientSecret: 'secret', redirectUris: [redirectUri] }]
    },
    client: { upstream, redirectUri, registered: { clientId: 'app', clientSecret: 'secret' } }
  })
  upstream.clients.addByHand('https://mcp.example.com', { authMethod: 'client_secret_basic' })
  const alice = await client.login()
  t.equal(alice.clientId, 'app')
  t.equal(told(await alice.callTool('whoami')), 'alice')
  await alice.refresh()
  await alice.close()
  t.equal(upstream.asked('register').length, 0)
})

t.test('mode resource-server: the client logs in at the upstream itself', async t => {
  const upstream = new ScriptableUpstream({ metadata: { scopes_supported: ['mcp'] } })
  const app = Fastify()
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  await app.register(mcpService, {
    publicUrl: 'https://mcp.example.com',
    createServer,
    stores,
    auth: { mode: 'resource-server', issuer: upstream.issuer, fetch: upstream.fetch }
  })
  t.teardown(async () => {
    await app.close()
    await stores.close()
  })
  const alice = await testClient(app, { upstream }).login({ protocolVersion: '2026-07-28' })
  t.equal(told(await alice.callTool('whoami')), 'alice')
  t.equal(upstream.asked('jwks').length, 1)
  await alice.refresh()
  t.equal(told(await alice.callTool('whoami')), 'alice')
})

t.test('an app without the endpoint is told so', async t => {
  await t.rejects(testClient(Fastify()).login(), /POST \/mcp answered 404/)
})

t.test('fetch over inject: streams, cancellation, signals, redirects, cookies', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  let closed = () => {}
  const gone = new Promise<void>(resolve => { closed = resolve })
  app.get('/stream', (_request, reply) => {
    reply.hijack()
    reply.raw.on('close', closed)
    reply.raw.writeHead(200, { 'content-type': 'text/plain' })
    reply.raw.write('first')
  })
  app.get('/never', () => new Promise(() => {}))
  app.get('/redirect', (_request, reply) => reply.header('set-cookie', ['a=1', 'b=2']).redirect('/elsewhere'))
  app.post('/echo', async ({ body, host }) => ({ body, host }))
  const fetch = injectFetch(app)
  const response = await fetch('https://some.example/stream')
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  t.equal((await reader?.read())?.value, 'first', 'before the answer has ended')
  await reader?.cancel()
  await gone
  const controller = new AbortController()
  const asked = fetch('https://some.example/never', { signal: controller.signal })
  controller.abort(new Error('enough'))
  await t.rejects(asked, /enough/)
  const redirect = await fetch('https://some.example/redirect', { redirect: 'manual' })
  t.strictSame([redirect.status, redirect.headers.getSetCookie()], [302, ['a=1', 'b=2']])
  await t.rejects(fetch('https://some.example/redirect'), TypeError)
  const echo = await fetch('https://some.example/echo', {
    method: 'POST',
    body: '{"x":1}',
    headers: { 'content-type': 'application/json' }
  })
  t.strictSame(await echo.json(), { body: { x: 1 }, host: 'some.example' })
})

t.test('a service without sessions is called like any other', async t => {
  const { client } = await setUp(t, { service: { sessionMode: 'stateless' } })
  for (const protocolVersion of ['2025-11-25', '2026-07-28'] as const) {
    const alice = await client.login({ as: 'alice', protocolVersion })
    for (let call = 0; call < 10; call++) t.equal(told(await alice.callTool('whoami')), 'alice', protocolVersion)
    await alice.request('tools/call', { name: 'steps', arguments: {}, _meta: { progressToken: 'mine' } })
  }
})
