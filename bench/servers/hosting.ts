import { join } from 'node:path'
import Fastify from 'fastify'
import { remoteServer } from '../../src/hosted/remote/remote-server.js'
import { stdioServer } from '../../src/hosted/stdio/stdio-server.js'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { mcpService } from '../../src/service/mcp-service.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { bearerAuthOptions, busyPeople, serve } from './served.js'
import { serverOfSdk1, toolsOf } from './tools.js'

/*
 * The whole service in the mode `host`, over memory, with the same server of SDK 1.x: in this process (`module`), as a
 * program on standard input and output (`stdio`: one for each person; `shared`: one for all), or at the URL of the
 * second parameter (`remote`).
 */
const [variant = 'module', url = ''] = process.argv.slice(2)
const program = { command: process.execPath, args: [join(import.meta.dirname, 'program.js')] }
const limits = { maxProcesses: 1000 }

function makeCreateServer (): CreateServer {
  const tools = toolsOf(1)
  switch (variant) {
    case 'stdio': return stdioServer({ ...program, limits })
    case 'shared': return stdioServer({ ...program, limits, per: 'shared' })
    case 'remote': return remoteServer({ url })
    default: return () => serverOfSdk1(tools)
  }
}

serve(async () => {
  const app = Fastify()
  await app.register(mcpService, {
    publicUrl: 'http://127.0.0.1',
    createServer: makeCreateServer(),
    stores: createMemoryStores({ sessionIdleSeconds: 3600 }),
    auth: {
      mode: 'host',
      authorizationServers: ['https://login.example'],
      verifyAccessToken: bearerAuthOptions.verifyAccessToken
    },
    limits: busyPeople
  })
  return new URL(await app.listen({ port: 0, host: '127.0.0.1' })).port
})
