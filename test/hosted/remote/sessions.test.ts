import { once } from 'node:events'
import { CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY } from '@modelcontextprotocol/server'
import t, { type Test } from 'tap'
import type { RemoteLimits } from '../../../src/hosted/remote/options.js'
import { remoteServer } from '../../../src/hosted/remote/remote-server.js'
import { kSessions } from '../../../src/plugins/mcp/sessions.js'
import { modernRequest } from '../../../src/testing/modern-request.js'
import { valueAt } from '../../support/json.js'
import { RawClient, startMcp, type McpService } from '../../support/mcp-harness.js'
import { event, lastMessage, ScriptedRemote, type Script } from './scripted-remote.js'

async function start (t: Test, script?: Script, limits: Partial<RemoteLimits> = {}) {
  const remote = await ScriptedRemote.start(t, script)
  const service = await startMcp(t, { createServer: remoteServer({ url: remote.url, limits }) })
  return { remote, service }
}

const call = async (client: RawClient, name = 'fine') => await lastMessage(await client.request('tools/call', { name }))
const fine = { result: { content: [{ type: 'text', text: 'fine' }] } }
const sessionOf = (request: { headers: Record<string, unknown> }) => request.headers['mcp-session-id']

async function modernCall ({ url }: McpService, token: string, info = 'modern'): Promise<Record<string, unknown>> {
  const meta = { [CLIENT_CAPABILITIES_META_KEY]: {}, [CLIENT_INFO_META_KEY]: { name: info, version: '1' } }
  const { headers, ...request } = modernRequest(1, 'tools/call', { name: 'fine' }, meta)
  const response = await fetch(`${url}/mcp`, {
    ...request, headers: { ...headers, authorization: `Bearer ${token}` }
  })
  return await lastMessage(response)
}

t.test('each session has one of its own there, which ends with it', async t => {
  const { remote, service } = await start(t)
  const alice = await new RawClient(service).connect()
  const bob = await new RawClient(service, 'bob').connect()
  t.match(await call(alice), fine)
  t.match(await call(bob), fine)
  t.same(remote.of('tools/call').map(sessionOf), ['session-1', 'session-2'])
  t.match(remote.of('tools/call')[0]?.headers, { 'mcp-protocol-version': '2025-11-25' })
  const ended = once(remote, 'DELETE')
  await fetch(`${service.url}/mcp`, { method: 'DELETE', headers: alice.headers() })
  await ended
  t.same(remote.of('DELETE').map(sessionOf), ['session-1'])
  t.match(await call(bob), fine)
  await service.app.close()
  t.same(remote.of('DELETE').map(sessionOf), ['session-1', 'session-2'], 'and with the app')
})

t.test('a session whose instance was dropped goes on where it was', async t => {
  const { remote, service } = await start(t)
  const client = await new RawClient(service).connect()
  t.match(await call(client), fine)
  service.app[kSessions].tidy(Date.now() + 31_000)
  t.match(await call(client), fine)
  t.same(remote.of('tools/call').map(sessionOf), ['session-1', 'session-1'])
  t.equal(remote.of('initialize').length, 1)
  t.equal(remote.of('notifications/initialized').length, 1)
  service.app[kSessions].tidy(Date.now() + 31_000)
  const ended = once(remote, 'DELETE')
  await service.app[kSessions].delete(String(client.sessionId))
  await ended
  t.pass('it ends there though it has no instance here')
})

t.test('after its idle time, it is begun again with the same handshake', async t => {
  const { remote, service } = await start(t, undefined, { idleSeconds: 0.05 })
  const client = await new RawClient(service).connect('2025-06-18', { roots: {} })
  await (await client.request('logging/setLevel', { level: 'error' })).text()
  const ended = once(remote, 'DELETE')
  service.app[kSessions].tidy(Date.now() + 31_000)
  await ended
  t.match(await call(client), fine)
  const [first, second] = remote.of('initialize')
  t.same(second?.params, first?.params)
  t.same(remote.of('logging/setLevel').map(sessionOf), ['session-1', 'session-2'])
  t.same(remote.of('tools/call').map(sessionOf), ['session-2'])
})

for (const [says, status] of [['404', 404], ['400, about the session', 400]] as const) {
  t.test(`a session that the remote server has forgotten (${says}) is begun again`, async t => {
    let forgotten = ''
    const { remote, service } = await start(t, ({ headers, verb, json }) => {
      if (verb !== 'POST' || headers['mcp-session-id'] !== forgotten) return false
      json({ jsonrpc: '2.0', id: null, error: { code: -32000, message: 'No valid session ID provided' } }, status)
      return true
    })
    const client = await new RawClient(service).connect('2025-06-18', { roots: {} })
    await (await client.request('logging/setLevel', { level: 'error' })).text()
    await (await client.request('resources/subscribe', { uri: 'file:///a' })).text()
    await (await client.request('resources/subscribe', { uri: 'file:///b' })).text()
    await (await client.request('resources/unsubscribe', { uri: 'file:///a' })).text()
    forgotten = 'session-1'
    for (const response of await Promise.all([1, 2, 3].map(async () => await call(client)))) t.match(response, fine)
    const [first, second, ...more] = remote.of('initialize')
    t.same(second?.params, first?.params, 'as it was')
    t.same(more, [], 'once, for all that waited')
    const again = remote.requests.filter(request => sessionOf(request) === 'session-2' && request.verb === 'POST')
    const told = again.slice(0, 3)
      .map(({ method, params }) => [method, valueAt(params, 'level') ?? valueAt(params, 'uri')])
    t.same(told, [
      ['notifications/initialized', undefined],
      ['logging/setLevel', 'error'],
      ['resources/subscribe', 'file:///b']
    ])
  })
}

t.test('a new session of another revision is an error: the client has agreed on its own', async t => {
  let isNew = false
  const { service } = await start(t, ({ headers, method, json, id }) => {
    if (!isNew) return false
    if (method === 'initialize') {
      json({
        jsonrpc: '2.0',
        id,
        result: { protocolVersion: '2024-11-05', capabilities: {}, serverInfo: { name: 'x', version: '2' } }
      })
      return true
    }
    if (headers['mcp-session-id'] !== 'session-1') return false
    json({}, 404)
    return true
  })
  const client = await new RawClient(service).connect()
  isNew = true
  t.match(await call(client), { error: { message: /its session is over, and a new one is of another revision/ } })
})

t.test('calls without a session reuse the connections of their person and client', async t => {
  const { remote, service } = await start(t)
  for (const token of ['alice', 'alice', 'bob', 'alice-elsewhere', 'alice']) {
    t.match(await modernCall(service, token), fine)
  }
  t.match(await modernCall(service, 'alice', 'another client'), fine)
  t.same(remote.of('tools/call').map(sessionOf),
    ['session-1', 'session-1', 'session-2', 'session-3', 'session-1', 'session-4'])
  await Promise.all([modernCall(service, 'alice'), modernCall(service, 'alice'), modernCall(service, 'alice')])
  t.ok(remote.of('initialize').length <= 6, 'as many at once as there are calls')
  await service.app.close()
  t.equal(remote.of('DELETE').length, remote.of('initialize').length, 'all are ended')
})

t.test('a stream that is cut is resumed', async t => {
  const seen: unknown[] = []
  const { remote, service } = await start(t, exchange => {
    const { verb, method, id, headers, response } = exchange
    if (verb === 'GET' && headers['last-event-id'] !== undefined) {
      seen.push(headers['last-event-id'])
      if (seen.length === 1) exchange.stream('id: e2\nretry: 20\ndata:\n\n')
      else if (seen.length === 2) response.writeHead(503)
      else exchange.stream(event({ jsonrpc: '2.0', id: 2, ...fine }, 'e3'))
      response.end()
      return true
    }
    if (method !== 'tools/call' || id === undefined) return false
    exchange.stream('retry: 10\nid: e1\ndata:\n\n')
    setTimeout(() => { response.destroy() }, 10)
    return true
  })
  const client = await new RawClient(service).connect()
  t.match(await call(client), fine)
  t.same(seen, ['e1', 'e2', 'e2'])
  t.equal(remote.of('tools/call').length, 1, 'it was called once')
})

t.test('a client that does not read holds up the remote server, and nothing is kept for it', async t => {
  let written = 0
  const { service } = await start(t, exchange => {
    if (exchange.method !== 'tools/call') return false
    const params = { level: 'info', data: 'x'.repeat(50_000) }
    const message = event({ jsonrpc: '2.0', method: 'notifications/message', params })
    exchange.stream()
    const write = () => {
      if (exchange.response.destroyed) return
      written += message.length
      exchange.response.write(message, write)
    }
    write()
    return true
  })
  const client = await new RawClient(service).connect()
  const response = await client.request('tools/call', { name: 'flood' })
  const reader = response.body?.getReader()
  await reader?.read()
  // until it is held up: nothing is written for a while
  for (let before = -1; before !== written;) {
    before = written
    await new Promise(resolve => setTimeout(resolve, 300))
  }
  t.ok(written < 40_000_000, `${written} bytes`)
  await reader?.cancel()
})
