import { createServer as createTcpServer, type Socket } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY } from '@modelcontextprotocol/server'
import t, { type Test } from 'tap'
import { stdioServer } from '../../src/hosted/stdio/stdio-server.js'
import { modernRequest } from '../../src/testing/modern-request.js'
import { eraClients } from '../eras/era-clients.js'
import { eraFeatures } from '../eras/era-features.js'
import { EraPlug } from '../eras/era-servers.js'
import { addressOf } from '../support/address-of.js'
import { parseObject } from '../support/json.js'
import { startMcp, type McpService } from '../support/mcp-harness.js'
import { root } from '../support/root.js'

/*
 * Every era in front of programs of every era. A program of both is reached in that of the client.
 */
const MODERN = 'SDK 2.x client, pinned to 2026-07-28'
const LEGACY = 'SDK 1.x client'
const programs: ReadonlyArray<[server: string, eras: string, clients: readonly string[]]> = [
  ['SDK 1.x server', 'legacy', [MODERN]],
  ['SDK 2.x server', 'both', [MODERN, LEGACY]],
  ['SDK 2.x server', 'modern', [MODERN, LEGACY]]
]

/** Exchanges the events of a plug with that of a program. @returns the port that it connects to */
async function sharePlug (t: Test, plug: EraPlug): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createTcpServer(socket => {
    sockets.add(socket.on('error', () => {}))
    createInterface({ input: socket }).on('line', event => { plug.emit(event) })
  }).listen(0, '127.0.0.1')
  plug.on('seen', () => { for (const socket of sockets) socket.write('seen\n') })
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const address = addressOf(server)
  return address.port
}

async function host (t: Test, plug: EraPlug, server: string, eras: string): Promise<McpService> {
  const port = await sharePlug(t, plug)
  return await startMcp(t, {
    createServer: stdioServer({
      command: process.execPath,
      args: ['--import', 'tsx', join(root, 'test/hosted/era-program.ts'), server, eras, String(port)],
      cwd: root,
      roots: true,
      limits: { graceSeconds: 0.5 }
    })
  })
}

for (const [server, eras, clients] of programs) {
  for (const clientName of clients) {
    t.test(`${clientName}; ${server}, ${eras}`, async t => {
      const plug = new EraPlug()
      const service = await host(t, plug, server, eras)
      const found = eraClients[clientName]
      if (found === undefined) throw new Error(clientName)
      const client = await found.connect(service.url)
      t.teardown(() => client.close())
      for (const [what, test] of Object.entries(eraFeatures)) {
        await t.test(what, t => test(t, { client, plug, modern: found.modern }))
      }
    })
  }
}

t.test('what a program of 2026-07-28 wants of the client reaches it as the program has said it', async t => {
  const service = await host(t, new EraPlug(), 'SDK 2.x server', 'both')
  const ask = async (capabilities: object) => {
    const { headers, ...request } = modernRequest(
      1,
      'tools/call',
      { name: 'ask', arguments: { message: 'Which?' } },
      { [CLIENT_INFO_META_KEY]: { name: 'raw', version: '1' }, [CLIENT_CAPABILITIES_META_KEY]: capabilities }
    )
    const authorization = 'Bearer alice'
    const response = await fetch(`${service.url}/mcp`, { ...request, headers: { ...headers, authorization } })
    return { status: response.status, body: parseObject(await response.text()) }
  }
  t.match(await ask({ elicitation: { form: {} } }), {
    body: { result: { inputRequests: { colour: { method: 'elicitation/create' } } } }
  })
  t.match(await ask({}), { status: 400, body: { error: { code: -32021 } } })
})
