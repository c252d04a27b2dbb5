import { EventEmitter, once } from 'node:events'
import { McpServer as McpServer1 } from '@modelcontextprotocol/sdk/server/mcp.js'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { post, request, type RawOptions } from '../support/raw-http.js'
import { parseAsked } from './input-required.js'
import { alice, bob, call, instanceIn, jsonOf, named, said, text, throughEachDoor } from './reuse.js'

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
    server.registerTool('log-to-nobody', {}, async () => {
      await server.sendLoggingMessage({ level: 'error', data: 'a secret of alice' })
      return text({ instance })
    })
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

throughEachDoor('an instance of SDK 1.x serves clients that say the same of themselves', async (t, door) => {
  const plug = new BridgedPlug()
  const { url } = await door.start(t, plug.createServer)
  const client = named('one client')
  const logged = { token: 'bob', meta: { ...client.meta, 'io.modelcontextprotocol/logLevel': 'debug' } }
  const long = named('x'.repeat(3000))
  let requests = 0
  const asked = async (options: RawOptions, expected: number, client: string, sampling = true) => {
    const { instance, ...who } = await said(url, 'who', options)
    t.strictSame(who, { subject: options.token, client, sampling })
    door.served(t, instance, expected)
    requests++
  }
  await asked({ token: 'alice', ...client }, 1, 'one client')
  await asked({ token: 'bob', ...client }, 1, 'one client')
  // not another one's capabilities
  await asked({ token: 'bob', ...client, capabilities: {} }, 2, 'one client', false)
  // nor its name
  await asked(bob, 3, 'client of bob')
  // nor its log level
  for (const [options, told, expected] of [[logged, true, 4], [{ token: 'alice', ...client }, false, 1]] as const) {
    const body = await (await post(url, 'tools/call', call('who'), options)).text()
    t.equal(body.includes('"data":"told"'), told)
    door.served(t, instanceIn(body), expected)
    requests++
  }
  // and none is kept for one who says very much
  await asked({ token: 'bob', ...long }, 5, 'x'.repeat(3000))
  await asked({ token: 'bob', ...long }, 6, 'x'.repeat(3000))
  t.match(await request(url, 'tools/list', {}, { token: 'alice', ...client }), {
    status: 200,
    result: { resultType: 'complete' }
  })
  t.equal(plug.made, door.isOpen ? 6 : requests + 1)
})

throughEachDoor('what a call of SDK 1.x sends after its response reaches nobody', async (t, door) => {
  const plug = new BridgedPlug()
  const { url } = await door.start(t, plug.createServer)
  const client = {
    meta: { ...named('one client').meta, progressToken: 1, 'io.modelcontextprotocol/logLevel': 'debug' }
  }
  door.served(t, (await said(url, 'linger', { token: 'alice', ...client })).instance, 1)
  const held = once(plug, 'held bob')
  const response = post(url, 'tools/call', call('hold'), { token: 'bob', ...client })
  await held
  const spoken = once(plug, 'spoken')
  plug.emit('speak')
  t.strictSame(await spoken, [door.isOpen ? 2 : 5], 'it is told that nobody can answer, or that its connection ended')
  plug.emit('release bob')
  const body = await (await response).text()
  door.served(t, instanceIn(body), 1)
  t.notMatch(body, /secret/)
})

throughEachDoor('a call of SDK 1.x that waits for its client keeps its instance', async (t, door) => {
  const plug = new BridgedPlug()
  const { url } = await door.start(t, plug.createServer)
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
  t.notMatch(
    await (await post(url, 'tools/call', call('log-to-nobody'), {
      token: 'bob',
      meta: { ...client.meta, 'io.modelcontextprotocol/logLevel': 'debug' }
    })).text(),
    /secret/,
    'who is told, too'
  )

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

throughEachDoor('a call of SDK 1.x that is cancelled takes its instance with it', async (t, door) => {
  const plug = new BridgedPlug()
  const { url } = await door.start(t, plug.createServer)
  const gone = new AbortController()
  const [held, aborted] = [once(plug, 'held alice'), once(plug, 'aborted alice')]
  const left = t.rejects(request(url, 'tools/call', call('hold'), { ...alice, signal: gone.signal }))
  await held
  gone.abort()
  await aborted
  await left
  t.match(await said(url, 'who', alice), { instance: 2 })
})
