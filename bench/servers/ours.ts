import Fastify from 'fastify'
import { InvalidTokenError } from '../../src/errors.js'
import { createServer } from '../../src/mcp/server.js'
import { mcpTransports } from '../../src/mcp-transports.js'
import { bearerAuth } from '../../src/plugins/bearer-auth.js'
import { MemoryBus } from '../../src/stores/memory/bus.js'
import { MemoryLeaseStore } from '../../src/stores/memory/leases.js'
import { MemoryEventLog } from '../../src/stores/memory/event-log.js'
import { MemorySessionStore } from '../../src/stores/memory/sessions.js'
import { callerOfToken, serve } from './served.js'

/* This project: the transports with the hosted server, their limits as they are by default but for the idle time. */
const app = Fastify()

serve(async () => {
  await app.register(bearerAuth, {
    verifyAccessToken: async token => {
      const caller = callerOfToken(token)
      if (caller === undefined) throw new InvalidTokenError('The access token is unknown.')
      return caller
    },
    resourceMetadataUrl: () => 'http://127.0.0.1/.well-known/oauth-protected-resource/mcp',
    scopes: ['mcp']
  })
  await app.register(mcpTransports, {
    publicUrl: 'http://127.0.0.1',
    createServer,
    sessions: new MemorySessionStore({ idleSeconds: 3600 }),
    eventLog: new MemoryEventLog(),
    leases: new MemoryLeaseStore(),
    bus: new MemoryBus(),
    limits: process.argv[2] === 'idle' ? { instanceIdleSeconds: 1 } : {}
  })
  return new URL(await app.listen({ port: 0, host: '127.0.0.1' })).port
})
