import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import { createMemoryStores, mcpService } from 'fastify-mcp-oauth'
import { assertPluggable } from 'fastify-mcp-oauth/testing'
import { buildApp as largerApp, shop } from '../../examples/larger-app/app.js'
import { Orders } from '../../examples/larger-app/orders.js'
import { serverFor } from '../../examples/larger-app/server.js'
import { buildApp as resourceServer } from '../../examples/resource-server/app.js'
import { buildApp as upstreamApi } from '../../examples/upstream-api/app.js'
import { startDemoUpstream, type DemoUpstreamOptions } from '../../src/demo/upstream.js'
import { Person } from '../support/person.js'
import { root } from '../support/root.js'
import { freePort } from '../support/free-port.js'
import { snippets } from './snippets.js'

type BuildApp = (options: { publicUrl: string, issuer: string }) => Promise<FastifyInstance>

/** An example on a port, and a person who has logged in to it with a client. */
async function start (
  t: Test,
  buildApp: BuildApp,
  prefix = '',
  configuration: DemoUpstreamOptions['configuration'] = {}
) {
  const login = await startDemoUpstream({ port: 0, configuration })
  t.teardown(() => login.close())
  const port = await freePort()
  const url = `http://localhost:${port}`
  const app = await buildApp({ publicUrl: url, issuer: login.issuer })
  t.teardown(() => app.close())
  await app.listen({ port, host: '127.0.0.1' })

  const person = new Person('alice')
  const transport = () => new StreamableHTTPClientTransport(new URL(`${url}${prefix}/mcp`), { authProvider: person })
  const first = transport()
  await t.rejects(new Client({ name: 'example', version: '1' }).connect(first), /Unauthorized/)
  await first.finishAuth((await person.logIn()).get('code') ?? '')
  const client = new Client({ name: 'example', version: '1' })
  t.teardown(() => client.close())
  await client.connect(transport())
  const call = async (name: string, args: Record<string, unknown> = {}) =>
    JSON.stringify((await client.callTool({ name, arguments: args })).content)
  return { app, url, login, person, client, call }
}

t.test('upstream-api', async t => {
  const { call } = await start(t, upstreamApi)
  t.match(await call('my_profile'), /alice@example\.com/)
})

t.test('resource-server', async t => {
  const { call, person, login } = await start(t, resourceServer, '', {
    scopes: ['openid', 'offline_access', 'mcp'],
    features: {
      devInteractions: { enabled: true },
      registration: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_context, resource) => ({
          scope: 'mcp',
          audience: resource,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'RS256' } }
        })
      }
    }
  })
  t.match(await call('whoami'), /alice/)
  t.equal(person.authorizationUrl?.origin, login.issuer)
})

t.test('larger-app', async t => {
  const { app, url, call, person } = await start(t, largerApp, '/ai')
  t.match(await call('order', { item: 'tea' }), /Order 1 is made/)
  t.match(await call('list_orders'), /tea/)
  const byToken = await fetch(`${url}/ai/orders`, { headers: { authorization: `Bearer ${person.accessToken}` } })
  t.same(await byToken.json(), { orders: ['tea'] })

  t.equal((await app.inject({ url: '/orders' })).statusCode, 401, 'the shop has a login of its own')
  const entered = await app.inject({ method: 'POST', url: '/login', payload: { email: 'alice@example.com' } })
  const answer = await app.inject({
    url: '/orders',
    headers: { cookie: String(entered.headers['set-cookie']).split(';')[0] ?? '' }
  })
  t.same(answer.json(), { orders: ['tea'] })
  t.match(answer.headers, {
    'access-control-allow-origin': 'https://shop.example.com',
    'x-frame-options': 'SAMEORIGIN'
  })
  t.equal((await app.inject({ url: '/ai/nothing' })).statusCode, 401, 'and its own answers, there, too')

  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  t.teardown(() => stores.close())
  await assertPluggable({
    createHost: async () => {
      const app = Fastify()
      await app.register(shop, { orders: new Orders() })
      return app
    },
    plug: app =>
      app.register(mcpService, {
        publicUrl: url,
        createServer: serverFor(new Orders()),
        stores,
        upstream: { issuerUrl: new URL('https://login.example.com'), scopes: [] },
        prefix: '/ai'
      }),
    probes: [{ method: 'POST', url: '/login', payload: { email: 'bob@example.com' } }]
  })
})

t.test('the code in docs is code that runs', async t => {
  const names = ['embedding', 'hosting', 'hosting-remote', 'oauth-flow', 'observability', 'policy', 'several-servers']
  const pages = names.map(name => readFileSync(join(root, `docs/${name}.md`), 'utf8')).join('')
  const source = readFileSync(join(root, 'test/embedding/snippets.ts'), 'utf8').replace(/^ {4}/gm, '')
  const shown = [...pages.matchAll(/<!-- test\/embedding\/snippets\.ts: (\w+) -->\n```ts\n([^]+?)```/g)].map((
    [, name = '', code = '']
  ) => ({ name, code }))
  t.equal(shown.length, [...pages.matchAll(/^```ts\n(?!import )/gm)].length, 'each has a name')
  t.same(shown.map(({ name }) => name).sort(), Object.keys(snippets).sort())
  for (const { name, code } of shown) {
    t.ok(source.includes(code), name)
    const stores = createMemoryStores({ sessionIdleSeconds: 60 })
    t.teardown(() => stores.close())
    const upstream = { issuerUrl: new URL('https://login.example.com'), scopes: ['openid'] }
    const [publicUrl, createServer] = ['https://example.com', serverFor(new Orders())]
    const app = Fastify()
    await snippets[name]?.(app, {
      publicUrl,
      createServer,
      stores,
      options: { publicUrl, createServer, stores, upstream },
      upstream,
      encryptionKeys: undefined,
      sessions: { userOf: async () => undefined },
      requireLogin: async (_request, reply) => { await reply.code(401).send() }
    })
    await app.ready()
    await app.close()
  }
})

t.test('what docs/embedding.md exempts from the host\'s login is exempt, and nothing else', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  t.teardown(() => stores.close())
  const upstream = { issuerUrl: new URL('https://login.example.com'), scopes: ['openid'] }
  const options = { publicUrl: 'https://example.com', createServer: serverFor(new Orders()), stores, upstream }
  const around = {
    ...options,
    options,
    encryptionKeys: undefined,
    sessions: { userOf: async () => undefined },
    requireLogin: async (_request: FastifyRequest, reply: FastifyReply) => { await reply.code(403).send('log in') }
  }
  await snippets.exempt?.(app, around)
  await snippets.prefix?.(app, around)
  app.get('/orders', async () => 'secret')
  for (
    const [url, status] of [
      ['/ai/mcp', 401],
      ['/.well-known/oauth-protected-resource/ai/mcp', 200],
      ['/orders', 403],
      ['//ai/../orders', 403],
      ['/ai/nothing', 403],
      ['/ai%2f', 403]
    ] as const
  ) t.equal((await app.inject({ url })).statusCode, status, url)
})

t.test('every example is here, with its README', async t => {
  const examples = readdirSync(join(root, 'examples'), { withFileTypes: true }).filter(entry => entry.isDirectory())
    .map(({ name }) => name)
  t.same(examples.sort(), ['larger-app', 'resource-server', 'sdk1-server', 'sdk2-server', 'upstream-api'])
  for (const example of examples) t.ok(readdirSync(join(root, 'examples', example)).includes('README.md'), example)
})
