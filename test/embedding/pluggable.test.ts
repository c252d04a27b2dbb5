import cors from '@fastify/cors'
import formbody from '@fastify/formbody'
import Fastify, { type FastifyInstance, type InjectOptions } from 'fastify'
import fp from 'fastify-plugin'
import t, { type Test } from 'tap'
import {
  bearerAuth,
  createMemoryStores,
  Keyring,
  mcpDiscovery,
  mcpService,
  mcpServiceParts,
  mcpTransports,
  oauthBroker,
  type BrokerModeOptions,
  type McpServiceOptions
} from '../../src/index.js'
import { createServer } from '../support/sample-server.js'
import { assertPluggable } from '../../src/testing/index.js'
import { createHost, HOST_KEY } from './host.js'

const publicUrl = 'https://mcp.example.com'
const upstream = {
  issuerUrl: new URL('https://login.example.com'),
  scopes: ['openid'],
  clientId: 'us',
  clientSecret: 'secret'
}

const probes: Array<string | InjectOptions> = [
  '/mcp-but-not-ours', { url: '/api/secret', headers: HOST_KEY }, '/cookie',
  { method: 'POST', url: '/form', headers: { 'content-type': 'application/x-www-form-urlencoded' }, payload: 'a=1' },
  { method: 'PUT', url: '/xml', headers: { 'content-type': 'application/xml' }, payload: '<a/>' }
]

/** Options of a service, with stores that end with the test. */
function options (t: Test): Omit<BrokerModeOptions, 'policy'> {
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  t.teardown(() => stores.close())
  return { publicUrl, createServer, stores, upstream }
}
const verifyAccessToken = async (token: string) => ({
  token,
  clientId: 'c',
  scopes: ['mcp'],
  extra: { issuer: publicUrl, subject: 'alice' }
})
const hostAuth: McpServiceOptions['auth'] = {
  mode: 'host',
  verifyAccessToken,
  authorizationServers: ['https://login.example.com']
}

const waysIn: Record<string, (app: FastifyInstance, options: Omit<BrokerModeOptions, 'policy'>) => Promise<unknown>> = {
  'mcpService at the root': async (app, options) => await app.register(mcpService, options),
  'mcpService under a prefix, with mcpDiscovery': async (app, options) => {
    await app.register(mcpService, { ...options, prefix: '/ai' })
    await app.register(mcpDiscovery, { ...options, servicePrefix: '/ai' })
  },
  'two of them': async (app, options) => {
    await app.register(mcpService, { ...options, prefix: '/ai' })
    await app.register(mcpService, { ...options, prefix: '/other/ai' })
  },
  'without sessions, with the host\'s tokens': async (app, options) => await app.register(
    mcpService,
    { ...options, sessionMode: 'stateless', auth: hostAuth }
  ),
  'resource-server mode': async (app, options) => await app.register(
    mcpService,
    { ...options, auth: { mode: 'resource-server', issuer: 'https://login.example.com' } }
  ),
  'mcpServiceParts in a context of the host': async (app, options) => await app.register(
    async ai => { await ai.register(mcpServiceParts, options) },
    { prefix: '/ai' }
  ),
  'the parts, each by itself': async (app, options) => await app.register(async ai => {
    await ai.register(oauthBroker, { ...options, resourcePaths: ['/mcp'], scopes: ['mcp'], keyring: new Keyring() })
    await ai.register(
      bearerAuth,
      {
        verifyAccessToken,
        resourceMetadataUrl: () => `${publicUrl}/ai/.well-known/oauth-protected-resource/mcp`,
        scopes: ['mcp']
      }
    )
    await ai.register(mcpTransports, { ...options, ...options.stores })
  }, { prefix: '/ai' })
}

for (const [name, plug] of Object.entries(waysIn)) {
  t.test(`nothing reaches the host: ${name}`, async t => {
    await assertPluggable({ createHost, plug: app => plug(app, options(t)), probes })
    await assertPluggable({ createHost: () => Fastify(), plug: app => plug(app, options(t)) })
  })
}

t.test('the parts in the app\'s own context, which gets their decorators and nothing else', async t => {
  const plug = async (app: FastifyInstance) => { await app.register(mcpServiceParts, options(t)) }
  const decorators = [
    'app.bearerAuth',
    'request.authInfo',
    'reply.sendInsufficientScope',
    'app.oauthBroker',
    'app.mcpReplica',
    'app.mcpSessions'
  ]
  await assertPluggable({ createHost: () => Fastify(), plug, decorators })
  await t.rejects(
    assertPluggable({ createHost: () => Fastify(), plug, decorators: decorators.slice(1) }),
    /decorators, app.bearerAuth: \(absent\) -> present/
  )
})

const leaks: Record<string, [(app: FastifyInstance) => unknown, RegExp]> = {
  'a hook that does nothing': [
    app => app.addHook('preHandler', async function leak () {}),
    /route GET \/, hooks preHandler: \(absent\) -> \["leak\(\)"\]/
  ],
  'a header': [
    app => app.addHook('onSend', async (_request, reply) => { reply.header('x-leak', '1') }),
    /GET \/users\/x, header x-leak: \(absent\) -> 1/
  ],
  'a header of the host\'s, changed': [
    app => app.addHook('onSend', async (_request, reply) => { reply.header('x-host', 'no') }),
    /header x-host: yes -> no/
  ],
  'a hook of routes that come later': [
    app => app.addHook('onRoute', route => { route.onResponse = async function leak () {} }),
    /assert-pluggable\/canary, hooks onResponse/
  ],
  'a body parser': [
    app => app.addContentTypeParser('*', (_request, _payload, done) => { done(null, 'leak') }),
    /with application\/vnd.assert-pluggable, status: 415 -> 200/
  ],
  'a body parser in place of the host\'s': [app => {
    app.removeContentTypeParser('application/xml')
    app.addContentTypeParser('application/xml', { parseAs: 'string' }, (_request, _body, done) => {
      done(null, 'leak')
    })
  }, /PUT \/xml with application\/xml, body: .*<a\/>.* -> .*leak/],
  'an error handler': [
    app => app.setErrorHandler(async (_error, _request, reply) => await reply.code(500).send('leak')),
    /assert-pluggable\/error, status: 418 -> 500/
  ],
  'a 404': [app => app.get('/*', async () => 'leak'), /GET \/assert-pluggable\/unknown, status: 404 -> 200/],
  'a decorator of the app': [app => app.decorate('leak', 1), /decorators, app.leak/],
  'a decorator of requests': [app => app.decorateRequest('leak', 1), /decorators, request.leak/],
  'a decorator of replies': [app => app.decorateReply('leak', () => 1), /decorators, reply.leak/],
  'a serializer': [
    app => app.setReplySerializer(payload => JSON.stringify([payload])),
    /GET \/assert-pluggable\/canary, body: \{"envelope".* -> \[/
  ],
  'a validation message': [
    app => app.setSchemaErrorFormatter(() => new Error('leak')),
    /schema\?n=none, body: .*the host says.* -> .*leak/
  ],
  'a route in front of the host\'s': [app => app.get('/users/x', async () => 'leak'), /GET \/users\/x, body/]
}

t.test('what leaks is told', async t => {
  for (const [name, [leak, message]] of Object.entries(leaks)) {
    await t.rejects(
      assertPluggable({
        createHost,
        plug: app =>
          app.register(fp(async app => {
            leak(app)
          })),
        probes
      }),
      { code: 'ERR_ASSERTION', message },
      name
    )
  }
  const twoLeaks = fp(async (app: FastifyInstance) => {
    app.decorate('leak', 1).decorateRequest('leak', 1)
  })
  await t.rejects(
    assertPluggable({ createHost, plug: app => app.register(twoLeaks) }),
    /app\.leak.*\n.*request\.leak/,
    'all of it'
  )
  await t.rejects(
    assertPluggable({ createHost: () => Fastify(), plug: app => app.register(cors) }),
    /OPTIONS \/assert-pluggable\/canary, header access-control-allow-origin: \(absent\) -> \*/,
    'CORS for everybody'
  )
  await t.rejects(
    assertPluggable({ createHost: () => Fastify(), plug: app => app.register(formbody) }),
    /with application\/x-www-form-urlencoded, status: 415 -> 200/,
    'forms for everybody'
  )
})

t.test('what differs each time is not a leak, but must be there', async t => {
  let n = 0
  const counting = () => {
    const app = Fastify()
    app.get('/n', async (_request, reply) => reply.header('x-n', ++n).send(String(n)))
    return app
  }
  await assertPluggable({ createHost: counting, plug: () => {} })
  await t.rejects(
    assertPluggable({
      createHost: counting,
      plug: app => {
        app.addHook('onSend', async (_request, reply) => {
          reply.removeHeader('x-n')
        })
      }
    }),
    /GET \/n, header x-n: \d+ -> \(absent\)/
  )
})

t.test('an error of the plugin, or of the app, is itself', async t => {
  await t.rejects(
    assertPluggable({
      createHost,
      plug: app =>
        app.register(fp(async app => {
          app.decorate(String('bearerAuth'), 1)
        }))
    }),
    { code: 'FST_ERR_DEC_ALREADY_PRESENT' }
  )
  await t.rejects(
    assertPluggable({
      createHost: () => {
        throw new TypeError('no app today')
      },
      plug: () => {}
    }),
    /no app today/
  )
})
