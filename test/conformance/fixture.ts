import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer as createTcpServer } from 'node:net'
import Fastify from 'fastify'
import { InvalidTokenError } from '../../src/errors.js'
import { mcpTransports } from '../../src/mcp-transports.js'
import { bearerAuth } from '../../src/plugins/bearer-auth.js'
import { MemoryBus } from '../../src/stores/memory/bus.js'
import { MemoryEventLog } from '../../src/stores/memory/event-log.js'
import { MemorySessionStore } from '../../src/stores/memory/sessions.js'
import { createServer } from './fixture-server.js'

/** A running service that hosts the fixture server. */
export interface Fixture {
  /** Its public URL. */
  url: string
  /** An access token that it accepts. */
  token: string
  close (): Promise<void>
}

/** Starts the transports with the fixture server, on a free port of loopback. */
export async function startFixture (): Promise<Fixture> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const token = randomBytes(16).toString('base64url')
  const sessions = new MemorySessionStore({ idleSeconds: 3600 })
  const eventLog = new MemoryEventLog()
  const app = Fastify({ logger: { level: 'warn' } })
  await app.register(bearerAuth, {
    verifyAccessToken: async presented => {
      if (presented !== token) throw new InvalidTokenError('The access token is unknown.')
      return { token, clientId: 'conformance', scopes: ['mcp'], extra: { issuer: url, subject: 'conformance' } }
    },
    resourceMetadataUrl: () => `${url}/.well-known/oauth-protected-resource/mcp`,
    scopes: ['mcp']
  })
  await app.register(mcpTransports, { publicUrl: url, createServer, bus: new MemoryBus(), sessions, eventLog })
  await app.listen({ port, host: '127.0.0.1' })
  return {
    url,
    token,
    close: async () => {
      await app.close()
      sessions.close()
      eventLog.close()
    }
  }
}

/** A port for a service that must know its URL before it listens. */
async function freePort (): Promise<number> {
  const server = createTcpServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  server.close()
  await once(server, 'close')
  return address.port
}
