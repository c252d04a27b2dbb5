import { InMemoryTransport } from '@modelcontextprotocol/server'
import pino from 'pino'
import { PipedServer } from '../../src/hosted/piped-server.js'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { makeServer } from '../../src/mcp/sdk-servers.js'

const log = pino({ level: 'silent' })

/** The same servers, at the other end of a pipe that knows nothing of calls. */
export const piped = (createServer: CreateServer): CreateServer => async context => {
  const server = await makeServer(createServer, context)
  const [near, far] = InMemoryTransport.createLinkedPair()
  await server.connect(far)
  return new PipedServer(() => near, log)
}

/** Where a server may be. */
export const places: Record<string, (createServer: CreateServer) => CreateServer> = {
  'in this process': createServer => createServer,
  'behind a pipe': piped
}
