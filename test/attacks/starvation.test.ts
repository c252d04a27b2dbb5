import { once } from 'node:events'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { mcpService } from '../../src/service/mcp-service.js'
import type { SessionLimits } from '../../src/mcp/limits.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { injectFetch } from '../../src/testing/index.js'
import { collectGarbage } from '../support/garbage.js'
import { parseObject, valueAt } from '../support/json.js'
import { freePort } from '../support/free-port.js'
import { MCP_URL, ways, type Way } from './greedy-clients.js'
import { greedyOptions } from './greedy-options.js'
import { GreedyPlug } from './greedy-plug.js'

/*
 * What one person did to everybody else, at the numbers it was done with.
 */

async function host (
  t: Test,
  way: Pick<Way, 'sdk' | 'sessionMode' | 'reuseInstances'>,
  limits: Partial<SessionLimits> = {},
  port?: number
): Promise<{ app: FastifyInstance, plug: GreedyPlug }> {
  const app = Fastify({ forceCloseConnections: true })
  const plug = new GreedyPlug()
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  await app.register(mcpService, {
    ...greedyOptions(way, plug),
    allowedHosts: ['*'],
    stores,
    limits,
    streams: { stalledMs: 500 }
  })
  t.teardown(async () => {
    plug.release()
    await app.close()
    await stores.close()
  })
  if (port !== undefined) await app.listen({ port, host: '127.0.0.1' })
  return { app, plug }
}

/** `fetch` for a service that listens on a port. */
const overNetwork = (port: number): typeof fetch => async (input, init) =>
  await fetch(String(input).replace(MCP_URL, `http://127.0.0.1:${port}`), init)

const modernWays = ways.filter(({ name }) => name.startsWith('2026'))

for (const [index, way] of modernWays.entries()) {
  // at full numbers once
  const [calls, streams] = index === 0 ? [1500, 5000] : [150, 200]

  t.test(`${way.name}: ${calls} calls at MAX_LIVE_INSTANCES=10`, async t => {
    const { app, plug } = await host(t, way, { maxLiveInstances: 10 })
    const fetch = injectFetch(app)
    const statuses = new Map<number, number>()
    const pending = Array.from({ length: calls }, async (_, index) => {
      const { status } = await (await way.connect(fetch, `alice.client-${index % 20}`)).call('wait')
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    })
    while ((statuses.get(429) ?? 0) < calls - 5) await new Promise(resolve => setImmediate(resolve))
    t.equal(plug.running, 5, 'half of them are for one person at most')
    const { status } = await (await way.connect(fetch, 'bob.client')).call('quick')
    t.equal(status, 200, 'somebody else is served meanwhile')
    plug.release()
    await Promise.all(pending)
    t.strictSame(Object.fromEntries(statuses), { 200: 5, 429: calls - 5 })
  })

  t.test(`${way.name}: ${streams} streams of subscriptions/listen`, async t => {
    const { app } = await host(t, way, { maxStreams: streams })
    const fetch = injectFetch(app)
    const alice = await way.connect(fetch, 'alice.client')
    const statuses = await Promise.all(Array.from({ length: streams }, async () => (await alice.listen()).status))
    t.equal(statuses.filter(status => status === 200).length, 64, 'one person gets those of one person')
    const { status, headers } = await (await way.connect(fetch, 'bob.client')).listen()
    t.strictSame([status, headers.get('content-type')], [200, 'text/event-stream'], 'somebody else gets one')
  })
}

t.test('listen slots that one person was allowed to fill', async t => {
  const way = modernWays[0]
  if (way === undefined) throw new Error('no way')
  const { app } = await host(t, way, { maxStreams: 20, maxStreamsPerPerson: 20 })
  const fetch = injectFetch(app)
  const alice = await way.connect(fetch, 'alice.client')
  const streams: Response[] = []
  for (let count = 0; count < 20; count++) streams.push(await alice.listen())
  for (let count = 0; count < 10; count++) {
    t.equal((await (await way.connect(fetch, 'bob.client')).listen()).status, 200, `bob's stream ${count + 1}`)
  }
  t.equal((await (await way.connect(fetch, 'bob.client')).listen()).status, 503, 'and no more than alice has')
  t.match(await streams[0]?.text(), /acknowledged/, 'alice\'s oldest has ended')
})

for (const way of ways.filter(({ sessionMode, name }) => sessionMode === 'stateful' && name.startsWith('2025'))) {
  t.test(`${way.name}: ten client ids`, async t => {
    const { app, plug } = await host(t, way, { maxLiveInstances: 20 })
    const fetch = injectFetch(app)
    for (let index = 0; index < 40; index++) {
      const client = await way.connect(fetch, `alice.client-${index % 10}`)
      void client.call('wait').catch(() => {})
      await new Promise(resolve => setImmediate(resolve))
    }
    t.equal(plug.running, 10, 'half of the instances are for one person at most')
    for (const person of ['bob', 'carol']) {
      t.equal((await (await way.connect(fetch, `${person}.client`)).call('quick')).status, 200, `${person} is served`)
    }
  })
}

for (const [index, way] of ways.filter(({ can }) => can.has('subscribe')).entries()) {
  const uris = index === 0 ? 40 : 2
  t.test(`${way.name}: ${uris} URIs of 3 MB`, async t => {
    const { app } = await host(t, way)
    const client = await way.connect(injectFetch(app), 'alice.client')
    for (let index = 0; index < uris; index++) {
      const response = await client.subscribe([`file:///${index}/`.padEnd(3_000_000, 'x')])
      const { error } = parseObject(await response.text())
      if (response.status !== 429 || valueAt(error, 'data', 'limit') !== 'uri_bytes') {
        t.fail(`${response.status} ${JSON.stringify(error)}`)
      }
    }
    t.pass('each is refused')
  })
}

/** What this process holds more, once something has run. */
async function heldMore (run: () => Promise<void>): Promise<number> {
  const held = () => {
    collectGarbage()
    const { heapUsed, external, arrayBuffers } = process.memoryUsage()
    return heapUsed + external + arrayBuffers
  }
  const before = held()
  await run()
  return held() - before
}

const MEGABYTE = 1_000_000

for (const way of ways) {
  for (const awaits of [false, true]) {
    const tool = awaits ? 'a tool that waits' : 'a tool that does not wait'
    t.test(`${way.name}: 300 MB for a client that does not read, of ${tool}`, async t => {
      const port = await freePort()
      const { plug } = await host(t, way, {}, port)
      const client = await way.connect(overNetwork(port), 'alice.client')
      const flooded = once(plug, 'flooded')
      const responses: Response[] = []
      const more = await heldMore(async () => {
        // sent in one go, it is cut before its client has the head
        const calling = client.callWith('flood', { messages: 300, bytes: MEGABYTE, awaits }).then(response => {
          responses.push(response)
        }, () => {})
        if (awaits) {
          await calling
          while (plug.sent < 2) await once(plug, 'sent')
          t.ok(plug.sent < 10, 'it waits')
          // a session's call continues; its stream, which nobody reads, is cut after a while
          if (!way.name.startsWith('2024')) await responses[0]?.body?.cancel()
        }
        await flooded
        await calling
      })
      // one copy for the client, and one on its way to the log
      t.ok(more < 40 * MEGABYTE, `${Math.round(more / MEGABYTE)} MB more`)
    })
  }
}

t.test('results that nobody reads', async t => {
  const port = await freePort()
  const { app } = await host(t, { sdk: 2, sessionMode: 'stateless', reuseInstances: true }, {
    maxUnreadBytesPerPerson: 8 * MEGABYTE
  }, port)
  const client = await modernWays[0]?.connect(overNetwork(port), 'alice.client')
  const unread: Array<Response | undefined> = []
  for (let count = 0; count < 60; count++) unread.push(await client?.callWith('large', { bytes: 4 * MEGABYTE }))
  const open = async () => await new Promise<number>((resolve, reject) => {
    app.server.getConnections((error, count) => {
      if (error === null) resolve(count)
      else reject(error)
    })
  })
  while (await open() > 4) await new Promise(resolve => setImmediate(resolve))
  t.equal(unread.filter(response => response?.status === 200).length, 60, 'each had begun')
})
