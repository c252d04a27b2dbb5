import { EventEmitter, once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { connect, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { mock } from 'node:test'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { Admission } from '../../src/mcp/admission/admission.js'
import { OpenResponses } from '../../src/mcp/admission/open-responses.js'
import { defaultLimits } from '../../src/mcp/limits.js'
import { findTakenBytes } from '../../src/plugins/mcp/taken-bytes.js'
import { mcpService } from '../../src/service/mcp-service.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import type { Stores } from '../../src/stores/stores.js'
import { freePort } from '../support/free-port.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'
import { MCP_URL, ways, type Way } from './greedy-clients.js'
import { GreedyPlug } from './greedy-plug.js'

/*
 * A client that takes nothing of its response is disconnected, whatever the response is, and however it is served.
 * Until then a server that awaits its sends waits; then its call ends.
 */

const MEGABYTE = 1_000_000

const SHAPES = {
  'messages, awaited': { tool: 'flood', args: { messages: 30, bytes: MEGABYTE, awaits: true } },
  'messages, in one go': { tool: 'flood', args: { messages: 30, bytes: MEGABYTE, awaits: false } },
  'one result': { tool: 'large', args: { bytes: 12 * MEGABYTE } }
}

/** The responses of a service that are not over, by token. */
class Responses extends EventEmitter {
  readonly #open = new Map<string, number>()

  add (token: string, response: ServerResponse): void {
    this.#open.set(token, this.count(token) + 1)
    response.once('close', () => {
      this.#open.set(token, this.count(token) - 1)
      this.emit('closed')
    })
  }

  count (token: string): number {
    return this.#open.get(token) ?? 0
  }

  /** Waits until all of a token are over. */
  async areOver (token: string): Promise<void> {
    while (this.count(token) > 0) await once(this, 'closed')
  }
}

async function checkWay (t: Test, way: Way, stores: Stores): Promise<void> {
  const port = await freePort()
  const app = Fastify({ forceCloseConnections: true })
  const plug = new GreedyPlug()
  const responses = new Responses()
  app.addHook('onRequest', async ({ headers }, { raw }) => {
    responses.add(headers.authorization?.replace('Bearer ', '') ?? '', raw)
  })
  await app.register(mcpService, {
    publicUrl: MCP_URL,
    allowedHosts: ['*'],
    createServer: way.sdk === 1 ? plug.createServer1 : plug.createServer2,
    sessionMode: way.sessionMode,
    reuseInstances: way.reuseInstances,
    stores,
    drainSeconds: 0.02,
    streams: { stalledMs: 400 },
    auth: {
      mode: 'host',
      authorizationServers: ['https://login.example'],
      verifyAccessToken: async token => {
        return { token, clientId: 'c', scopes: ['mcp'], extra: { issuer: 'https://login.example', subject: token } }
      }
    }
  })
  t.teardown(() => app.close())
  await app.listen({ port, host: '127.0.0.1' })
  const fetchThere: typeof fetch = async (input, init) =>
    await fetch(String(input).replace(MCP_URL, `http://127.0.0.1:${port}`), init)

  await Promise.all(Object.entries(SHAPES).map(async ([shape, { tool, args }], index) => {
    const token = `reader-${index}`
    const client = await way.connect(fetchThere, token)
    const flooded = 'awaits' in args && args.awaits ? once(plug, 'flooded') : undefined
    const begun = await client.callWith(tool, args).catch(() => undefined)
    await responses.areOver(token)
    await flooded
    t.pass(`${way.name}: ${shape}`)
    await begun?.body?.cancel().catch(() => {})
  }))
}

function portOf (address: ReturnType<Server['address']>): number {
  return typeof address === 'object' && address !== null ? address.port : 0
}

const options = { timeout: 60_000 }

t.test('what is kept in memory', options, async t => {
  await Promise.all(ways.map(async way => {
    const stores = createMemoryStores({ sessionIdleSeconds: 60 })
    t.teardown(() => stores.close())
    await checkWay(t, way, stores)
  }))
})

redisTest('what is kept in Redis', async (t, server) => {
  const replicas = await redisReplicas(t, server, {}, ways.length)
  await Promise.all(ways.map(async (way, index) => {
    const stores = replicas[index]
    if (stores === undefined) throw new Error('There are too few replicas.')
    await checkWay(t, way, stores)
  }))
})

t.test('who reads slowly is seen to read while one large write is under way', async t => {
  const tcp = createTcpServer()
  tcp.listen(0, '127.0.0.1')
  await once(tcp, 'listening')
  const accepted = new Promise<Socket>(resolve => tcp.once('connection', resolve))
  const reader = connect(portOf(tcp.address()), '127.0.0.1')
  const socket = await accepted
  t.teardown(() => {
    reader.destroy()
    tcp.close()
  })
  const bytes = 100 * MEGABYTE
  socket.write(Buffer.alloc(bytes))
  const seen = new Set<number | undefined>()
  let read = 0
  for await (const chunk of reader) {
    seen.add(findTakenBytes(socket))
    read += Buffer.from(chunk).length
    if (read === bytes) break
  }
  t.ok(seen.size > 5, `${seen.size} steps`)
  t.equal(findTakenBytes(null), undefined)
})

t.test('who takes something is not cut, who takes nothing is', async t => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => { mock.timers.reset() })
  const cut: string[] = []
  const responses = new OpenResponses({
    admission: new Admission(defaultLimits),
    maxUnreadBytes: MEGABYTE,
    maxUnreadBytesPerPerson: MEGABYTE,
    stalledMs: 0,
    onCut: (_bytes, reason) => { cut.push(reason) }
  })
  t.teardown(() => { responses.stop() })
  const open = (name: string, unread: () => number, taken: () => number | undefined) => {
    responses.open(name, 0, {
      get unreadBytes () { return unread() },
      get takenBytes () { return taken() },
      cut: () => { cut.push(name) }
    })
  }
  let steps = 0
  open('as fast as it comes', () => 1000, () => steps)
  open('within this process', () => 1000 - steps, () => undefined)
  open('everything', () => 0, () => 7)
  open('nothing', () => 1000 + steps, () => 7)
  for (; steps < 4; steps++) await responses.weigh()
  t.strictSame(cut, ['stalled', 'nothing'])
})
