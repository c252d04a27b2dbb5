import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { Person } from '../support/person.js'
import { runService } from '../support/service.js'

/** The whole service, OAuth and all, that hosts a fixture server. */
export interface Fixture {
  /** Its public URL. */
  url: string
  /** An access token that it accepts, got as any client gets one. */
  token: string
  close (): Promise<void>
}

/** Starts the fixture on a free port of loopback, and logs a client in. */
export async function startFixture (createServer: CreateServer): Promise<Fixture> {
  const { url, close } = await runService({ LOG_LEVEL: 'warn' }, {}, { createServer })
  const person = new Person('conformance')
  const transport = new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { authProvider: person })
  // refused, and sent to log in
  await new Client({ name: 'conformance', version: '1.0.0' }).connect(transport).catch(() => {})
  await transport.finishAuth((await person.logIn()).get('code') ?? '')
  return { url, token: person.accessToken, close }
}
