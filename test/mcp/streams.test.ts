import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import t from 'tap'
import { valueAt } from '../support/json.js'
import { ControlledServer, say } from '../support/controlled-server.js'
import { parseData, readEvents, next, type SseEvent } from '../support/raw-http.js'
import { RawClient, startMcp } from '../support/mcp-harness.js'

const wait = (name: string) => ({ name: 'wait', arguments: { name } })

t.test('a quiet call is answered with JSON', async t => {
  const plug = new ControlledServer()
  const client = await new RawClient(await startMcp(t, { createServer: plug.createServer })).connect()
  const pending = client.request('tools/call', wait('quiet'))
  const call = await plug.call('quiet')
  call.finish('done')
  const response = await pending
  t.match(response.headers.get('content-type'), /^application\/json/)
  t.match(await response.json(), { result: { content: [{ text: 'done' }] } })
})

t.test('the first message before the answer makes it a stream', async t => {
  const plug = new ControlledServer()
  const service = await startMcp(t, { createServer: plug.createServer, streams: { retryMs: 77 } })
  for (
    const [protocolVersion, primed] of [['2025-03-26', false], ['2025-06-18', false], ['2025-11-25', true]] as const
  ) {
    const client = await new RawClient(service).connect(protocolVersion)
    const pending = client.request('tools/call', wait(protocolVersion))
    const call = await plug.call(protocolVersion)
    await say(call, 'first')
    const response = await pending
    t.equal(response.headers.get('content-type'), 'text/event-stream')
    t.equal(response.headers.get('x-accel-buffering'), 'no')
    const events = readEvents(response)
    if (primed) t.match(await next(events), { id: /./, retry: '77', data: '' }, 'the priming event comes first')
    const first = await next(events)
    t.match(first, { event: 'message', id: /./ }, `${protocolVersion}: ${primed ? 'then' : 'at once'} the message`)
    t.match(parseData(first), { method: 'notifications/message', params: { data: 'first' } })
    await say(call, 'second')
    call.finish('done')
    t.match(parseData(await next(events)), { params: { data: 'second' } })
    t.match(parseData(await next(events)), { result: { content: [{ text: 'done' }] } })
    t.ok((await events.next()).done, 'the stream ends with the answer')
  }
})

t.test('silence makes it a stream', async t => {
  const plug = new ControlledServer()
  const client = await new RawClient(await startMcp(t, { createServer: plug.createServer, streams: { silenceMs: 1 } }))
    .connect()
  const response = await client.request('tools/call', wait('slow'))
  t.equal(response.headers.get('content-type'), 'text/event-stream', 'the headers come before the answer')
  const call = await plug.call('slow')
  call.finish('done')
  const events = readEvents(response)
  t.match(await next(events), { data: '' })
  t.match(parseData(await next(events)), { result: { content: [{ text: 'done' }] } })
})

t.test('a call continues when its connection drops, and only its stream is resumed', async t => {
  const plug = new ControlledServer()
  const client = await new RawClient(await startMcp(t, { createServer: plug.createServer })).connect()
  const abort = new AbortController()
  const pending = client.request('tools/call', wait('cut'), {}, abort.signal)
  const call = await plug.call('cut')
  await say(call, 'one')
  const events = readEvents(await pending)
  await next(events)
  const one = await next(events)
  abort.abort()
  await t.rejects(events.next())

  // another stream of the session goes its own way
  const other = client.request('tools/call', wait('other'))
  await say(await plug.call('other'), 'not for you')
  await other
  await say(call, 'two')
  t.notOk(call.extra.signal.aborted, 'a cut connection cancels nothing')

  const resumed = await client.get({ 'last-event-id': one.id ?? '' })
  t.equal(resumed.status, 200)
  const rest = readEvents(resumed)
  t.match(parseData(await next(rest)), { params: { data: 'two' } })
  await say(call, 'three')
  t.match(parseData(await next(rest)), { params: { data: 'three' } }, 'then live')
  call.finish('done')
  const last = await next(rest)
  t.match(parseData(last), { result: { content: [{ text: 'done' }] } })
  t.ok((await rest.next()).done)

  const again = readEvents(await client.get({ 'last-event-id': one.id ?? '' }))
  t.match([parseData(await next(again)), parseData(await next(again)), parseData(await next(again))], [
    { params: { data: 'two' } },
    { params: { data: 'three' } },
    { result: {} }
  ], 'the answer waits in the log')
  t.ok((await again.next()).done)
  t.equal((await client.get({ 'last-event-id': last.id ?? '' })).status, 204, 'nothing is left: stop reconnecting')
  t.equal((await client.get({ 'last-event-id': 'nonsense' })).status, 400)

  const bob = await new RawClient(client.service, 'bob').connect()
  t.equal((await bob.get({ 'last-event-id': one.id ?? '' })).status, 204, 'nobody reads the streams of others')
})

t.test('the server may let go of the connection (SEP-1699)', async t => {
  const plug = new ControlledServer()
  const client = await new RawClient(await startMcp(t, { createServer: plug.createServer, streams: { retryMs: 5 } }))
    .connect()
  const pending = client.request('tools/call', wait('polled'))
  const call = await plug.call('polled')
  call.extra.closeSSEStream?.()
  const response = await pending
  const events = readEvents(response)
  const primed = await next(events)
  t.match(primed, { id: /./, retry: '5', data: '' })
  t.ok((await events.next()).done, 'the connection ends')
  call.finish('done')
  const rest = readEvents(await client.get({ 'last-event-id': primed.id ?? '' }))
  t.match(parseData(await next(rest)), { result: { content: [{ text: 'done' }] } })
})

t.test('what belongs to no request goes to the standalone stream, once', async t => {
  const plug = new ControlledServer()
  const service = await startMcp(t, { createServer: plug.createServer })
  const client = await new RawClient(service).connect()
  await plug.server.server.sendLoggingMessage({ level: 'info', data: 'before any stream' })
  const abort = new AbortController()
  const first = readEvents(await client.get({}, abort.signal))
  t.match(
    parseData(await next(first)),
    { params: { data: 'before any stream' } },
    'what nobody has got yet is delivered'
  )
  await plug.server.server.sendLoggingMessage({ level: 'info', data: 'live' })
  const live = await next(first)
  t.match(parseData(live), { params: { data: 'live' } })

  const second = readEvents(await client.get())
  t.match(await next(second), { data: '', id: live.id ?? '' }, 'a second stream begins where the first one is')
  await plug.server.server.sendLoggingMessage({ level: 'info', data: 'to one' })
  t.match(parseData(await next(second)), { params: { data: 'to one' } }, 'the newest stream gets it')
  const silent = first.next()
  abort.abort()
  await t.rejects(silent, 'the older one stayed open, and silent')

  const resumed = readEvents(await client.get({ 'last-event-id': live.id ?? '' }))
  t.match(parseData(await next(resumed)), { params: { data: 'to one' } }, 'Last-Event-ID replays what was cut')
})

t.test('heartbeats keep an idle stream open', async t => {
  const client = await new RawClient(await startMcp(t, { streams: { heartbeatMs: 5 } })).connect('2025-06-18')
  const response = await client.get()
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  while (text.length < 6) text += (await reader?.read())?.value
  t.match(text, /^(:\n)+$/)
  await reader?.cancel()
})

t.test('a cancelled call ends without an answer', async t => {
  const plug = new ControlledServer()
  const client = await new RawClient(await startMcp(t, { createServer: plug.createServer })).connect()
  const pending = client.post({ jsonrpc: '2.0', id: 'mine', method: 'tools/call', params: wait('cancelled') })
  const call = await plug.call('cancelled')
  const aborted = once(call.extra.signal, 'abort')
  t.equal((await client.notify('notifications/cancelled', { requestId: 'mine' })).status, 202)
  await aborted
  const response = await pending
  t.equal(response.headers.get('content-type'), 'text/event-stream')
  t.equal((await readEvents(response).next()).done, true)
})

t.test('batches are for 2025-03-26', async t => {
  const plug = new ControlledServer()
  const client = await new RawClient(await startMcp(t, { createServer: plug.createServer })).connect('2025-03-26')
  const quiet = await client.post([{ jsonrpc: '2.0', id: 1, method: 'ping' }, {
    jsonrpc: '2.0',
    method: 'notifications/x'
  }, { jsonrpc: '2.0', id: 2, method: 'ping' }])
  t.same(await quiet.json(), [{ jsonrpc: '2.0', id: 1, result: {} }, { jsonrpc: '2.0', id: 2, result: {} }])
  t.equal((await client.post([{ jsonrpc: '2.0', method: 'notifications/x' }])).status, 202)
  t.equal((await client.post([{ jsonrpc: '2.0', id: 1, method: 'initialize', params: {} }])).status, 400)

  const pending = client.post([{ jsonrpc: '2.0', id: 3, method: 'ping' }, {
    jsonrpc: '2.0',
    id: 4,
    method: 'tools/call',
    params: wait('batched')
  }])
  const call = await plug.call('batched')
  await say(call, 'hello')
  call.finish('done')
  const events = readEvents(await pending)
  const messages = [parseData(await next(events)), parseData(await next(events)), parseData(await next(events))]
  t.same(new Set(messages.map(message => valueAt(message, 'id'))), new Set([3, 4, undefined]))
  t.ok((await events.next()).done)
})

t.test('HTTP+SSE: one stream, and the session ends with it', async t => {
  const service = await startMcp(t)
  const headers = { authorization: 'Bearer alice', 'content-type': 'application/json' }
  const abort = new AbortController()
  const response = await fetch(`${service.url}/sse`, {
    headers: { ...headers, accept: 'text/event-stream' },
    signal: abort.signal
  })
  const events = readEvents(response)
  const endpoint = await next(events)
  t.equal(endpoint.event, 'endpoint')
  const url = endpoint.data ?? ''
  t.match(url, `${service.url}/messages?sessionId=`, 'the endpoint is our public URL')
  const post = (body: unknown, token = 'alice') =>
    fetch(url, {
      method: 'POST',
      headers: { ...headers, authorization: `Bearer ${token}` },
      body: JSON.stringify(body)
    })
  t.equal((await post({ jsonrpc: '2.0', id: 1, method: 'ping' })).status, 202)
  t.match(await next(events), { event: 'message', data: '{"result":{},"jsonrpc":"2.0","id":1}', id: undefined })
  t.equal((await post({ jsonrpc: '2.0', id: 1, method: 'ping' }, 'bob')).status, 404)
  const sessionId = new URL(url).searchParams.get('sessionId') ?? ''
  const wrong = await fetch(`${service.url}/mcp`, {
    method: 'POST',
    headers: { ...headers, accept: '*/*', 'mcp-session-id': sessionId },
    body: '{"jsonrpc":"2.0","id":1,"method":"ping"}'
  })
  t.equal(wrong.status, 404, 'a session has one transport')
  const ended = new Promise<void>(resolve => { service.bus.subscribe('sessionEnded', () => { resolve() }) })
  abort.abort()
  await ended
  t.equal((await post({ jsonrpc: '2.0', id: 1, method: 'ping' })).status, 404)
})

t.test('an ended grant ends its streams and calls', async t => {
  const plug = new ControlledServer()
  const service = await startMcp(t, { createServer: plug.createServer })
  const client = await new RawClient(service).connect()
  const stream = readEvents(await client.get())
  await next(stream)
  const pending = client.request('tools/call', wait('revoked'))
  const call = await plug.call('revoked')
  await service.bus.publish('grantEnded', { grantId: 'grant-of-alice' })
  t.ok((await stream.next()).done, 'the stream has ended')
  t.match(await (await pending).json(), { error: { code: -32000 } }, 'the call is answered')
  t.ok(call.extra.signal.aborted, 'and cancelled')
})

t.test('closing is quick, whatever is open', async t => {
  const plug = new ControlledServer()
  const service = await startMcp(t, { createServer: plug.createServer, drainSeconds: 0.1 })
  const client = await new RawClient(service).connect()
  const standalone = readEvents(await client.get())
  await next(standalone)
  const quiet = client.request('tools/call', wait('quiet'))
  await plug.call('quiet')
  const streamed = client.request('tools/call', wait('streamed'))
  await say(await plug.call('streamed'), 'hello')
  const events = readEvents(await streamed)
  const legacy = httpRequest(`${service.url}/sse`, {
    headers: { authorization: 'Bearer alice', accept: 'text/event-stream' }
  }).end()
  const response = await new Promise<IncomingMessage>(resolve => legacy.once('response', resolve))
  response.resume()

  const began = performance.now()
  await service.app.close()
  t.ok(performance.now() - began < 1000, `closed in ${Math.round(performance.now() - began)} ms`)
  t.ok((await standalone.next()).done)
  t.match(await (await quiet).json(), { error: { message: /shutting down/ } })
  const last: SseEvent[] = []
  for await (const event of events) last.push(event)
  t.match(parseData(last.at(-1)), { error: { message: /shutting down/ } })
})
