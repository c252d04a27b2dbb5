import swagger from '@fastify/swagger'
import Fastify from 'fastify'
import t from 'tap'
import {
  createMemoryStores,
  mcpDiscovery,
  mcpService,
  mcpServiceParts,
  type BrokerModeOptions
} from '../../src/index.js'
import { createServer } from '../support/sample-server.js'

const waysIn = {
  'mcpService under a prefix, with mcpDiscovery': { prefix: '/ai', plug: mcpService, discovery: true },
  'mcpService at the root': { prefix: '', plug: mcpService, discovery: false },
  'mcpServiceParts at the root': { prefix: '', plug: mcpServiceParts, discovery: false }
}
for (const [name, { prefix, plug, discovery }] of Object.entries(waysIn)) {
  t.test(`the host's own OpenAPI document has the host's routes alone: ${name}`, async t => {
    const stores = createMemoryStores({ sessionIdleSeconds: 60 })
    const options: BrokerModeOptions = {
      publicUrl: 'https://mcp.example',
      createServer,
      stores,
      upstream: { issuerUrl: new URL('https://login.example'), scopes: ['openid'] },
      adminToken: 'an-admin-token-of-tests'
    }
    const app = Fastify()
    t.teardown(async () => {
      await app.close()
      await stores.close()
    })
    await app.register(swagger, { openapi: { info: { title: 'The host', version: '1' } } })
    app.get('/before', async () => ({}))
    await app.register(plug, { ...options, prefix })
    if (discovery) await app.register(mcpDiscovery, { ...options, servicePrefix: prefix })
    app.get(
      '/after',
      { schema: { querystring: { type: 'object', properties: { n: { type: 'integer' } } } } },
      async () => ({})
    )
    await app.ready()
    t.ok(app.hasRoute({ method: 'POST', url: `${prefix}/register` }))
    t.strictSame(Object.keys(app.swagger().paths ?? {}), ['/before', '/after'])
    t.equal((await app.inject('/after?n=x')).statusCode, 400, 'what the host validates stays validated')
  })
}
