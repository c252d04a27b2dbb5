import Fastify from 'fastify'
import t from 'tap'
import { buildApp } from '../../src/app.js'
import { loadConfig } from '../../src/config/config.js'
import { createServer } from '../support/sample-server.js'
import { mcpService } from '../../src/service/mcp-service.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { ScriptableUpstream } from '../../src/testing/index.js'
import { withMethod } from '../support/any-method.js'
import { ROUTES } from '../fuzz/routes.js'
import { QUIET } from '../support/service.js'
import { bearer, callMcp, newTokens, register } from '../support/oauth-flow.js'
import { startTarget } from '../support/target.js'

const MCP_PATHS = ['/mcp', '/sse', '/messages']
// an MCP endpoint, and a page for browsers
const AT_ORIGIN = ['GET', 'HEAD', 'POST', 'DELETE']
const METHODS = [
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'TRACE',
  'OPTIONS',
  'PROPFIND',
  'QUERY',
  'REPORT',
  'MKCOL'
]

t.test('every path answers a method it does not have with 405 and Allow', async t => {
  const target = await startTarget(t, { ADMIN_TOKEN: 'the-token-of-operators' })
  const { accessToken } = await newTokens(target, await register(target))
  for (const { path, methods } of ROUTES.map(route => route.path === '/' ? { ...route, methods: AT_ORIGIN } : route)) {
    const isMcp = [...MCP_PATHS, '/'].includes(path)
    const authorization = isMcp ? `Bearer ${accessToken}` : 'Basic eDp5'
    for (const url of [path, `${path}?x=1`, ...(path === '/' ? [] : [`${path}/`])]) {
      for (const method of METHODS.filter(method => !methods.includes(method))) {
        const answer = await target.app.inject({
          ...withMethod(method),
          url,
          headers: { authorization, 'content-type': 'x/y' }
        })
        t.equal(answer.statusCode, 405, `${method} ${url}`)
        const allowed = methods.filter(method => path !== '/' || method !== 'HEAD')
        t.strictSame(String(answer.headers.allow).split(', ').sort(), [...allowed].sort(), `${method} ${url}: Allow`)
        if (method === 'HEAD') t.equal(answer.body, '')
        else if (isMcp) {
          t.match(answer.json(), { jsonrpc: '2.0', id: null, error: { code: -32000, message: /Method not allowed/ } })
        } else if (!/html/.test(String(answer.headers['content-type']))) {
          t.match(answer.json(), { error: 'invalid_request', error_description: /Method not allowed/ })
        }
        t.equal(answer.headers['cache-control'], 'no-store')
      }
    }
  }
  t.equal((await target.app.inject({ ...withMethod('PROPFIND'), url: '/nowhere' })).statusCode, 404)
  t.equal((await target.app.inject({ ...withMethod('PROPFIND'), url: '/%zz' })).statusCode, 400)
})

t.test('the fuzzer, and so the test above, knows every route', async t => {
  const { app } = await startTarget(t, { ADMIN_TOKEN: 'the-token-of-operators' })
  const patterns = [...app.printRoutes({ commonPrefix: false }).matchAll(/\((?:[A-Z]+, )*[A-Z]+\)/g)].length
  t.ok(patterns >= ROUTES.length, 'the routes are found')
  for (const { path, methods } of ROUTES) {
    for (const method of methods) t.ok(app.hasRoute({ url: path, method }), `${method} ${path}`)
  }
  t.equal(patterns, ROUTES.length, 'there are no others')
})

t.test('without sessions /mcp takes POST alone, and /sse is not there', async t => {
  const target = await startTarget(t, { SESSION_MODE: 'stateless' })
  const { accessToken } = await newTokens(target, await register(target))
  for (const method of METHODS.filter(method => method !== 'POST')) {
    const answer = await target.app.inject({ ...withMethod(method), url: '/mcp', headers: bearer(accessToken) })
    t.match(answer, { statusCode: 405, headers: { allow: 'POST' } }, method)
    // Fastify asks for its Content-Type first
    if (method !== 'QUERY') {
      t.equal(
        (await target.app.inject({ ...withMethod(method), url: '/sse', headers: bearer(accessToken) })).statusCode,
        404
      )
    }
  }
})

for (const order of ['before', 'after'] as const) {
  for (const prefix of ['', '/ai']) {
    t.test(
      `in a larger app only our methods are refused, and its routes stay: made ${order} ours, prefix '${prefix}'`,
      async t => {
        const app = Fastify()
        const stores = createMemoryStores({ sessionIdleSeconds: 60 })
        t.teardown(async () => {
          await app.close()
          await stores.close()
        })
        const own = [
          ['GET', '/register'],
          ['PUT', '/token'],
          ['DELETE', '/authorize'],
          ['PATCH', '/oauth/connections'],
          ['POST', '/.well-known/jwks.json'],
          ...(order === 'before'
            ? [
                ['PUT', '/mcp'],
                ['POST', '/sse']
              ]
            : [])
        ]
        const addOwn = () => {
          for (const [method = '', path = ''] of own) {
            app.route({
              method,
              url: prefix + path,
              handler: async () => 'of the app'
            })
          }
        }
        if (order === 'before') addOwn()
        await app.register(mcpService, {
          createServer,
          stores,
          publicUrl: 'http://localhost:5050',
          upstream: new ScriptableUpstream().options,
          prefix
        })
        if (order === 'after') addOwn()
        app.get('/other/:id(^\\d+$)', async () => 'of the app')

        for (const [method = '', path = ''] of own) {
          t.equal(
            (await app.inject({ ...withMethod(method), url: prefix + path })).body,
            'of the app',
            `${method} ${path}`
          )
        }
        for (const [method, path, allow] of [
          ['DELETE', '/token', 'POST'],
          ['PUT', '/register', 'POST'],
          ['HEAD', '/authorize', 'GET, POST'],
          ['PUT', '/oauth/callback', 'GET'],
          ['PATCH', '/.well-known/jwks.json', /GET/],
          ['DELETE', '/.well-known/oauth-protected-resource/mcp', /GET/],
          ['OPTIONS', '/mcp', /^(?=.*GET)(?=.*POST)(?=.*DELETE)[A-Z, ]{17}$/],
          ['OPTIONS', '/token', 'POST'],
          ['DELETE', '/.well-known/openid-configuration', /GET/]
        ] as const) {
          t.match(
            await app.inject({ ...withMethod(method), url: prefix + path }),
            { statusCode: 405, headers: { allow } },
            `${method} ${path}`
          )
        }
        t.match(
          (await app.inject({ ...withMethod('DELETE'), url: `${prefix}/nowhere` })).json(),
          { statusCode: 404, message: /^Route DELETE/ },
          "what is not ours is the app's"
        )
        t.match((await app.inject({ ...withMethod('PUT'), url: `${prefix}/xoken` })).json(), { statusCode: 404 })
      }
    )
  }
}

t.test('a foreign Origin is 403 before the token is looked at', async t => {
  const target = await startTarget(t)
  const { accessToken } = await newTokens(target, await register(target))
  for (const path of MCP_PATHS) {
    for (const method of ['GET', 'POST', 'DELETE', 'PUT', 'OPTIONS']) {
      for (const authorization of [undefined, 'Bearer', 'Bearer unknown', `Bearer ${accessToken}`]) {
        for (const origin of ['https://evil.example', 'null', '', 'http://localhost.evil.example']) {
          const answer = await target.app.inject({
            ...withMethod(method),
            url: path,
            headers: {
              origin,
              'access-control-request-method': 'POST',
              ...(authorization !== undefined && { authorization })
            },
            ...(method === 'POST' && { payload: '{' })
          })
          t.match(
            answer,
            {
              statusCode: 403,
              headers: {
                'www-authenticate': undefined,
                'access-control-allow-origin': undefined,
                'cache-control': 'no-store'
              }
            },
            `${method} ${path} from ${origin}, ${authorization?.slice(0, 10)}`
          )
          t.match(answer.json(), { jsonrpc: '2.0', id: null, error: { code: -32000 } })
        }
      }
    }
    const own = await target.app.inject({ url: path, headers: { origin: 'http://localhost:5050' } })
    t.match(
      own,
      { statusCode: 401, headers: { 'access-control-allow-origin': 'http://localhost:5050' } },
      'an origin that may call sees its challenge'
    )
  }
})

t.test('JSON answers of the MCP endpoints are not stored, whatever they say', async t => {
  for (const SESSION_MODE of ['stateful', 'stateless']) {
    const target = await startTarget(t, { SESSION_MODE })
    const { accessToken } = await newTokens(target, await register(target))
    const meta = {
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientInfo': { name: 'x', version: '1' },
      'io.modelcontextprotocol/clientCapabilities': {}
    }
    const modern = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list' }
    for (const [headers, message, status] of [
      [{}, undefined, 200],
      [modern, { jsonrpc: '2.0', id: 1, method: 'tools/list', params: { _meta: meta } }, 200],
      [modern, { jsonrpc: '2.0', id: 1, method: 'tools/list', params: { _meta: {} } }, 400],
      [{}, { x: 1 }, 400],
      [{ 'mcp-protocol-version': 'x' }, { jsonrpc: '2.0', method: 'x' }, 400],
      [{ authorization: '' }, undefined, 401]
    ] as const) {
      const answer = await callMcp(target, { ...bearer(accessToken), ...headers }, message)
      t.equal(answer.status, status, `${SESSION_MODE}: ${answer.text}`)
      t.equal(answer.headers.get('cache-control'), 'no-store', `${SESSION_MODE}: ${answer.text}`)
    }
  }
})

t.test('a service for a resource server refuses the methods of its paths, too', async t => {
  const upstream = new ScriptableUpstream()
  const config = loadConfig(
    { ...QUIET, OAUTH_ISSUER_URL: upstream.issuer, AUTH_MODE: 'resource-server' },
    { dotenv: false }
  )
  if (config.upstream === undefined) throw new Error('no upstream')
  const app = await buildApp(config, { createServer, upstream: { ...config.upstream, fetch: upstream.fetch } })
  t.teardown(() => app.close())
  t.match(await app.inject({ ...withMethod('PROPFIND'), url: '/.well-known/oauth-protected-resource/mcp' }), {
    statusCode: 405,
    headers: { allow: /GET/ }
  })
  t.equal((await app.inject({ ...withMethod('PUT'), url: '/token' })).statusCode, 404)
})
