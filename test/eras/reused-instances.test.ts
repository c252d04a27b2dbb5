import { EventEmitter, once } from 'node:events'
import { McpServer } from '@modelcontextprotocol/server'
import * as z from 'zod'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { requireScopes } from '../../src/mcp/scopes/required-scopes.js'
import { emitted } from '../support/emitted.js'
import { post, request } from '../support/raw-http.js'
import { alice, bob, call, instanceIn, named, said, text, throughEachDoor } from './reuse.js'

const nothing = z.object({})

/** A server whose instances are counted, and whose calls tell each other when to go on. */
class Plug extends EventEmitter {
  made = 0
  readonly closed: number[] = []

  readonly createServer: CreateServer = () => {
    const instance = ++this.made
    const server = new McpServer({ name: 'reused', version: '1' }, {
      capabilities: { logging: {}, tools: { listChanged: true } }
    })
    server.server.onclose = () => {
      this.closed.push(instance)
      this.emit('closed')
    }
    requireScopes(server, { guarded: ['more'] })
    server.registerTool('who', { inputSchema: nothing }, (_input, { http, mcpReq: { envelope } }) => text({
      instance,
      subject: http?.authInfo?.extra?.subject,
      authorization: http?.req?.headers.get('authorization'),
      client: server.server.getClientVersion()?.name,
      envelope: Object.keys(envelope ?? {})
    }))
    server.registerTool('guarded', { inputSchema: nothing }, () => text({ instance }))
    server.registerTool('hold', { inputSchema: nothing }, async (_input, { http, mcpReq: { signal } }) => {
      const subject = http?.authInfo?.extra?.subject
      signal.addEventListener('abort', () => { this.emit(`aborted ${subject}`) })
      http?.req?.signal.addEventListener('abort', ({ target }) => { this.emit(`left ${subject}`, target) })
      this.emit(`held ${subject}`)
      await once(this, `release ${subject}`)
      return text({ instance, subject, aborted: signal.aborted })
    })
    // work that goes on after the answer, as it should not
    server.registerTool('linger', { inputSchema: nothing }, (_input, { mcpReq: { log, notify } }) => {
      this.once('speak', () => {
        Promise.all([
          log('error', 'a secret of alice'),
          notify({
            method: 'notifications/progress',
            params: { progressToken: 1, progress: 1, message: 'a secret of alice' }
          })
        ])
          .catch(() => {}).finally(() => {
            this.emit('spoken')
          })
      })
      return text({ instance })
    })
    server.registerTool('fail', { inputSchema: nothing }, () => { throw new Error('of alice') })
    server.registerTool('announce', { inputSchema: nothing }, () => {
      server.sendToolListChanged()
      return text({ instance })
    })
    return server
  }
}

throughEachDoor('callers one after the other share an instance, and nothing else', async (t, door) => {
  const plug = new Plug()
  const { url } = await door.start(t, plug.createServer)
  for (const [subject, options] of Object.entries({ alice, bob })) {
    const { instance, ...who } = await said(url, 'who', options)
    t.match(who, { subject, authorization: `Bearer ${subject}`, client: `client of ${subject}` })
    door.served(t, instance, 1)
  }
  t.match(await request(url, 'tools/call', call('fail'), alice), {
    result: { isError: true, content: [{ text: 'of alice' }] }
  })
  door.served(t, (await said(url, 'who', bob)).instance, 1, 'after an error')
  t.equal((await post(url, 'tools/call', call('guarded'), alice)).status, 403)
  const { instance } = await said(url, 'guarded', { ...named('a'), token: 'alice-again' })
  door.served(t, instance, 1, 'scopes are those of each request')
  t.match(await request(url, 'server/discover', {}, bob), {
    result: { _meta: { 'io.modelcontextprotocol/serverInfo': { name: 'reused' } } }
  })
})

throughEachDoor('a client that does not name itself is not taken for the one before', async (t, door) => {
  const plug = new Plug()
  const { url } = await door.start(t, plug.createServer)
  for (const [options, client] of [
    [alice, 'client of alice'], [{ token: 'bob' }, undefined], [bob, 'client of bob']
  ] as const) {
    const who = await said(url, 'who', options)
    t.strictSame([who.subject, who.client], [options.token, client])
    door.served(t, who.instance, 1)
  }
})

throughEachDoor('callers at once have an instance each', async (t, door) => {
  const plug = new Plug()
  const { app, url } = await door.start(t, plug.createServer)
  const held = once(plug, 'held alice')
  const first = said(url, 'hold', alice)
  await held
  t.match(await said(url, 'who', bob), { instance: 2, subject: 'bob' })
  plug.emit('release alice')
  t.strictSame(await first, { instance: 1, subject: 'alice', aborted: false })
  if (door.isOpen) t.strictSame(plug.closed, [], 'they stay connected')
  else while (plug.closed.length < 2) await once(plug, 'closed')
  await app.close()
  t.strictSame(plug.closed.toSorted(), [1, 2], 'until the service ends, or only for their request')
})

throughEachDoor('a cancelled call takes its instance with it', async (t, door) => {
  const plug = new Plug()
  const { url, bus } = await door.start(t, plug.createServer)
  const gone = new AbortController()
  const [held, heldBob, aborted, leftAlice] = ['held alice', 'held bob', 'aborted alice', 'left alice'].map(
    async event => await emitted(plug, event)
  )
  const left = t.rejects(request(url, 'tools/call', call('hold'), { ...alice, signal: gone.signal }))
  await held
  const second = said(url, 'hold', bob)
  await heldBob
  gone.abort()
  await aborted
  await left
  const [signal] = await leftAlice ?? []
  t.ok(signal instanceof AbortSignal && signal.aborted, 'the signal of the HTTP request says so, too')
  t.match(await said(url, 'who', bob), { instance: 3 }, 'what it runs may not have ended')
  plug.emit('release bob')
  t.strictSame(await second, { instance: 2, subject: 'bob', aborted: false }, 'nobody else is cancelled')

  const [again, bobAgain, ended] = [once(plug, 'held alice'), once(plug, 'held bob'), once(plug, 'aborted alice')]
  const [cut, kept] = [request(url, 'tools/call', call('hold'), alice), said(url, 'hold', bob)]
  await Promise.all([again, bobAgain])
  await bus.publish('grantEnded', { grantId: 'grant-of-alice' })
  await ended
  t.match(await cut, { error: { code: -32000 }, id: 7 }, 'the end of a login')
  plug.emit('release bob')
  t.match(await kept, { subject: 'bob', aborted: false }, 'is that of one person')
})

throughEachDoor('what a call sends after its response reaches nobody', async (t, door) => {
  const plug = new Plug()
  const { url } = await door.start(t, plug.createServer)
  const logged = { ...alice, meta: { ...alice.meta, 'io.modelcontextprotocol/logLevel': 'debug' } }
  door.served(t, (await said(url, 'linger', logged)).instance, 1)
  const held = once(plug, 'held bob')
  // the request of the other caller has the same id; with the door open, the same instance serves it
  const response = post(url, 'tools/call', call('hold'), {
    ...bob,
    meta: { ...bob.meta, progressToken: 1, 'io.modelcontextprotocol/logLevel': 'debug' }
  })
  await held
  const spoken = once(plug, 'spoken')
  plug.emit('speak')
  await spoken
  plug.emit('release bob')
  const body = await (await response).text()
  door.served(t, instanceIn(body), 1)
  t.notMatch(body, /secret/)
})

throughEachDoor('an instance announces for every caller', async (t, door) => {
  const plug = new Plug()
  const { url } = await door.start(t, plug.createServer)
  const leave = new AbortController()
  const { body } = await post(url, 'subscriptions/listen', { notifications: { toolsListChanged: true } }, {
    ...bob,
    signal: leave.signal
  })
  const told = body?.pipeThrough(new TextDecoderStream())
  let heard = ''
  const announced = async (times: number) => {
    if (told === undefined) throw new Error('There is no stream.')
    const reader = told.getReader()
    while (heard.split('notifications/tools/list_changed').length <= times) heard += (await reader.read()).value
    reader.releaseLock()
  }
  door.served(t, (await said(url, 'announce', alice)).instance, 2)
  await announced(1)
  door.served(t, (await said(url, 'announce', bob)).instance, 2)
  await announced(2)
  leave.abort()
})

throughEachDoor('a factory that looks at the caller is told that it must not', async (t, door) => {
  const { url } = await door.start(
    t,
    context => new McpServer({ name: String(context.authInfo.extra.subject), version: '1' })
  )
  t.match(await request(url, 'server/discover', {}, alice), { status: 500, error: { code: -32603 } })
})
