import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import t, { type Test } from 'tap'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { kSessions } from '../../src/plugins/mcp/sessions.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import type { Stores } from '../../src/stores/stores.js'
import { connect2 } from '../eras/era-clients.js'
import { textAt } from '../support/json.js'
import { RawClient, startMcp, type McpService } from '../support/mcp-harness.js'
import { next, parseData, readEvents } from '../support/raw-http.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'

/*
 * Whoever announces that a list has changed, every client that listens hears of it once: in a session, whose server
 * lives or was dropped as idle, and by subscriptions/listen; at the replica that announces, and at another.
 */

const LISTS = 'notifications/tools/list_changed'
const FENCE = 'notifications/prompts/list_changed'

const createServer: CreateServer = ({ announce }) => {
  const server = new McpServer({ name: 'announcer', version: '1' }, {
    capabilities: { tools: { listChanged: true }, prompts: { listChanged: true }, resources: { listChanged: true } }
  })
  server.registerTool('sdk', {}, async () => {
    await server.server.sendToolListChanged()
    return { content: [] }
  })
  server.registerTool('context', {}, () => {
    announce({ kind: 'tools_list_changed' })
    return { content: [] }
  })
  return server
}

const call = (name: string) => ({ name, arguments: {} })

/** Who announces, at one replica. */
const announcers: Record<string, (service: McpService) => Promise<unknown>> = {
  'the app around it': async ({ app }) => { app.mcpSessions.announce({ kind: 'tools_list_changed' }) },
  'context.announce in another session': async service =>
    await (await new RawClient(service).connect()).request('tools/call', call('context')),
  'context.announce, 2026-07-28': async service => {
    const client = await connect2(service.url, { pin: '2026-07-28' })
    await client.call('context')
    await client.close()
  },
  'the SDK in another session': async service =>
    await (await new RawClient(service).connect()).request('tools/call', call('sdk')),
  'the SDK, 2026-07-28': async service => {
    const client = await connect2(service.url, { pin: '2026-07-28' })
    await client.call('sdk')
    await client.close()
  }
}

/** Hears how often a list has changed, until it hears the fence. */
type Hear = (fence: () => void) => Promise<number>

const listeners: Record<string, (service: McpService) => Promise<Hear>> = {
  'a session whose server was dropped': service => listenInSession(service, true),
  'a session with its server': service => listenInSession(service, false),
  '2026-07-28': async service => {
    const client = await connect2(service.url, { pin: '2026-07-28' })
    await client.listen('file:///a')
    return async fence => {
      let heard = 0
      const over = new Promise<void>(resolve => { client.heard.once(FENCE, () => { resolve() }) })
      client.heard.on(LISTS, () => { if (++heard === 1) fence() })
      await over
      await client.close()
      return heard
    }
  }
}

async function listenInSession (service: McpService, isDropped: boolean): Promise<Hear> {
  const client = await new RawClient(service).connect()
  const leave = new AbortController()
  const events = readEvents(await client.get({}, leave.signal))
  await next(events)
  if (isDropped) service.app[kSessions].tidy(Date.now() + 31_000)
  return async fence => {
    let heard = 0
    for (;;) {
      const message = parseData(await next(events))
      const method = textAt(message, 'method')
      if (method === LISTS && ++heard === 1) fence()
      if (method === FENCE) {
        leave.abort()
        return heard
      }
    }
  }
}

async function check (t: Test, stores: readonly Stores[], isSame: boolean): Promise<void> {
  for (const [listener, listen] of Object.entries(listeners)) {
    for (const [announcer, announce] of Object.entries(announcers)) {
      // a session's own server tells its client what it knows
      if (announcer === 'the SDK in another session' && listener === 'a session with its server') continue
      const [here, there = here] = stores
      if (here === undefined || there === undefined) throw new Error('There is no store.')
      const services = [await start(t, here), await start(t, there)] as const
      const [announcing, listening] = isSame ? [services[0], services[0]] : services
      const hear = await listen(listening)
      const heard = hear(() => { announcing.app.mcpSessions.announce({ kind: 'prompts_list_changed' }) })
      await announce(announcing)
      t.equal(await heard, 1, `${announcer} → ${listener} at ${isSame ? 'the same replica' : 'another replica'}`)
    }
  }
}

const start = (t: Test, { sessions, eventLog, bus, leases }: Stores) =>
  startMcp(t, { createServer, sessions, eventLog, bus, leases })

for (const isSame of [true, false]) {
  const where = isSame ? 'the same replica' : 'another replica'
  t.test(`in memory, at ${where}`, async t => {
    const stores = createMemoryStores({ sessionIdleSeconds: 60 })
    t.teardown(() => stores.close())
    await check(t, [stores, stores], isSame)
  })
  redisTest(`in Redis, at ${where}`, async (t, server) => {
    await check(t, await redisReplicas(t, server), isSame)
  })
}

t.test('without sessions, the app around it and a server reach who listens', async t => {
  for (const name of ['the app around it', 'context.announce, 2026-07-28'] as const) {
    const service = await startMcp(t, { createServer, sessionMode: 'stateless' })
    const heard = (await listeners['2026-07-28']?.(service))?.(() => {
      service.app.mcpSessions.announce({ kind: 'prompts_list_changed' })
    })
    await announcers[name]?.(service)
    t.equal(await heard, 1, name)
  }
})
