import { once } from 'node:events'
import t, { type Test } from 'tap'
import type { McpTransportsOptions } from '../../src/mcp/options.js'
import { connect1, connect2, type EraClient } from '../eras/era-clients.js'
import { EraPlug, eraServers } from '../eras/era-servers.js'
import { throughEachDoor } from '../eras/reuse.js'
import { startMcp, type McpService } from '../support/mcp-harness.js'

/*
 * That a resource has changed is for the person whose server says so: its name alone may be a secret.
 */
const SECRET = 'file:///of-alice/secret'
const END = 'file:///end'

const as = (token: string) => ({ requestInit: { headers: { authorization: `Bearer ${token}` } } })
const eras: Record<string, (url: string, token: string) => Promise<EraClient>> = {
  'a session': async (url, token) => await connect1(url, as(token)),
  '2026-07-28': async (url, token) => await connect2(url, { pin: '2026-07-28' }, as(token))
}

async function start (t: Test, options: Pick<McpTransportsOptions, 'createServer'> & Partial<McpTransportsOptions>) {
  return connector(t, await startMcp(t, options))
}

function connector (t: Test, { url }: Pick<McpService, 'url'>) {
  return async (era: string, token: string): Promise<EraClient> => {
    const client = await eras[era]?.(url, token)
    if (client === undefined) throw new Error(era)
    t.teardown(() => client.close())
    return client
  }
}

/** The URIs that a client hears of, up to `END`. */
async function heardUntilEnd (client: EraClient): Promise<unknown[]> {
  const heard: unknown[] = []
  await new Promise<void>(resolve => {
    client.heard.on('notifications/resources/updated', ({ uri }) => {
      if (uri === END) resolve()
      else heard.push(uri)
    })
  })
  return heard
}

/** Listens to what alice and the one who listens may announce. */
async function listenTo (client: EraClient): Promise<void> {
  await client.listen(SECRET)
  await client.listen(END)
}

for (const [sdk, serverFor] of Object.entries(eraServers)) {
  for (const announcing of Object.keys(eras)) {
    for (const listening of Object.keys(eras)) {
      t.test(`${sdk}: announced in ${announcing}, received in ${listening}`, async t => {
        const connect = await start(t, { createServer: serverFor(new EraPlug()) })
        const alice = await connect(announcing, 'alice')
        const [herself, bob] = [await connect(listening, 'alice-elsewhere'), await connect(listening, 'bob')]
        await listenTo(herself)
        await listenTo(bob)
        const [own, others] = [heardUntilEnd(herself), heardUntilEnd(bob)]
        await alice.call('announce', { uri: SECRET })
        // each hears of the end from a call of their own
        await (await connect('2026-07-28', 'alice')).call('announce', { uri: END })
        await (await connect('2026-07-28', 'bob')).call('announce', { uri: END })
        if (!(announcing === 'a session' && listening === 'a session')) {
          t.strictSame(await own, [SECRET], 'alice hears it at her other client')
        }
        t.strictSame(await others, [], 'bob does not')
      })
    }
  }
}

throughEachDoor('an instance that serves many announces updates to nobody', async (t, door) => {
  for (const [sdk, serverFor] of Object.entries(eraServers)) {
    const connect = connector(t, await door.start(t, serverFor(new EraPlug())))
    const alice = await connect('2026-07-28', 'alice')
    const listeners = [await connect('2026-07-28', 'alice-elsewhere'), await connect('2026-07-28', 'bob')]
    const heard: unknown[] = []
    const listsChanged = listeners.map(async listener => {
      listener.heard.on('notifications/resources/updated', ({ uri }) => { heard.push(uri) })
      await once(listener.heard, 'notifications/tools/list_changed')
    })
    for (const listener of listeners) await listenTo(listener)
    await alice.call('announce', { uri: SECRET })
    await Promise.all(listsChanged)
    t.strictSame(heard, [], sdk)
  }
})

t.test('what is announced to all reaches all', async t => {
  for (const era of Object.keys(eras)) {
    let announce = (_uri: string): void => {}
    const serverFor = eraServers['SDK 1.x server']?.(new EraPlug())
    if (serverFor === undefined) throw new Error('no server')
    const connect = await start(t, {
      createServer: async context => {
        announce = uri => { context.announce({ kind: 'resource_updated', uri }) }
        return await serverFor(context)
      }
    })
    const [alice, bob] = [await connect(era, 'alice'), await connect(era, 'bob')]
    await listenTo(alice)
    await listenTo(bob)
    const heard = Promise.all([alice, bob].map(heardUntilEnd))
    announce(SECRET)
    announce(END)
    t.strictSame(await heard, [[SECRET], [SECRET]], era)
  }
})

t.test('the embedder decides who may subscribe, and those who may get the updates', async t => {
  for (const [sdk, serverFor] of Object.entries(eraServers)) {
    for (const era of Object.keys(eras)) {
      // more than once, where a stream opens late
      const asked = new Set<string>()
      const connect = await start(t, {
        createServer: serverFor(new EraPlug()),
        maySubscribe: async ({ extra: { subject } }, uri) => {
          asked.add(`${subject} ${uri}`)
          return subject === 'alice' || uri !== SECRET
        }
      })
      const [alice, bob] = [await connect(era, 'alice'), await connect(era, 'bob')]
      await t.rejects(
        bob.listen(SECRET),
        { message: new RegExp(`may not subscribe to ${SECRET}`) },
        `${sdk}, ${era}: bob is refused, and told of what`
      )
      await bob.listen(END)
      await listenTo(alice)
      t.strictSame([...asked], [`bob ${SECRET}`, `bob ${END}`, `alice ${SECRET}`, `alice ${END}`])
      const heard = Promise.all([alice, bob].map(heardUntilEnd))
      const announcer = await connect('2026-07-28', 'bob')
      await announcer.call('announce', { uri: SECRET })
      await announcer.call('announce', { uri: END })
      t.strictSame(await heard, [[SECRET], []], `${sdk}, ${era}: alice hears of what bob's server says`)
    }
  }
})
