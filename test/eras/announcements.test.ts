import t, { type Test } from 'tap'
import { startMcp } from '../support/mcp-harness.js'
import { connect1, connect2, heardBy, textOf, type EraClient } from './era-clients.js'
import { EraPlug, eraServers } from './era-servers.js'

const URI = 'file:///a'
const METHODS = ['tools/list_changed', 'prompts/list_changed', 'resources/list_changed', 'resources/updated'].map(
  what => `notifications/${what}`
)

interface Parties {
  session: EraClient
  modern: EraClient
  /** Another one of 2026-07-28, which listens. */
  listener: EraClient
}

/** A call announces, and another client hears of it. */
async function checkHeard (t: Test, announcer: EraClient, listener: EraClient) {
  const changes = Promise.all(METHODS.map(method => heardBy(listener, method)))
  t.equal(textOf(await announcer.call('announce', { uri: URI })), 'announced')
  const updated = (await changes).at(-1)
  t.equal(updated?.uri, URI)
}

for (const [name, createServer] of Object.entries(eraServers)) {
  t.test(name, async t => {
    const service = await startMcp(t, { createServer: createServer(new EraPlug()) })
    const parties: Parties = {
      session: await connect1(service.url),
      modern: await connect2(service.url, { pin: '2026-07-28' }),
      listener: await connect2(service.url, 'auto')
    }
    const { session, modern, listener } = parties
    t.teardown(() => Promise.all([session, modern, listener].map(client => client.close())))
    await listener.listen(URI)

    await t.test('a modern call reaches a listener of 2026-07-28', t => checkHeard(t, modern, listener))
    await t.test('a session reaches a listener of 2026-07-28', t => checkHeard(t, session, listener))

    await session.listen(URI)
    // its own announcement shows that the session's stream is open
    await t.test('a session reaches its own client', t => checkHeard(t, session, session))
    await t.test('a modern call reaches a session', t => checkHeard(t, modern, session))

    await t.test('a client gets updates only of resources that it subscribed to', async t => {
      const last = 'file:///last'
      for (const client of [session, listener]) {
        await client.listen(last)
        const heard: unknown[] = []
        const over = new Promise<void>(resolve => {
          client.heard.on('notifications/resources/updated', ({ uri }) => {
            heard.push(uri)
            if (uri === last) resolve()
          })
        })
        await modern.call('announce', { uri: 'file:///other' })
        await modern.call('announce', { uri: last })
        await over
        t.notOk(heard.includes('file:///other'))
      }
    })
  })
}

t.test('an announcement of a call without a session reaches a listener of 2026-07-28', async t => {
  for (const createServer of Object.values(eraServers)) {
    const service = await startMcp(t, { createServer: createServer(new EraPlug()), sessionMode: 'stateless' })
    const listener = await connect2(service.url, 'auto')
    const caller = await connect2(service.url, 'legacy')
    t.teardown(() => Promise.all([listener.close(), caller.close()]))
    await listener.listen(URI)
    await checkHeard(t, caller, listener)
  }
})
