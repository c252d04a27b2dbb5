import { connect } from 'node:net'
import process from 'node:process'
import { createInterface } from 'node:readline'
import { serveStdio, StdioServerTransport } from '@modelcontextprotocol/server/stdio'
import pino from 'pino'
import type { ServerContext } from '../../src/mcp/create-server.js'
import { isOfSdk2, makeServer, type SdkServer2 } from '../../src/mcp/sdk-servers.js'
import { EraPlug, eraServers } from '../eras/era-servers.js'

/*
 * A server of test/eras as a program. Its arguments: which one, the eras that it serves (`both`, `modern`, `legacy`),
 * and the port of the test, with whose plug its own exchanges events.
 */
const [name = '', eras = 'both', port = '0'] = process.argv.slice(2)
const plug = new EraPlug()
const socket = connect(Number(port), '127.0.0.1')
for (const event of ['hanging', 'aborted']) plug.on(event, () => { socket.write(`${event}\n`) })
createInterface({ input: socket }).on('line', event => { plug.emit(event) })
// as the test ends
socket.on('error', () => {}).unref()

const createServer = eraServers[name]?.(plug)
if (createServer === undefined) throw new Error(`no server ${name}`)
const context: ServerContext = {
  era: 'legacy',
  log: pino({ level: 'silent' }),
  authInfo: { token: '', clientId: '', scopes: [], extra: { subject: '', issuer: '', claims: {} } },
  getUpstreamAccessToken: async () => undefined,
  announce: () => {}
}

async function makeServer2 (): Promise<SdkServer2> {
  const server = await makeServer(createServer ?? (() => { throw new Error('none') }), context)
  if (!isOfSdk2(server)) throw new Error('it is of SDK 1.x')
  return server
}

if (name.includes('2.x') && eras !== 'legacy') {
  serveStdio(makeServer2, { legacy: eras === 'modern' ? 'reject' : 'serve' })
} else {
  const server = await makeServer(createServer, context)
  await server.connect(new StdioServerTransport())
}
