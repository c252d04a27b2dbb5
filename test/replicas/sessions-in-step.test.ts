import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import type { SessionStore } from '../../src/stores/sessions.js'
import type { Stores } from '../../src/stores/stores.js'
import { kSessions } from '../../src/plugins/mcp/sessions.js'
import { clock } from '../support/clock.js'
import { ControlledServer, say } from '../support/controlled-server.js'
import { RawClient, startMcp, type McpService } from '../support/mcp-harness.js'
import { next, parseData, readEvents } from '../support/raw-http.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'

/*
 * A session at several replicas: what one does to it holds at the others, and none ends what another has in use.
 */
const STORES: Record<string, (test: (t: Test, stores: readonly [Stores, Stores]) => Promise<void>) => void> = {
  // two replicas of one process
  memory: test => {
    t.test('memory', async t => {
      const stores = createMemoryStores({ sessionIdleSeconds: 3600 })
      t.teardown(() => stores.close())
      await test(t, [stores, stores])
    })
  },
  redis: test => {
    redisTest('Redis', async (t, server) => {
      const [one, other] = await redisReplicas(t, server, { sessionIdleSeconds: 3600 })
      if (one === undefined || other === undefined) throw new Error('There are no replicas.')
      await test(t, [one, other])
    })
  }
}

interface Two {
  plug: ControlledServer
  services: readonly [McpService, McpService]
  /** One session's client, at each of them. */
  clients: readonly [RawClient, RawClient]
}

async function two (t: Test, stores: readonly [Stores, Stores]): Promise<Two> {
  const plug = new ControlledServer()
  const start = (replica: Stores) => startMcp(t, { ...replica, createServer: plug.createServer })
  const services = [await start(stores[0]), await start(stores[1])] as const
  const client = await new RawClient(services[0]).connect()
  const { sessionId, protocolVersion } = client
  const elsewhere = Object.assign(new RawClient(services[1]), { sessionId, protocolVersion })
  return { plug, services, clients: [client, elsewhere] }
}

/** A session store whose next `get` takes what it read away with it until it is let go. */
class HeldReads {
  readonly sessions: SessionStore
  #held: Promise<void> | undefined
  release = () => {}
  #read = () => {}
  readonly read = new Promise<void>(resolve => { this.#read = resolve })

  constructor (sessions: SessionStore) {
    this.sessions = {
      create: (...all) => sessions.create(...all),
      change: (...all) => sessions.change(...all),
      touch: (...all) => sessions.touch(...all),
      delete: (...all) => sessions.delete(...all),
      get: async id => {
        const record = await sessions.get(id)
        this.#read()
        const held = this.#held
        this.#held = undefined
        await held
        return record
      }
    }
  }

  hold (): void {
    this.#held = new Promise(resolve => { this.release = resolve })
  }
}

for (const run of Object.values(STORES)) {
  run(async (t, stores) => {
    await t.test('what changes while the record is being read is not lost', async t => {
      const held = new HeldReads(stores[1].sessions)
      const plug = new ControlledServer()
      const initialized = new Set<unknown>()
      plug.on('server', () => {
        const { server } = plug
        server.server.oninitialized = () => { initialized.add(server) }
      })
      const start = (replica: Stores) => startMcp(t, { ...replica, createServer: plug.createServer })
      const [here, there] = [await start(stores[0]), await start({ ...stores[1], sessions: held.sessions })]
      const client = new RawClient(here)
      const response = await client.request('initialize', {
        protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' }
      })
      await response.json()
      const sessionId = response.headers.get('mcp-session-id') ?? ''
      Object.assign(client, { sessionId, protocolVersion: '2025-11-25' })
      const elsewhere = Object.assign(new RawClient(there), { sessionId, protocolVersion: '2025-11-25' })
      held.hold()
      const ping = elsewhere.request('ping')
      await held.read
      await client.notify('notifications/initialized')
      while ((await stores[0].sessions.get(sessionId))?.initialized !== true) await turn()
      held.release()
      t.equal((await ping).status, 200)
      while (initialized.size < 2) await turn()
      t.equal(initialized.size, plug.servers.length, 'both instances know')
    })

    await t.test('who changes at once comes to the same', async t => {
      const { clients, services } = await two(t, stores)
      await clients[1].request('ping')
      for (let round = 0; round < 5; round++) {
        await Promise.all(clients.flatMap((client, index) => [
          client.request('logging/setLevel', { level: index === 0 ? 'error' : 'debug' })
        ]))
      }
      const stored = async () => await stores[0].sessions.get(clients[0].sessionId ?? '')
      const records = async () => await Promise.all(services.map(async (service, index) => {
        const extra = { issuer: 'https://login.example', subject: 'alice', grantId: `grant-${index}` }
        const alice = { token: 'alice', clientId: 'client-1', scopes: ['mcp'], extra }
        return (await service.app[kSessions].find(clients[0].sessionId ?? '', alice, 'streamable-http')).record
      }))
      while ((await stored())?.version !== 11) await turn()
      const { logLevel, version } = await stored() ?? {}
      while ((await records()).some(record => record.version !== version)) await turn()
      t.same((await records()).map(record => record.logLevel), [logLevel, logLevel])
    })

    await t.test('a session that is in use elsewhere is not ended', async t => {
      const { forward } = clock(t)
      const { clients, plug, services } = await two(t, stores)
      await (await clients[1].request('ping')).text()
      const call = clients[0].request('tools/call', { name: 'wait', arguments: { name: 'long' } })
      const long = await plug.call('long')
      for (let part = 0; part < 3; part++) {
        forward(1800)
        for (const service of services) service.app[kSessions].tidy(Date.now())
        await turn()
      }
      t.equal((await clients[1].request('ping')).status, 200)
      long.finish('done')
      t.match(await (await call).text(), /done/)
    })

    await t.test('a stream that is read elsewhere ends here', async t => {
      const { clients, plug } = await two(t, stores)
      const [here, there] = clients
      await (await there.request('ping')).text()
      const first = readEvents(await here.get())
      await next(first)
      const second = readEvents(await there.get())
      await next(second)
      while ((await first.next()).done !== true);
      const call = here.request('tools/call', { name: 'wait', arguments: { name: 'cut' } })
      const cut = await plug.call('cut')
      await say(cut, 'hello')
      const response = readEvents(await call)
      const { id = '' } = await next(response)
      const resumed = readEvents(await there.get({ 'last-event-id': id }))
      while ((await response.next()).done !== true);
      cut.finish('at the end')
      let last: unknown
      for await (const event of resumed) last = parseData(event) ?? last
      t.match(last, { result: { content: [{ text: 'at the end' }] } })
    })
  })
}
