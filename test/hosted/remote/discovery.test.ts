import { CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY } from '@modelcontextprotocol/server'
import t from 'tap'
import { remoteServer } from '../../../src/hosted/remote/remote-server.js'
import { modernRequest } from '../../../src/testing/modern-request.js'
import { parseObject } from '../../support/json.js'
import { startMcp, type McpService } from '../../support/mcp-harness.js'
import { ScriptedRemote, type Exchange } from './scripted-remote.js'

/*
 * Clients of 2026-07-28 in front of remote servers that do not respond to `server/discover`.
 */
const discovered = {
  supportedVersions: ['2026-07-28'],
  capabilities: { tools: {} },
  resultType: 'complete',
  ttlMs: 0,
  cacheScope: 'private'
}

async function call ({ url }: McpService): Promise<{ status: number, body: Record<string, unknown> }> {
  const { headers, ...request } = modernRequest(1, 'tools/call', { name: 'hello', arguments: {} }, {
    [CLIENT_INFO_META_KEY]: { name: 'raw', version: '1' }, [CLIENT_CAPABILITIES_META_KEY]: {}
  })
  const response = await fetch(`${url}/mcp`, { ...request, headers: { ...headers, authorization: 'Bearer alice' } })
  return { status: response.status, body: parseObject(await response.text()) }
}

const served = { status: 200, body: { result: { content: [{ text: 'hello' }] } } }

/** What an older server does with what it does not know. */
const silences: Record<string, (exchange: Exchange) => void> = {
  'no response': () => {},
  'a stream that says nothing': exchange => {
    exchange.stream()
    const timer = setInterval(() => { exchange.response.write(': still here\n\n') }, 50)
    exchange.response.on('close', () => { clearInterval(timer) })
  }
}

for (const [what, act] of Object.entries(silences)) {
  t.test(`${what}: it is reached in its own era, and not asked again once it is known`, async t => {
    const remote = await ScriptedRemote.start(t, exchange => {
      if (exchange.method !== 'server/discover') return false
      act(exchange)
      return true
    })
    const createServer = remoteServer({ url: remote.url, limits: { connectSeconds: 2 } })
    const service = await startMcp(t, { createServer })
    t.match(await call(service), served)
    t.equal(remote.of('server/discover').length, 2, 'before and after it responds to initialize')
    t.match(await call(service), served)
    t.equal(remote.of('server/discover').length, 2)
  })
}

t.test('a server of 2026-07-28 that is slow at first is asked again once it is known to be one', async t => {
  const remote = await ScriptedRemote.start(t, ({ method, json, result }) => {
    if (method === 'initialize') {
      json({ jsonrpc: '2.0', id: null, error: { code: -32022, message: 'Unsupported protocol version' } }, 400)
    } else if (method !== 'server/discover') return false
    else if (remote.of('server/discover').length > 1) result(discovered)
    return true
  })
  const createServer = remoteServer({ url: remote.url, limits: { connectSeconds: 2 } })
  const service = await startMcp(t, { createServer })
  t.match(await call(service), served)
})

t.test('a server of both eras that is slow at first is reached in that of the client', async t => {
  const remote = await ScriptedRemote.start(t, ({ method, result }) => {
    if (method !== 'server/discover') return false
    if (remote.of('server/discover').length > 1) result(discovered)
    return true
  })
  const service = await startMcp(t, { createServer: remoteServer({ url: remote.url, limits: { connectSeconds: 2 } }) })
  t.match(await call(service), served)
  t.equal(remote.of('DELETE').length, 1, 'the session of the other era is ended')
  const calls = remote.of('tools/call')
  t.strictSame(calls.map(({ headers }) => headers['mcp-protocol-version']), ['2026-07-28'])
})

t.test('one that responds to nothing', async t => {
  const remote = await ScriptedRemote.start(t, () => true)
  const createServer = remoteServer({ url: remote.url, limits: { connectSeconds: 0.3 } })
  const service = await startMcp(t, { createServer })
  t.match(await call(service), { status: 502, body: { error: { message: /in time/ } } })
})
