import { EventEmitter, once } from 'node:events'
import { McpServer as McpServer1 } from '@modelcontextprotocol/sdk/server/mcp.js'
import { McpServer } from '@modelcontextprotocol/server'
import t from 'tap'
import * as z from 'zod'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { requireScopes } from '../../src/mcp/scopes/required-scopes.js'
import { emitted } from '../support/emitted.js'
import { parseObject, textAt } from '../support/json.js'
import { startMcp } from '../support/mcp-harness.js'
import { parseAsked } from './input-required.js'
import { post, request, type RawOptions } from '../support/raw-http.js'

const text = (value: unknown) => ({ content: [{ type: 'text' as const, text: JSON.stringify(value) }] })
const named = (name: string) => ({ meta: { 'io.modelcontextprotocol/clientInfo': { name, version: '1' } } })
const alice: RawOptions = { token: 'alice', ...named('client of alice') }
const bob: RawOptions = { token: 'bob', ...named('client of bob') }
const call = (name: string) => ({ name, arguments: {} })
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

/** What a tool has answered, which is JSON. */
const jsonOf = (result: unknown) => parseObject(textAt(result, 'content', 0, 'text'))

async function said (url: string, name: string, options: RawOptions) {
  const { result } = await request(url, 'tools/call', call(name), options)
  return jsonOf(result)
}

t.test('callers one after the other share an instance, and nothing else', async t => {
  const plug = new Plug()
  const { url } = await startMcp(t, { createServer: plug.createServer, reuseInstances: true })
  t.match(await said(url, 'who', alice), {
    instance: 1,
    subject: 'alice',
    authorization: 'Bearer alice',
    client: 'client of alice'
  })
  t.match(await said(url, 'who', bob), {
    instance: 1,
    subject: 'bob',
    authorization: 'Bearer bob',
    client: 'client of bob'
  })
  t.match(await request(url, 'tools/call', call('fail'), alice), {
    result: { isError: true, content: [{ text: 'of alice' }] }
  })
  t.match(await said(url, 'who', bob), { instance: 1, subject: 'bob' }, 'after an error')
  t.equal((await post(url, 'tools/call', call('guarded'), alice)).status, 403)
  t.match(
    await said(url, 'guarded', { ...named('a'), token: 'alice-again' }),
    { instance: Number },
    'scopes are those of each request'
  )
  t.match(await request(url, 'server/discover', {}, bob), {
    result: { _meta: { 'io.modelcontextprotocol/serverInfo': { name: 'reused' } } }
  })
})

t.test('a client that does not name itself is not taken for the one before', async t => {
  const plug = new Plug()
  const { url } = await startMcp(t, { createServer: plug.createServer, reuseInstances: true })
  t.match(await said(url, 'who', alice), { instance: 1, client: 'client of alice' })
  t.match(await said(url, 'who', { token: 'bob' }), { instance: 1, subject: 'bob' })
  t.strictSame((await said(url, 'who', { token: 'bob' })).client, undefined)
  t.match(await said(url, 'who', bob), { instance: 1, client: 'client of bob' })
})

t.test('callers at once have an instance each', async t => {
  const plug = new Plug()
  const { app, url } = await startMcp(t, { createServer: plug.createServer, reuseInstances: true })
  const held = once(plug, 'held alice')
  const first = said(url, 'hold', alice)
  await held
  t.match(await said(url, 'who', bob), { instance: 2, subject: 'bob' })
  plug.emit('release alice')
  t.strictSame(await first, { instance: 1, subject: 'alice', aborted: false })
  t.strictSame(plug.closed, [], 'they stay connected')
  await app.close()
  t.strictSame(plug.closed.toSorted(), [1, 2], 'until the service ends')
})

t.test('a cancelled call takes its instance with it', async t => {
  const plug = new Plug()
  const { url, bus } = await startMcp(t, { createServer: plug.createServer, reuseInstances: true })
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

t.test('what a call sends after its response reaches nobody', async t => {
  const plug = new Plug()
  const { url } = await startMcp(t, { createServer: plug.createServer, reuseInstances: true })
  t.match(
    await said(url, 'linger', { ...alice, meta: { ...alice.meta, 'io.modelcontextprotocol/logLevel': 'debug' } }),
    { instance: 1 }
  )
  const held = once(plug, 'held bob')
  // the request of the other caller has the same id, and is served by the same instance
  const answer = post(url, 'tools/call', call('hold'), {
    ...bob,
    meta: { ...bob.meta, progressToken: 1, 'io.modelcontextprotocol/logLevel': 'debug' }
  })
  await held
  const spoken = once(plug, 'spoken')
  plug.emit('speak')
  await spoken
  plug.emit('release bob')
  const body = await (await answer).text()
  t.match(body, /\\"instance\\":1/)
  t.notMatch(body, /secret/)
})

t.test('an instance announces for every caller', async t => {
  const plug = new Plug()
  const { url } = await startMcp(t, { createServer: plug.createServer, reuseInstances: true })
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
  const { instance } = await said(url, 'announce', alice)
  await announced(1)
  t.match(await said(url, 'announce', bob), { instance })
  await announced(2)
  leave.abort()
})

t.test('a factory that looks at the caller is told that it must not', async t => {
  const { url } = await startMcp(t, {
    createServer: context => new McpServer({ name: String(context.authInfo.extra.subject), version: '1' }),
    reuseInstances: true
  })
  t.match(await request(url, 'server/discover', {}, alice), { status: 500, error: { code: -32603 } })
})

const question = { message: 'a secret of alice', requestedSchema: { type: 'object' as const, properties: {} } }

/** A server of SDK 1.x that says what it should not, and of whom. */
class BridgedPlug extends EventEmitter {
  made = 0

  readonly createServer: CreateServer = () => {
    const instance = ++this.made
    const server = new McpServer1({ name: 'reused', version: '1' }, { capabilities: { logging: {} } })
    server.registerTool('who', {}, async ({ authInfo, sendNotification }) => {
      await sendNotification({ method: 'notifications/message', params: { level: 'info', data: 'told' } })
      const { server: connected } = server
      return text({
        instance,
        subject: authInfo?.extra?.subject,
        client: connected.getClientVersion()?.name,
        sampling: connected.getClientCapabilities()?.sampling !== undefined
      })
    })
    server.registerTool('hold', {}, async ({ authInfo, signal }) => {
      const subject = authInfo?.extra?.subject
      signal.addEventListener('abort', () => { this.emit(`aborted ${subject}`) })
      this.emit(`held ${subject}`)
      await once(this, `release ${subject}`)
      return text({ instance, subject, aborted: signal.aborted })
    })
    server.registerTool(
      'ask',
      {},
      async ({ requestId: relatedRequestId }) =>
        text({ instance, ...await server.server.elicitInput(question, { relatedRequestId }) })
    )
    server.registerTool('ask-nobody', {}, async () => text(await server.server.elicitInput(question)))
    server.registerTool('ask-and-answer', {}, ({ requestId: relatedRequestId }) => {
      server.server.elicitInput(question, { relatedRequestId }).catch(() => {})
      return text({ instance })
    })
    server.registerTool('linger', {}, ({ requestId: relatedRequestId, sendNotification }) => {
      this.once('speak', () => {
        const params = { level: 'error' as const, data: 'a secret of alice' }
        Promise.allSettled([
          server.sendLoggingMessage(params),
          sendNotification({ method: 'notifications/message', params }),
          sendNotification({
            method: 'notifications/progress',
            params: { progressToken: 1, progress: 1, message: 'a secret of alice' }
          }),
          server.server.elicitInput(question),
          server.server.elicitInput(question, { relatedRequestId })
        ]).then(settled => {
          this.emit('spoken', settled.filter(({ status }) => status === 'rejected').length)
        }, () => {})
      })
      return text({ instance })
    })
    return server
  }
}

t.test('an instance of SDK 1.x serves clients that say the same of themselves', async t => {
  const plug = new BridgedPlug()
  const { url } = await startMcp(t, { createServer: plug.createServer, reuseInstances: true })
  const client = named('one client')
  t.strictSame(
    await said(url, 'who', { token: 'alice', ...client }),
    { instance: 1, subject: 'alice', client: 'one client', sampling: true }
  )
  t.strictSame(
    await said(url, 'who', { token: 'bob', ...client }),
    { instance: 1, subject: 'bob', client: 'one client', sampling: true }
  )
  t.match(
    await said(url, 'who', { token: 'bob', ...client, capabilities: {} }),
    { instance: 2, sampling: false },
    'not another one\'s capabilities'
  )
  t.match(await said(url, 'who', bob), { instance: 3, client: 'client of bob' }, 'nor its name')
  const logged = { token: 'bob', meta: { ...client.meta, 'io.modelcontextprotocol/logLevel': 'debug' } }
  t.match(
    await (await post(url, 'tools/call', call('who'), logged)).text(),
    /"data":"told"[^]*\\"instance\\":4/,
    'nor its log level'
  )
  t.notMatch(await (await post(url, 'tools/call', call('who'), { token: 'alice', ...client })).text(), /told/)
  const long = named('x'.repeat(3000))
  t.match([await said(url, 'who', { token: 'bob', ...long }), await said(url, 'who', { token: 'bob', ...long })], [{
    instance: 5
  }, { instance: 6 }], 'and none is kept for one who says very much')
  t.match(await request(url, 'tools/list', {}, { token: 'alice', ...client }), {
    status: 200,
    result: { resultType: 'complete' }
  })
  t.equal(plug.made, 6)
})

t.test('what a call of SDK 1.x sends after its response reaches nobody', async t => {
  const plug = new BridgedPlug()
  const { url } = await startMcp(t, { createServer: plug.createServer, reuseInstances: true })
  const client = {
    meta: { ...named('one client').meta, progressToken: 1, 'io.modelcontextprotocol/logLevel': 'debug' }
  }
  t.match(await said(url, 'linger', { token: 'alice', ...client }), { instance: 1 })
  const held = once(plug, 'held bob')
  const answer = post(url, 'tools/call', call('hold'), { token: 'bob', ...client })
  await held
  const spoken = once(plug, 'spoken')
  plug.emit('speak')
  t.strictSame(await spoken, [2], 'it is told that nobody can answer')
  plug.emit('release bob')
  const body = await (await answer).text()
  t.match(body, /\\"instance\\":1/)
  t.notMatch(body, /secret/)
})

t.test('a call of SDK 1.x that waits for its client keeps its instance', async t => {
  const plug = new BridgedPlug()
  const { url } = await startMcp(t, { createServer: plug.createServer, reuseInstances: true })
  const client = named('one client')
  const [first, second] = [{ token: 'alice', ...client }, { token: 'bob', ...client }]
  const { requestState } = parseAsked((await request(url, 'tools/call', call('ask'), first)).result)
  t.match(await said(url, 'who', second), { instance: 2, subject: 'bob' })
  const answered = { ...call('ask'), requestState, inputResponses: { 'request-0': { action: 'accept', content: {} } } }
  t.match(await request(url, 'tools/call', answered, second), { error: { code: -32602 } }, 'which nobody else gets at')
  t.match((await request(url, 'tools/call', answered, first)).result, {
    content: [{ text: /"instance":1,"action":"accept"/ }]
  })
  t.match(await request(url, 'tools/call', call('ask-nobody'), second), {
    result: { isError: true, content: [{ text: /relatedRequestId/ }] }
  }, 'who is asked must be named')

  const asked = parseAsked((await request(url, 'tools/call', call('ask-and-answer'), first)).result)
  const { result } = await request(url, 'tools/call', {
    ...call('ask-and-answer'),
    requestState: asked.requestState,
    inputResponses: {}
  }, first)
  const used = Number(jsonOf(result).instance)
  const idle = 4
  let held = 0
  const all = new Promise<void>(resolve => plug.on('held bob', () => { if (++held === idle) resolve() }))
  const holding = Array.from({ length: idle }, async () => await said(url, 'hold', second))
  await all
  plug.emit('release bob')
  t.notOk(
    (await Promise.all(holding)).some(({ instance }) => instance === used),
    'one that has asked and did not wait is not used again'
  )
})

t.test('a call of SDK 1.x that is cancelled takes its instance with it', async t => {
  const plug = new BridgedPlug()
  const { url } = await startMcp(t, { createServer: plug.createServer, reuseInstances: true })
  const gone = new AbortController()
  const [held, aborted] = [once(plug, 'held alice'), once(plug, 'aborted alice')]
  const left = t.rejects(request(url, 'tools/call', call('hold'), { ...alice, signal: gone.signal }))
  await held
  gone.abort()
  await aborted
  await left
  t.match(await said(url, 'who', alice), { instance: 2 })
})
