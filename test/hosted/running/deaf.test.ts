import { once } from 'node:events'
import { createConnection, createServer as createTcpServer, type Socket } from 'node:net'
import process from 'node:process'
import t, { type Test } from 'tap'
import { remoteServer } from '../../../src/hosted/remote/remote-server.js'
import { stdioServer } from '../../../src/hosted/stdio/stdio-server.js'
import type { CreateServer } from '../../../src/mcp/create-server.js'
import { addressOf } from '../../support/address-of.js'
import { RawClient, startMcp } from '../../support/mcp-harness.js'
import { ScriptedRemote } from '../remote/scripted-remote.js'
import { callTool, plainServer } from '../stdio.js'
import { callers } from './callers.js'

/*
 * A program, or a remote server, that does not read what it is sent, while a client makes many large calls: little is
 * kept for it, the calls end with an error, and others are served.
 */
const CALLS = 12
const BYTES = 1_000_000

const program = async () => stdioServer({
  command: process.execPath,
  args: [plainServer],
  limits: { graceSeconds: 0.5, maxUnreadBytes: 3_000_000 }
})

/** Connections on which, once something large has come, nothing is read any longer. */
async function deafRemote (t: Test): Promise<CreateServer> {
  const remote = await ScriptedRemote.start(t)
  const sockets = new Set<Socket>()
  const proxy = createTcpServer(incoming => {
    sockets.add(incoming)
    const { port } = new URL(remote.origin)
    const onward = createConnection(Number(port))
    sockets.add(onward)
    onward.on('error', () => {}).pipe(incoming).on('error', () => {})
    incoming.on('data', (chunk: Buffer) => {
      if (chunk.length > 20_000) incoming.pause()
      else onward.write(chunk)
    }).on('close', () => { onward.destroy() })
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.teardown(() => {
    proxy.close()
    for (const socket of sockets) socket.destroy()
  })
  const address = addressOf(proxy)
  return remoteServer({ url: `http://127.0.0.1:${address.port}/mcp`, limits: { silenceSeconds: 1 } })
}

const places = { 'a program': program, 'a remote': deafRemote }
for (const [place, host] of Object.entries(places)) {
  for (const [era, connect] of Object.entries(callers)) {
    t.test(`${place}, ${era}`, async t => {
      const service = await startMcp(t, { createServer: await host(t) })
      const caller = await connect(t, service.url, 'alice')
      const isProgram = place === 'a program'
      if (isProgram) await caller.call('deaf', {})
      const calls = Array.from({ length: CALLS }, async (_, index) =>
        await caller.call('note', { text: `${index}${'n'.repeat(BYTES)}` }).catch((error: unknown) => ({ error })))
      const bob = await new RawClient(service, 'bob').connect()
      t.hasProp(await callTool(bob, 'note', { text: 'small' }), 'text', 'others are served')
      const first = await Promise.race(calls)
      t.match(first, { error: { code: -32000, message: isProgram ? /does not read what it is sent/ : /in time/ } })
      if (!isProgram) t.match(await Promise.all(calls), Array(CALLS).fill({ error: { code: -32000 } }), 'all are told')
      await service.app.close()
      t.match((await Promise.all(calls)).filter(ended => !('error' in ended)), [], 'no call is lost without a word')
    })
  }
}
