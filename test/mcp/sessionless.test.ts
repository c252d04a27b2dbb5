import { once } from 'node:events'
import {
  Client as Client2,
  StreamableHTTPClientTransport as StreamableHTTPClientTransport2
} from '@modelcontextprotocol/client'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import t from 'tap'
import { requireScopes } from '../../src/mcp/scopes/required-scopes.js'
import { startService } from '../support/service.js'
import { ControlledServer, say } from '../support/controlled-server.js'
import { FeatureServer } from './feature-server.js'
import { parseData, readEvents, next } from '../support/raw-http.js'
import { initializeParams, RawClient, startMcp } from '../support/mcp-harness.js'

const clientInfo = { name: 'test', version: '1.0.0' }
const requestInit = { headers: { authorization: 'Bearer alice' } }
const wait = (name: string) => ({ name: 'wait', arguments: { name } })
const sessionless = { sessionMode: 'stateless' } as const

t.test('no session, and a fresh instance for every request', async t => {
  const plug = new ControlledServer()
  const service = await startMcp(t, { ...sessionless, createServer: plug.createServer })
  const client = new RawClient(service)
  const initialized = await client.request('initialize', initializeParams())
  t.equal(initialized.status, 200)
  t.equal(initialized.headers.get('mcp-session-id'), null)
  t.match(await initialized.json(), { result: { protocolVersion: '2025-11-25', serverInfo: { name: 'controlled' } } })
  t.equal((await client.notify('notifications/initialized')).status, 202)
  t.equal(plug.servers.length, 1, 'a notification needs no instance')
  for (const id of [1, 2]) {
    const closed = once(plug, 'closed')
    t.same(
      await (await client.post({ jsonrpc: '2.0', id, method: 'ping' }, { 'mcp-session-id': 'from elsewhere' })).json(),
      { jsonrpc: '2.0', id, result: {} }
    )
    await closed
  }
  t.equal(plug.servers.length, 3)
  t.ok(plug.servers.every(({ server }) => server.transport === undefined), 'every instance is closed')
  t.match(await (await client.request('tools/nonsense')).json(), { error: { code: -32601 } })
})

t.test('verbs and endpoints that need sessions', async t => {
  const service = await startMcp(t, sessionless)
  const client = new RawClient(service)
  for (const method of ['GET', 'DELETE', 'HEAD', 'PUT']) {
    const response = await fetch(`${service.url}/mcp`, {
      method,
      headers: client.headers({ accept: 'text/event-stream' })
    })
    t.equal(response.status, 405, method)
    t.equal(response.headers.get('allow'), 'POST')
    if (method !== 'HEAD') t.match(await response.json(), { jsonrpc: '2.0', id: null, error: { code: -32000 } })
    t.equal((await fetch(`${service.url}/mcp`, { method })).status, 401, `${method} without a token`)
  }
  t.equal((await fetch(`${service.url}/sse`, { headers: client.headers({ accept: 'text/event-stream' }) })).status, 404)
  t.equal(
    (await fetch(`${service.url}/messages?sessionId=x`, { method: 'POST', headers: client.headers(), body: '{}' }))
      .status,
    404
  )
})

t.test('batches, as the revision has them', async t => {
  const client = new RawClient(await startMcp(t, sessionless))
  const batch = [{ jsonrpc: '2.0', id: 1, method: 'ping' }, { jsonrpc: '2.0', method: 'notifications/x' }, {
    jsonrpc: '2.0',
    id: 2,
    method: 'ping'
  }]
  const answers = [{ jsonrpc: '2.0', id: 1, result: {} }, { jsonrpc: '2.0', id: 2, result: {} }]
  t.same(await (await client.post(batch)).json(), answers, 'without the header it is 2025-03-26')
  t.same(await (await client.post(batch, { 'mcp-protocol-version': '2025-03-26' })).json(), answers)
  for (const protocolVersion of ['2025-06-18', '2025-11-25']) {
    const response = await client.post(batch, { 'mcp-protocol-version': protocolVersion })
    t.equal(response.status, 400, protocolVersion)
    t.match(await response.json(), { error: { code: -32600 } })
  }
  t.equal(
    (await client.post([{ jsonrpc: '2.0', id: 1, method: 'initialize', params: initializeParams() }])).status,
    400
  )
  t.equal((await client.post([batch[0], batch[0]])).status, 400, 'one id twice')
  t.equal((await client.post([batch[1]])).status, 202)
  t.equal((await client.post(batch[0], { 'mcp-protocol-version': '1999-01-01' })).status, 400)
})

t.test('messages before the answer are streamed in it, and cannot be resumed', async t => {
  const plug = new ControlledServer()
  const client = new RawClient(await startMcp(t, { ...sessionless, createServer: plug.createServer }))
  const pending = client.request('tools/call', wait('streamed'))
  const call = await plug.call('streamed')
  await say(call, 'one')
  const response = await pending
  t.equal(response.headers.get('content-type'), 'text/event-stream')
  const events = readEvents(response)
  const one = await next(events)
  t.match(parseData(one), { params: { data: 'one' } })
  t.equal(one.id, undefined, 'no event id: there is nothing to resume')
  await plug.server.server.sendLoggingMessage({ level: 'info', data: 'two' })
  t.match(parseData(await next(events)), { params: { data: 'two' } }, 'what names no request has no other way to go')
  t.equal(call.extra.closeSSEStream, undefined)
  call.finish('done')
  t.match(parseData(await next(events)), { result: { content: [{ text: 'done' }] } })
  t.ok((await events.next()).done)
})

t.test('a call ends with its connection, or its grant', async t => {
  const plug = new ControlledServer()
  const service = await startMcp(t, { ...sessionless, createServer: plug.createServer })
  const client = new RawClient(service)
  const abort = new AbortController()
  const cut = client.request('tools/call', wait('cut'), {}, abort.signal)
  const call = await plug.call('cut')
  const aborted = once(call.extra.signal, 'abort')
  abort.abort()
  await t.rejects(cut)
  await aborted
  t.pass('a quiet one')

  const streamed = client.request('tools/call', wait('streamed'))
  const second = await plug.call('streamed')
  await say(second, 'hello')
  const secondAborted = once(second.extra.signal, 'abort')
  await (await streamed).body?.cancel()
  await secondAborted
  t.pass('a streamed one')

  const revoked = client.request('tools/call', wait('revoked'))
  const third = await plug.call('revoked')
  await service.bus.publish('grantEnded', { grantId: 'grant-of-bob' })
  t.notOk(third.extra.signal.aborted)
  await service.bus.publish('grantEnded', { grantId: 'grant-of-alice' })
  t.ok(third.extra.signal.aborted)
  t.match(await (await revoked).json(), { error: { code: -32000, message: /login.*has ended/ } })
})

t.test('the limits of instances and of the process\'s life', async t => {
  const plug = new ControlledServer()
  const service = await startMcp(t, {
    ...sessionless,
    createServer: plug.createServer,
    limits: { maxLiveInstances: 1 },
    drainSeconds: 0.05
  })
  const client = new RawClient(service)
  const pending = client.request('tools/call', wait('long'))
  await plug.call('long')
  const refused = await client.request('ping')
  t.equal(refused.status, 503)
  t.equal(refused.headers.get('retry-after'), '1')
  t.match(await refused.json(), { error: { code: -32000 } })
  await service.app.close()
  t.match(await (await pending).json(), { error: { code: -32000, message: /shutting down/ } })
})

t.test('step-up', async t => {
  const plug = new ControlledServer()
  const service = await startMcp(t, {
    ...sessionless,
    createServer: async context => {
      const server = await plug.createServer(context)
      requireScopes(server, { wait: ['patience'] })
      return server
    }
  })
  const closed = once(plug, 'closed')
  const refused = await new RawClient(service).request('tools/call', wait('refused'))
  t.equal(refused.status, 403)
  t.match(refused.headers.get('www-authenticate'), /insufficient_scope.*scope="mcp patience"/)
  await closed
  t.equal(plug.calls.length, 0, 'nothing has run')
})

t.test('SDK clients', async t => {
  const features = new FeatureServer()
  const service = await startMcp(t, { ...sessionless, createServer: features.createServer })
  const url = new URL(`${service.url}/mcp`)
  const client = new Client(clientInfo, { capabilities: { elicitation: {} } })
  client.setRequestHandler(ElicitRequestSchema, async () => ({ action: 'accept', content: {} }))
  await client.connect(new StreamableHTTPClientTransport(url, { requestInit }))
  const progress: number[] = []
  const result = await client.callTool({ name: 'progress', arguments: { steps: 3 } }, undefined, {
    onprogress: update => { if (progress.push(update.progress) === 3) features.emit('seen') }
  })
  t.match(result, { content: [{ text: 'done' }] })
  t.same(progress, [1, 2, 3])
  t.match(await client.callTool({ name: 'sample', arguments: { prompt: 'x' } }), {
    isError: true,
    content: [{ text: /without sessions/ }]
  }, 'the client cannot be asked')
  t.match(await client.callTool({ name: 'ask', arguments: { question: 'x' } }), { isError: true })
  await client.close()

  const client2 = new Client2(clientInfo)
  await client2.connect(new StreamableHTTPClientTransport2(url, { requestInit }))
  t.match(await client2.callTool({ name: 'progress', arguments: { steps: 1 } }), { content: [{ text: 'done' }] })
  await client2.close()
})

t.test('SESSION_MODE=stateless', async t => {
  const { url } = await startService(t, { SESSION_MODE: 'stateless' })
  t.equal((await fetch(`${url}/sse`)).status, 404)
  t.equal((await fetch(`${url}/mcp`)).status, 401)
  t.equal((await fetch(`${url}/.well-known/oauth-protected-resource/mcp`)).status, 200)
  t.equal((await fetch(`${url}/.well-known/oauth-protected-resource/sse`)).status, 404)
})
