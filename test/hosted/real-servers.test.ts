import { StreamableHTTPClientTransport as StreamableHTTPClientTransport2 } from '@modelcontextprotocol/client'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import t from 'tap'
import { stdioServer } from '../../src/hosted/stdio/stdio-server.js'
import { startMcp, type McpService } from '../support/mcp-harness.js'
import { realServers } from './real-servers.js'
import { makeClient1, makeClient2, using1, using2 } from './using-clients.js'
import type { UsingClient } from './uses.js'

/*
 * Servers over stdio that somebody else has made, and two people at once. `npx tsx test/e2e/clients.ts stdio-memory`
 * (and so on) does the same as a process with logins, and with every client.
 */

type Connected = UsingClient & { close (): Promise<void> }

const requestInit = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })

const connectors: Record<string, (service: McpService, token: string) => Promise<Connected>> = {
  'SDK 1.x client': async ({ url }, token) => {
    const client = makeClient1()
    await client.connect(new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { requestInit: requestInit(token) }))
    return { ...using1(client), close: async () => { await client.close() } }
  },
  ...Object.fromEntries((['legacy', 'auto'] as const).map(mode => [
    `SDK 2.x client, ${mode}`,
    async ({ url }: McpService, token: string) => {
      const client = makeClient2(mode)
      const options = { requestInit: requestInit(token) }
      await client.connect(new StreamableHTTPClientTransport2(new URL(`${url}/mcp`), options))
      return { ...using2(client), close: async () => { await client.close() } }
    }
  ]))
}

for (const [name, { options, use, lacks }] of Object.entries(realServers)) {
  const skip = lacks !== undefined && process.env.CI !== 'true' && lacks
  t.test(name, { skip }, async t => {
    const service = await startMcp(t, { createServer: stdioServer(options(t.testdir())) })
    for (const [client, connect] of Object.entries(connectors)) {
      t.test(client, async () => {
        const people = [['alice', 'bob'], ['bob', 'alice']] as const
        const clients = await Promise.all(people.map(async ([me, other]) => {
          const client = await connect(service, me)
          return { me, other, client }
        }))
        await Promise.all(clients.map(async ({ me, client }) => { await use.act(client, me) }))
        await Promise.all(clients.map(async ({ me, other, client }) => { await use.check(client, me, other) }))
        await Promise.all(clients.map(async ({ client }) => { await client.close() }))
      })
    }
  })
}
