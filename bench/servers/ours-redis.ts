import Fastify from 'fastify'
import { createServer } from '../../test/support/sample-server.js'
import { mcpTransports } from '../../src/service/mcp-transports.js'
import { bearerAuth } from '../../src/plugins/mcp/bearer-auth.js'
import { createRedisStores } from '../../src/stores/redis/stores.js'
import { bearerAuthOptions, serve } from './served.js'

/* This project, as `ours`, with its stores in the Redis of the first argument: one of several replicas. */
const app = Fastify()

serve(async () => {
  const { sessions, eventLog, leases, bus } = createRedisStores({
    url: process.argv[2] ?? '',
    sessionIdleSeconds: 3600
  })
  await app.register(bearerAuth, bearerAuthOptions)
  await app.register(mcpTransports, { publicUrl: 'http://127.0.0.1', createServer, sessions, eventLog, leases, bus })
  // nginx is asked for it
  app.get('/healthz', async () => ({ status: 'ok' }))
  return new URL(await app.listen({ port: 0, host: '127.0.0.1' })).port
})
