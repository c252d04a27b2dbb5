import { Writable } from 'node:stream'
import { EventEmitter, once } from 'node:events'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { Server } from '@modelcontextprotocol/sdk/server/index.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import Fastify from 'fastify'
import t from 'tap'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { mcpTransports } from '../../src/service/mcp-transports.js'
import { bearerAuth } from '../../src/plugins/mcp/bearer-auth.js'
import { modernRequest } from '../../src/testing/modern-request.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { objectOf, parseObject, valueAt } from '../support/json.js'
import { RawClient, startMcp } from '../support/mcp-harness.js'
import { EraPlug, eraServer1, eraServers } from './era-servers.js'
import { post, request } from '../support/raw-http.js'

const METHOD_NOT_FOUND = { status: 404, error: { code: -32601 }, id: 7 }

t.test('a method that is not of this revision, or not of the server, is not found', async t => {
  for (const [name, createServer] of Object.entries(eraServers)) {
    const { url } = await startMcp(t, { createServer: createServer(new EraPlug()) })
    for (
      const method of [
        'initialize',
        'ping',
        'logging/setLevel',
        'resources/subscribe',
        'resources/unsubscribe',
        'tasks/get',
        'tasks/list',
        'completion/complete',
        'made/up'
      ]
    ) {
      t.match(await request(url, method), METHOD_NOT_FOUND, `${name}: ${method}`)
    }
  }
})

t.test('every revision that is served is named', async t => {
  const served = ['2026-07-28', '2025-11-25', '2025-06-18', '2025-03-26', '2024-11-05', '2024-10-07']
  for (const [name, createServer] of Object.entries(eraServers)) {
    for (const sessionMode of ['stateful', 'stateless'] as const) {
      const { url } = await startMcp(t, { createServer: createServer(new EraPlug()), sessionMode })
      const discovered = await request(url, 'server/discover')
      t.same(valueAt(discovered.result, 'supportedVersions'), served, `${name}, ${sessionMode}`)
      const unknown = modernRequest(7, 'tools/list', {}, {
        'io.modelcontextprotocol/protocolVersion': '2099-01-01',
        'io.modelcontextprotocol/clientCapabilities': {}
      })
      const refused = await fetch(`${url}/mcp`, {
        ...unknown,
        headers: { ...unknown.headers, 'mcp-protocol-version': '2099-01-01', authorization: 'Bearer alice' }
      })
      t.equal(refused.status, 400)
      const { error, id } = parseObject(await refused.text())
      t.same([valueAt(error, 'code'), id], [-32022, 7])
      t.same(valueAt(error, 'data'), { supported: served, requested: '2099-01-01' })

      const legacy = await new RawClient({ url }).post({ jsonrpc: '2.0', id: 1, method: 'tools/list' }, {
        'mcp-protocol-version': '1999-01-01',
        'mcp-session-id': 'any'
      })
      t.match(await legacy.text(), '2026-07-28', 'to clients of the other era, too')

      const client = new Client({ name: 'auto', version: '1' }, { versionNegotiation: { mode: 'auto' } })
      await client.connect(
        new StreamableHTTPClientTransport(new URL(`${url}/mcp`), {
          requestInit: { headers: { authorization: 'Bearer alice' } }
        })
      )
      t.equal(client.getNegotiatedProtocolVersion(), '2026-07-28')
      await client.close()
    }
  }
})

t.test('a low-level server of SDK 1.x', async t => {
  const createServer: CreateServer = () => {
    const server = new Server({ name: 'low', version: '1' }, { capabilities: { tools: {} } })
    server.setRequestHandler(ListToolsRequestSchema, () => ({ tools: [] }))
    server.fallbackRequestHandler = async ({ method }) => {
      if (method === 'made/asking') await server.listRoots()
      return { method }
    }
    return server
  }
  const { url } = await startMcp(t, { createServer })
  t.match(
    (await request(url, 'server/discover')).result,
    { supportedVersions: ['2026-07-28', '2025-11-25'], capabilities: { tools: {} } }
  )
  t.match(
    (await request(url, 'tools/list')).result,
    { tools: [], resultType: 'complete', ttlMs: 0, cacheScope: 'private' }
  )
  t.match((await request(url, 'made/up')).result, { method: 'made/up' }, 'methods of one\'s own')
  t.match(
    await request(url, 'tools/call', { name: 'any', arguments: {} }),
    { status: 200, result: { method: 'tools/call', content: [] } },
    'the SDK completes the result of a tool'
  )
  t.match(
    await request(url, 'prompts/get', { name: 'any' }),
    { status: 200, result: { method: 'prompts/get' } },
    'of what it does not advertise, too'
  )
  t.match(
    (await request(url, 'made/asking')).error,
    { code: -32603, message: /made\/asking, which this revision does not allow/ },
    'which cannot ask'
  )
})

t.test('an instance of SDK 1.x is closed with its request, whatever becomes of it', async t => {
  const plug = new EraPlug()
  const open = new Set<unknown>()
  const closed = new EventEmitter()
  const { url } = await startMcp(t, {
    createServer: async context => {
      const server = await eraServer1(plug)(context)
      if (!(server instanceof McpServer)) throw new Error('not of SDK 1.x')
      open.add(server)
      server.server.onclose = () => {
        open.delete(server)
        closed.emit('closed')
      }
      return server
    }
  })
  const allClosed = async () => { while (open.size > 0) await once(closed, 'closed') }
  const plain = { name: 'plain', arguments: {} }
  for (
    const [method, params] of Object.entries({
      'server/discover': {},
      'tools/list': {},
      'tools/call': plain,
      'made/up': {},
      'resources/read': { uri: 'gone://forever' }
    })
  ) {
    await request(url, method, params)
    await allClosed()
    t.pass(method)
  }
  const leave = new AbortController()
  const listening = await post(url, 'subscriptions/listen', { notifications: { toolsListChanged: true } }, {
    signal: leave.signal
  })
  await allClosed()
  t.equal(listening.status, 200, 'also while a client listens')
  leave.abort()

  const gone = new AbortController()
  const hanging = once(plug, 'hanging')
  const call = post(url, 'tools/call', { name: 'hang', arguments: {} }, { signal: gone.signal })
  await hanging
  gone.abort()
  await t.rejects(call)
  await allClosed()

  // clients that go away at any moment
  await Promise.all(Array.from({ length: 60 }, async (_, index) => {
    const impatience = new AbortController()
    const call = post(url, 'tools/call', plain, { signal: impatience.signal }).then(response => response.text())
    for (let turns = index; turns > 0; turns--) await new Promise(resolve => setImmediate(resolve))
    impatience.abort()
    await call.catch(() => {})
  }))
  await allClosed()
  t.equal((await request(url, 'tools/call', plain)).status, 200)
})

t.test('what a server of SDK 1.x has is advertised as it is', async t => {
  const { url } = await startMcp(t, { createServer: eraServer1(new EraPlug()) })
  const { result } = await request(url, 'server/discover')
  t.match(result, {
    instructions: 'Ask.',
    capabilities: {
      logging: {},
      tools: { listChanged: true },
      prompts: { listChanged: true },
      resources: { subscribe: true, listChanged: true }
    },
    _meta: { 'io.modelcontextprotocol/serverInfo': { name: 'era', version: '1' } }
  })
  t.notOk(valueAt(result, 'capabilities', 'tasks'))
  const tools = valueAt(await request(url, 'tools/list'), 'result', 'tools')
  const routed: unknown = Array.isArray(tools) ? tools.find(tool => valueAt(tool, 'name') === 'routed') : undefined
  t.match(routed, { inputSchema: { properties: { region: { type: 'string' } } } })
  t.notOk(
    'x-mcp-header' in objectOf(valueAt(routed, 'inputSchema', 'properties', 'region')),
    'but no headers, which nobody would check'
  )
  t.match(await request(url, 'tools/call', { name: 'routed', arguments: { region: 'north' } }), {
    status: 200,
    result: { content: [{ text: 'north' }] }
  })
})

t.test('errors of a server of SDK 1.x keep their code and data', async t => {
  const { url } = await startMcp(t, { createServer: eraServer1(new EraPlug()) })
  t.match(await request(url, 'resources/read', { uri: 'broken://for-now' }), {
    status: 200,
    error: { code: -32603, message: /It broke/, data: { part: 'disk' } }
  })
  t.match(await request(url, 'resources/read', { uri: 'gone://forever' }), {
    status: 200,
    error: { code: -32602, data: { uri: 'gone://forever' } }
  })
  t.match(await request(url, 'tools/call', { name: 'unknown', arguments: {} }), {
    status: 200,
    result: { isError: true }
  }, 'to McpServer of 1.x, an unknown tool is an error of a tool')
  t.match(await request(url, 'prompts/get', { name: 'unknown' }), { status: 200, error: { code: -32602 } })
})

t.test('a factory that fails is our error', async t => {
  const { url } = await startMcp(t, {
    createServer: () => {
      throw new Error('no')
    }
  })
  t.match(await request(url, 'server/discover'), {
    status: 500,
    error: { code: -32603, message: 'Internal server error' },
    id: 7
  })
})

t.test('step-up: refused before anything runs', async t => {
  for (const [name, createServer] of Object.entries(eraServers)) {
    const plug = new EraPlug()
    const { url } = await startMcp(t, { createServer: createServer(plug) })
    const refused = await post(url, 'tools/call', { name: 'guarded', arguments: {} })
    t.equal(refused.status, 403, name)
    t.match(refused.headers.get('www-authenticate'), /^Bearer error="insufficient_scope".*scope="mcp more"/)
    t.notOk(plug.runs.has('guarded'))
    t.match(await request(url, 'tools/call', { name: 'guarded', arguments: {} }, { token: 'alice-again' }), {
      status: 200,
      result: { content: [{ text: 'let in' }] }
    })
  }
})

t.test('a grant that ends takes its calls and its streams with it', async t => {
  for (const createServer of Object.values(eraServers)) {
    const plug = new EraPlug()
    const { url, bus } = await startMcp(t, { createServer: createServer(plug) })
    const listening = await post(url, 'subscriptions/listen', { notifications: { toolsListChanged: true } })
    const hanging = once(plug, 'hanging')
    const aborted = once(plug, 'aborted')
    const call = request(url, 'tools/call', { name: 'hang', arguments: {} })
    await hanging
    await bus.publish('grantEnded', { grantId: 'grant-of-alice' })
    await aborted
    t.match(await call, {
      error: { code: -32000, message: 'The login that this request was made with has ended.' },
      id: 7
    })
    const result = (await listening.text()).trimEnd().split('\n').at(-1)?.replace(/^data: /, '') ?? ''
    t.match(parseObject(result), {
      id: 7,
      result: {
        resultType: 'complete',
        _meta: {
          'io.modelcontextprotocol/subscriptionId': 7,
          'io.modelcontextprotocol/serverInfo': { name: 'era', version: /^[12]$/ }
        }
      }
    }, 'the subscription has ended')
  }
})

t.test('the trace of a request is in its log lines', async t => {
  const lines: Array<Record<string, unknown>> = []
  const stream = new Writable({
    write (chunk, _encoding, done) {
      lines.push(parseObject(String(chunk)))
      done()
    }
  })
  for (const [name, createServer] of Object.entries(eraServers)) {
    const app = Fastify({ logger: { level: 'info', stream } })
    const stores = createMemoryStores({ sessionIdleSeconds: 60 })
    t.teardown(async () => {
      await app.close()
      await stores.close()
    })
    await app.register(bearerAuth, {
      verifyAccessToken: async token => ({
        token,
        clientId: 'c',
        scopes: ['mcp'],
        extra: { issuer: 'https://login.example', subject: 'alice' }
      }),
      resourceMetadataUrl: () => 'http://localhost/',
      scopes: ['mcp']
    })
    await app.register(mcpTransports, {
      ...stores,
      publicUrl: 'http://localhost',
      createServer: async context => {
        context.log.info('made')
        return await createServer(new EraPlug())(context)
      }
    })
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    const traceIds = async (traceparent: string) => {
      lines.length = 0
      t.match(await request(url, 'tools/call', { name: 'plain', arguments: {} }, { meta: { traceparent } }), {
        status: 200
      })
      return lines.filter(({ msg }) => msg === 'made' || msg === 'request completed').map(({ traceId }) => traceId)
    }
    const traceId = '0af7651916cd43dd8448eb211c80319c'
    t.same(await traceIds(`00-${traceId}-b7ad6b7169203331-01`), [traceId, traceId], name)
    for (
      const bad of ['', 'nonsense', `00-${'0'.repeat(32)}-b7ad6b7169203331-01`, `ff-${traceId}-b7ad6b7169203331-01`]
    ) t.same(await traceIds(bad), [undefined, undefined], bad)

    const session = await new RawClient({ url }).connect()
    lines.length = 0
    await session.request('tools/call', {
      name: 'plain',
      arguments: {},
      _meta: { traceparent: `00-${traceId}-b7ad6b7169203331-01` }
    })
    t.match(lines.find(({ msg }) => msg === 'request completed'), { traceId }, 'in a session, too')
  }
})
