import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { remoteServer } from '../../../src/hosted/remote/remote-server.js'
import { RawClient, startMcp } from '../../support/mcp-harness.js'
import { event, lastMessage, ScriptedRemote, type Exchange, type Script } from './scripted-remote.js'

/*
 * A remote server that does everything wrong: whoever waits gets an explicit error, nothing hangs, and the next call,
 * after it has come to its senses, works.
 */

/** Short where time runs out; elsewhere a machine that is busy must not be what ends a call. */
const limits = (says?: RegExp) => {
  const seconds = says?.source === 'in time' ? 2 : 60
  return { connectSeconds: seconds, silenceSeconds: seconds, maxMessageBytes: 100_000 }
}
const bomb = gzipSync(Buffer.alloc(50_000_000, 32))
const result = (id: unknown) => ({ jsonrpc: '2.0', id, result: { content: [] } })
const typed = ({ response }: Exchange, type: string, body: string | Buffer, more = {}) => {
  response.writeHead(200, { 'content-type': type, ...more }).end(body)
}

/** What it does, and what the error says. */
const faults: Record<string, [act: (exchange: Exchange) => void, says: RegExp]> = {
  'invalid JSON': [exchange => { typed(exchange, 'application/json', '{"jsonrpc":') }, /invalid JSON/],
  'JSON that is no message': [exchange => { exchange.json({ hello: 'world' }) }, /not a JSON-RPC 2.0 message/],
  'JSON that is nested too deeply': [exchange => {
    const deep = '['.repeat(20_000) + ']'.repeat(20_000)
    typed(exchange, 'application/json', `{"jsonrpc":"2.0","id":${JSON.stringify(exchange.id)},"result":{"a":${deep}}}`)
  }, /nested too deeply/],
  null: [exchange => { exchange.json(null) }, /not a JSON-RPC 2.0 message/],
  'a response to something else': [exchange => { exchange.json(result('other')) }, /without a response/],
  'an empty batch': [exchange => { exchange.json([]) }, /without a response/],
  'a page': [exchange => { typed(exchange, 'text/html', '<h1>Welcome</h1>') }, /content type "text\/html"/],
  'no content': [({ response }) => { response.writeHead(204).end() }, /status 204/],
  'accepted, as if it were a notification': [({ response }) => { response.writeHead(202).end() }, /status 202/],
  'status 500': [({ response }) => { response.writeHead(500).end('stack trace') }, /status 500/],
  'status 503 and a large body': [({ response }) => { response.writeHead(503).end('x'.repeat(500_000)) }, /status 503/],
  'status 401 and a challenge': [({ response }) => {
    response.writeHead(401, { 'www-authenticate': 'Bearer resource_metadata="https://evil.example/"' }).end()
  }, /credentials of this service \(status 401\)/],
  'status 403': [({ response }) => { response.writeHead(403).end() }, /credentials of this service \(status 403\)/],
  'a redirect to another origin': [({ response }) => {
    response.writeHead(307, { location: 'http://127.0.0.2:1/mcp' }).end()
  }, /another origin/],
  'a redirect that makes a GET of it': [({ response }) => {
    response.writeHead(302, { location: '/other' }).end()
  }, /cannot be followed/],
  'redirects in a circle': [({ response, url }) => {
    response.writeHead(307, { location: url }).end()
  }, /cannot be followed/],
  silence: [() => {}, /in time/],
  'a body that never ends': [({ response }) => {
    response.writeHead(200, { 'content-type': 'application/json' }).write('{')
  }, /in time/],
  'a closed connection': [({ response }) => { response.destroy() }, /connection failed/],
  'a body that is cut': [({ response }) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' }).write('{"jsonrpc"')
    setTimeout(() => { response.destroy() }, 20)
  }, /connection failed/],
  'a body that is too large': [exchange => {
    exchange.json({ jsonrpc: '2.0', id: exchange.id, result: { text: 'x'.repeat(200_000) } })
  }, /too large/],
  'a compressed bomb': [exchange => {
    typed(exchange, 'application/json', bomb, { 'content-encoding': 'gzip' })
  }, /too large/],
  'not what it says it compressed': [exchange => {
    typed(exchange, 'application/json', '{}', { 'content-encoding': 'gzip' })
  }, /connection failed/],
  'a stream without a response': [exchange => {
    typed(exchange, 'text/event-stream', ': hello\n\n')
  }, /closed the stream/],
  'a stream of garbage': [exchange => { typed(exchange, 'text/event-stream', 'data: {nonsense\n\n') }, /invalid JSON/],
  'a line that never ends': [exchange => {
    exchange.stream()
    const write = () => { if (!exchange.response.destroyed) exchange.response.write('x'.repeat(50_000), write) }
    write()
  }, /too large/],
  'an event that never ends': [exchange => {
    exchange.stream()
    const write = () => { if (!exchange.response.destroyed) exchange.response.write('data: abc\n'.repeat(5000), write) }
    write()
  }, /too large/],
  'a stream that falls silent': [exchange => { exchange.stream(': begun\n\n') }, /in time/]
}

interface Remote { transport?: 'streamable-http' | 'sse', says?: RegExp }

async function start (t: Test, script: Script, { transport = 'streamable-http', says }: Remote = {}) {
  const remote = await ScriptedRemote.start(t, script)
  const service = await startMcp(t, {
    createServer: remoteServer({
      url: remote.url, transport, limits: limits(says), headers: { 'x-api-key': 'secret-key' }
    })
  })
  return { remote, service }
}

/** What must hold of every request that a remote server gets. */
function assertNoToken (t: Test, remote: ScriptedRemote): void {
  t.notOk(remote.requests.some(request => JSON.stringify(request).includes('alice')), 'our token stays here')
  t.ok(remote.requests.every(({ headers }) => headers['x-api-key'] === 'secret-key'), 'what is configured goes along')
}

for (const [what, [act, says]] of Object.entries(faults)) {
  t.test(`${what}, to initialize`, async t => {
    let isFaulty = true
    const { remote, service } = await start(t, exchange => {
      if (!isFaulty || exchange.method !== 'initialize') return false
      act(exchange)
      return true
    }, { says })
    const refused = await new RawClient(service).request('initialize', {
      protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' }
    })
    t.equal(refused.status, 502)
    t.equal(refused.headers.get('www-authenticate'), null)
    t.match(await lastMessage(refused), { id: 1, error: { code: -32000, message: says } })
    isFaulty = false
    const client = await new RawClient(service).connect()
    t.equal((await client.request('tools/call', { name: 'fine' })).status, 200)
    assertNoToken(t, remote)
  })

  t.test(`${what}, to a call`, async t => {
    const { remote, service } = await start(t, exchange => {
      const { params } = exchange
      if (exchange.method !== 'tools/call' || !JSON.stringify(params).includes('faulty')) return false
      act(exchange)
      return true
    }, { says })
    const client = await new RawClient(service).connect()
    const response = await client.request('tools/call', { name: 'faulty' })
    t.equal(response.status, 200)
    t.match(await lastMessage(response), { id: 2, error: { code: -32000, message: says } })
    t.match(await lastMessage(await client.request('tools/call', { name: 'fine' })), {
      result: { content: [{ text: 'fine' }] }
    }, 'the session goes on')
    t.equal(remote.of('initialize').length, 1)
    assertNoToken(t, remote)
  })
}

t.test('a JSON-RPC error with a status of its own is passed on', async t => {
  const { service } = await start(t, ({ method, json }) => {
    if (method !== 'tools/call') return false
    json({ jsonrpc: '2.0', id: null, error: { code: -32055, message: 'Out of ink', data: { page: 7 } } }, 422)
    return true
  })
  const client = await new RawClient(service).connect()
  t.match(await lastMessage(await client.request('tools/call', { name: 'print' })), {
    id: 2, error: { code: -32055, message: 'Out of ink', data: { page: 7 } }
  })
})

t.test('a redirect within the origin is followed', async t => {
  const { remote, service } = await start(t, ({ url, response }) => {
    if (url !== '/mcp') return false
    response.writeHead(308, { location: '/v2/mcp' }).end()
    return true
  })
  const client = await new RawClient(service).connect()
  t.match(await lastMessage(await client.request('tools/call', { name: 'fine' })), { result: {} })
  assertNoToken(t, remote)
})

t.test('requests without end', async t => {
  const asked = 500
  const declined: unknown[] = []
  const { remote, service } = await start(t, exchange => {
    const { method, id } = exchange
    if (method === undefined && exchange.verb === 'POST') declined.push(id)
    if (method !== 'tools/call') return false
    for (let count = 0; count < asked; count++) {
      exchange.stream(event({ jsonrpc: '2.0', id: `ask-${count}`, method: 'elicitation/create', params: {} }))
    }
    exchange.stream(event(result(id)))
    exchange.response.end()
    return true
  })
  const client = await new RawClient(service).connect('2025-11-25', { elicitation: {} })
  const text = await (await client.request('tools/call', { name: 'ask' })).text()
  t.equal(text.split('elicitation/create').length - 1, 100, 'so many wait for the client')
  t.ok(declined.length >= asked - 100, 'the others are declined')
  assertNoToken(t, remote)
})

const endpoint = (path: string) => `event: endpoint\ndata: ${path}\n\n`

t.test('HTTP+SSE', async t => {
  const initialize = async (client: RawClient) => await lastMessage(await client.request('initialize', {
    protocolVersion: '2024-11-05', capabilities: {}, clientInfo: { name: 'test', version: '1' }
  }))

  const openings: Record<string, [act: (exchange: Exchange) => void, says: RegExp]> = {
    'an endpoint elsewhere': [exchange => {
      exchange.stream(endpoint('http://127.0.0.2:1/messages'))
    }, /another origin/],
    'no endpoint': [exchange => { exchange.stream(event({ jsonrpc: '2.0', method: 'x' })) }, /begin with an endpoint/],
    'an end': [exchange => {
      exchange.stream(': hello\n\n')
      exchange.response.end()
    }, /begin with an endpoint/],
    silence: [() => {}, /in time/],
    'a page': [({ response }) => { response.writeHead(200, { 'content-type': 'text/html' }).end() }, /open a stream/],
    'a message that does not end': [exchange => { exchange.stream(`data: ${'x'.repeat(200_000)}`) }, /too large/]
  }
  for (const [what, [act, says]] of Object.entries(openings)) {
    t.test(`${what}, in place of a stream`, async t => {
      const { service, remote } = await start(t, exchange => {
        act(exchange)
        return true
      }, { transport: 'sse', says })
      t.match(await initialize(new RawClient(service)), { error: { message: says } })
      assertNoToken(t, remote)
    })
  }

  t.test('a stream that ends in the middle of a call', async t => {
    let stream: Exchange | undefined
    const { service, remote } = await start(t, exchange => {
      const { verb, method, id, response } = exchange
      if (verb === 'GET') {
        stream = exchange
        exchange.stream(endpoint('/messages?id=1'))
      } else {
        response.writeHead(202).end()
        if (method === 'initialize') {
          stream?.stream(event({
            jsonrpc: '2.0',
            id,
            result: { protocolVersion: '2024-11-05', capabilities: {}, serverInfo: { name: 'x', version: '1' } }
          }))
        } else if (method === 'tools/call' && remote.of('tools/call').length === 1) stream?.response.destroy()
        else if (id !== undefined) stream?.stream(event(result(id)))
      }
      return true
    }, { transport: 'sse' })
    const client = await new RawClient(service).connect('2024-11-05')
    t.match(await lastMessage(await client.request('tools/call', { name: 'x' })), {
      error: { message: /closed the (?:connection|stream)/ }
    })
    const next = await lastMessage(await client.request('tools/call', { name: 'x' }))
    t.match(next, { result: {} }, 'the next one connects')
    t.equal(remote.of('initialize').length, 2)
    assertNoToken(t, remote)
  })
})
