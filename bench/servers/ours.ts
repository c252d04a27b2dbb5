import Fastify from 'fastify'
import type { McpTransportsOptions } from '../../src/mcp/options.js'
import { createServer } from '../../test/support/sample-server.js'
import { mcpTransports } from '../../src/service/mcp-transports.js'
import { bearerAuth } from '../../src/plugins/mcp/bearer-auth.js'
import { MemoryBus } from '../../src/stores/memory/bus.js'
import { MemoryLeaseStore } from '../../src/stores/memory/leases.js'
import { MemoryEventLog } from '../../src/stores/memory/event-log.js'
import { MemorySessionStore } from '../../src/stores/memory/sessions.js'
import { bearerAuthOptions, busyPeople, serve } from './served.js'
import { serverOfSdk1, serverOfSdk2, toolsOf } from './tools.js'

/*
 * This project: the transports with their limits as they are by default, but those of one person. Without parameters
 * they serve the hosted server; `idle`: with another idle time; `sdk1`, `sdk2`, `sdk1-reused`, `reused` (of SDK 2.x)
 * and a number: a server of that SDK with so many tools.
 */
const app = Fastify()
const [variant, count] = process.argv.slice(2)

function served (): Pick<McpTransportsOptions, 'createServer' | 'reuseInstances' | 'limits'> {
  const tools = toolsOf(Number(count))
  switch (variant) {
    case 'sdk1': return { createServer: () => serverOfSdk1(tools) }
    case 'sdk2': return { createServer: () => serverOfSdk2(tools) }
    case 'reused': return { createServer: () => serverOfSdk2(tools), reuseInstances: true }
    case 'sdk1-reused': return { createServer: () => serverOfSdk1(tools), reuseInstances: true }
    case 'idle': return { createServer, limits: { instanceIdleSeconds: 1 } }
    default: return { createServer }
  }
}

serve(async () => {
  await app.register(bearerAuth, bearerAuthOptions)
  await app.register(mcpTransports, {
    publicUrl: 'http://127.0.0.1',
    sessions: new MemorySessionStore({ idleSeconds: 3600 }),
    eventLog: new MemoryEventLog(),
    leases: new MemoryLeaseStore(),
    bus: new MemoryBus(),
    ...served(),
    limits: { ...busyPeople, ...served().limits }
  })
  return new URL(await app.listen({ port: 0, host: '127.0.0.1' })).port
})
