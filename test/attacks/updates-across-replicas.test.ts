import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { SubscribeRequestSchema, UnsubscribeRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import t, { type Test } from 'tap'
import type { CallerInfo } from '../../src/caller.js'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import type { SessionStores } from '../../src/stores/stores.js'
import { connect1, connect2, type EraClient } from '../eras/era-clients.js'
import { EraPlug, eraServers } from '../eras/era-servers.js'
import { parseData, readEvents, next } from '../support/raw-http.js'
import { RawClient } from '../support/mcp-harness.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'
import { host, newEncryptionKeys, WAYS, type HostedOptions, type HostedService } from './eras.js'

/*
 * What one person's server announces at one replica, others do not hear at another; and who may no longer subscribe
 * hears nothing more, wherever the session goes on.
 */
const SECRET = 'file:///of-alice/secret'
const END = 'file:///end'
const UPDATED = 'notifications/resources/updated'

const eras: Record<string, (url: string, token: string) => Promise<EraClient>> = {
  'a session': async (url, token) =>
    await connect1(url, { requestInit: { headers: { authorization: `Bearer ${token}` } } }),
  '2026-07-28': async (url, token) =>
    await connect2(url, { pin: '2026-07-28' }, { requestInit: { headers: { authorization: `Bearer ${token}` } } })
}

async function hosts (
  t: Test,
  replicas: readonly SessionStores[],
  options: Omit<HostedOptions, 'stores'>
): Promise<[HostedService, HostedService]> {
  const encryptionKeys = newEncryptionKeys()
  const [one, other] = await Promise.all(
    replicas.map(async stores => await host(t, { encryptionKeys, ...options, stores }))
  )
  if (one === undefined || other === undefined) throw new Error('two replicas, please')
  return [one, other]
}

async function connect (t: Test, era: string, { url }: HostedService, token: string): Promise<EraClient> {
  const client = await eras[era]?.(url, token)
  if (client === undefined) throw new Error(era)
  t.teardown(() => client.close())
  return client
}

async function heardUntilEnd (client: EraClient): Promise<unknown[]> {
  const heard: unknown[] = []
  await new Promise<void>(resolve => {
    client.heard.on(UPDATED, ({ uri }) => {
      if (uri === END) resolve()
      else heard.push(uri)
    })
  })
  return heard
}

async function checkAnnounced (t: Test, kept: string, replicas: readonly SessionStores[]): Promise<void> {
  for (const [sdk, serverFor] of Object.entries(eraServers)) {
    for (const announcing of Object.keys(eras)) {
      for (const listening of Object.keys(eras)) {
        const how = `${sdk}, announced in ${announcing} × heard in ${listening} at another replica × ${kept}`
        await t.test(`updates: ${how}`, async t => {
          const [one, other] = await hosts(t, replicas, { createServer: serverFor(new EraPlug()) })
          const alice = await connect(t, announcing, one, 'alice')
          const [herself, bob] = [
            await connect(t, listening, other, 'alice'),
            await connect(t, listening, other, 'bob')
          ]
          for (const client of [herself, bob]) {
            await client.listen(SECRET)
            await client.listen(END)
          }
          const [own, others] = [heardUntilEnd(herself), heardUntilEnd(bob)]
          await alice.call('announce', { uri: SECRET })
          // each hears of the end from a call of their own
          for (const person of ['alice', 'bob']) {
            await (await connect(t, '2026-07-28', one, person)).call('announce', { uri: END })
          }
          // sessions have servers of their own to tell them
          t.strictSame(
            await own,
            announcing === 'a session' && listening === 'a session' ? [] : [SECRET],
            'alice hears it at her other client'
          )
          t.strictSame(await others, [], 'bob does not')
        })
      }
    }
  }
}

/** Its subscriptions, as its instances know them. */
const subscribable = (subscribed: string[]): CreateServer => () => {
  const server = new McpServer({ name: 'subscribable', version: '1' }, {
    capabilities: { resources: { subscribe: true } }
  })
  const own = new Set<string>()
  server.server.setRequestHandler(SubscribeRequestSchema, ({ params: { uri } }) => {
    own.add(uri)
    subscribed.push(`+ ${uri}`)
    return {}
  })
  server.server.setRequestHandler(UnsubscribeRequestSchema, ({ params: { uri } }) => {
    if (own.delete(uri)) subscribed.push(`- ${uri}`)
    return {}
  })
  server.registerTool('announce', {}, async () => {
    for (const uri of [SECRET, END]) await server.server.sendResourceUpdated({ uri })
    return { content: [] }
  })
  return server
}

/** How a session goes on: by a call first, or by a stream; where its instance lives, or where it has to be rebuilt. */
const GOING_ON: Readonly<Record<string, { at: 0 | 1, callsFirst: boolean }>> = {
  'a call that rebuilds the instance': { at: 1, callsFirst: true },
  'a stream where there is no instance': { at: 1, callsFirst: false },
  'a stream where the instance lives': { at: 0, callsFirst: false }
}

async function checkAskedAgain (t: Test, kept: string, [first, second]: readonly SessionStores[]): Promise<void> {
  if (first === undefined || second === undefined) throw new Error('two replicas, please')
  for (const [what, { at, callsFirst }] of Object.entries(GOING_ON)) {
    await t.test(`updates: who may no longer subscribe × ${what} × ${kept}`, async t => {
      let refused = ''
      const told: [string[], string[]] = [[], []]
      const maySubscribe = ({ extra: { subject } }: CallerInfo, uri: string): boolean =>
        subject !== 'alice' || uri !== refused
      const services = await Promise.all(
        [first, second].map(async (stores, index) =>
          await host(t, { createServer: subscribable(told[index === 0 ? 0 : 1]), maySubscribe, stores })
        )
      )
      const [one, later] = [services[0], services[at]]
      if (one === undefined || later === undefined) throw new Error('no service')
      const alice = await new RawClient(one).connect()
      for (const uri of [SECRET, END]) {
        t.match(await (await alice.request('resources/subscribe', { uri })).json(), { result: {} })
      }
      const subscriptions = async () => (await first.sessions.get(alice.sessionId ?? ''))?.subscriptions
      await until(async () => (await subscriptions())?.length === 2)

      refused = SECRET
      const { sessionId, protocolVersion } = alice
      const goesOn = Object.assign(new RawClient(later), { sessionId, protocolVersion })
      if (callsFirst) await (await goesOn.request('ping')).text()
      else t.teardown(await opened(goesOn))
      await until(async () => (await subscriptions())?.includes(SECRET) === false)
      t.strictSame(await subscriptions(), [END], 'the record forgets it')
      // the instance that lives is told, wherever it is
      await until(async () => {
        await (await goesOn.request('ping')).text()
        return told[0].length === 3
      })
      t.strictSame(told[0], [`+ ${SECRET}`, `+ ${END}`, `- ${SECRET}`])
      await (await goesOn.request('ping')).text()
      t.strictSame(told[1], at === 1 ? [`+ ${END}`] : [], 'a new one hears of what is left alone')

      const events = readEvents(await goesOn.get())
      t.teardown(() => events.return(undefined))
      await next(events)
      await (await connect(t, '2026-07-28', one, 'bob')).call('announce')
      t.match(
        parseData(await next(events)),
        { method: UPDATED, params: { uri: END } },
        'what is announced of it is not heard'
      )
    })
  }
}

/** Waits for what another replica does; what has not come true then fails where it is looked at. */
async function until (isTrue: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 3000
  while (!await isTrue() && Date.now() < deadline);
}

/** Opens a session's stream, where nobody reads on. */
async function opened (client: RawClient): Promise<() => Promise<unknown>> {
  const events = readEvents(await client.get())
  await next(events)
  return async () => await events.return(undefined)
}

async function checkBoth (t: Test, kept: string, replicas: readonly SessionStores[]): Promise<void> {
  await checkAnnounced(t, kept, replicas)
  await checkAskedAgain(t, kept, replicas)
}

t.test('updates, with what is kept in memory', async t => {
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  t.teardown(() => stores.close())
  await checkBoth(t, 'memory', [stores, stores])
})
redisTest('updates, with what is kept in Redis', async (t, server) => {
  await checkBoth(t, 'Redis', await redisReplicas(t, server))
})

t.test('without sessions, who may not subscribe is refused before the server is asked', async t => {
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  t.teardown(() => stores.close())
  for (const [name, { sessionMode, connect, takesBatches }] of Object.entries(WAYS)) {
    if (sessionMode !== 'stateless') continue
    const subscribed: string[] = []
    const service = await host(t, {
      createServer: subscribable(subscribed),
      stores,
      sessionMode,
      maySubscribe: (_caller, uri) => uri !== SECRET
    })
    const caller = await connect(t, service, 'alice')
    for (const batch of takesBatches ? [false, true] : [false]) {
      const subscribe = { method: 'resources/subscribe', params: { uri: SECRET } }
      await caller.ask('alice', batch ? [{ method: 'ping' }, subscribe] : [subscribe], batch)
      t.strictSame(subscribed, [], `${name}${batch ? ', in a batch' : ''}`)
    }
  }
})
