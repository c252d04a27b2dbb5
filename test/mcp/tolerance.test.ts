import { request as httpRequest, type OutgoingHttpHeaders } from 'node:http'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { joinRepeated } from '../../src/mcp/wire/repeated-headers.js'
import { modernRequest } from '../../src/testing/modern-request.js'
import { initializeParams, RawClient, startMcp, type McpService } from '../support/mcp-harness.js'
import { parseObject } from '../support/json.js'

/*
 * What widespread clients send and the specification does not foresee is served, if it has one meaning only.
 */

interface Reply {
  status: number
  body: Record<string, unknown>
}

const JSON_HEADERS = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }
const META = {
  'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': {}
}
const SESSION_MODES = ['stateful', 'stateless'] as const

/** Sends what `fetch` cannot: one header several times. */
async function send (
  { url }: McpService,
  payload: unknown,
  headers: OutgoingHttpHeaders = {},
  { method = 'POST', path = '/mcp' } = {}
): Promise<Reply> {
  const body = payload === undefined ? undefined : JSON.stringify(payload)
  return await new Promise<Reply>((resolve, reject) => {
    const sent = httpRequest(url + path, {
      method,
      headers: { ...JSON_HEADERS, authorization: 'Bearer alice', ...headers }
    }, response => {
      text(response).then(answer => {
        resolve({ status: response.statusCode ?? 0, body: answer.startsWith('{') ? parseObject(answer) : {} })
      }, reject)
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

const initialize = (protocolVersion: string, meta?: object) => ({
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { ...initializeParams(protocolVersion), ...meta && { _meta: meta } }
})

for (const sessionMode of SESSION_MODES) {
  t.test(`${sessionMode}: initialize negotiates whatever revision its header names, if its body agrees`, async t => {
    const service = await startMcp(t, { sessionMode })
    const versions = ['2026-07-28', '2026-12-31', '2099-01-01', '2025-11-25', '2025-06-18', '2024-11-05', 'next']
    for (const version of versions) {
      const plain = await send(service, initialize(version))
      const named = await send(service, initialize(version), { 'mcp-protocol-version': version })
      t.equal(plain.status, 200, version)
      t.strictSame(named, plain, `${version}: as without the header`)
      const twice = await send(service, initialize(version), { 'mcp-protocol-version': [version, version] })
      t.strictSame(twice, plain, `${version}: twice`)
    }
    for (
      const [header, body] of [['2026-07-28', '2025-11-25'], ['2099-01-01', '2026-07-28'], ['2026-07-28', '2099-01-01']]
    ) {
      const refused = await send(service, initialize(body ?? ''), { 'mcp-protocol-version': header })
      t.match(refused, { status: 400, body: { error: { code: -32020 } } }, `${header} does not agree with ${body}`)
    }
    const claim = { ...META, 'io.modelcontextprotocol/protocolVersion': '2026-07-28' }
    const modern = await send(service, initialize('2026-07-28', claim), {
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': 'initialize'
    })
    t.notOk(modern.body.result, `one that claims 2026-07-28 in _meta is of that revision: ${JSON.stringify(modern)}`)
  })

  t.test(`${sessionMode}: params: null counts as none`, async t => {
    const service = await startMcp(t, { sessionMode })
    const headers = sessionMode === 'stateful' ? await openSession(service) : {}
    const message = (more: object) => ({ jsonrpc: '2.0', ...more })
    for (const method of ['ping', 'tools/list', 'prompts/list', 'resources/templates/list', 'nothing']) {
      const absent = await send(service, message({ id: 'x', method }), headers)
      const none = await send(service, message({ id: 'x', method, params: null }), headers)
      t.strictSame(none, absent, method)
    }
    t.equal((await send(service, message({ method: 'notifications/initialized', params: null }), headers)).status, 202)
    t.match(
      await send(service, message({ id: 7, method: 'tools/call', params: null }), headers),
      { body: { id: 7, error: { code: -32602 } } },
      'a method that takes some says so'
    )
    t.match(await send(service, message({ id: 7, method: 'ping', params: [] }), headers), {
      status: 400,
      body: { id: 7, error: { code: -32602 } }
    }, 'nothing else counts as none')
    const batch = [{ id: 1, method: 'ping', params: null }, { method: 'notifications/x', params: null }].map(message)
    const old = sessionMode === 'stateful'
      ? await openSession(service, '2025-03-26')
      : { 'mcp-protocol-version': '2025-03-26' }
    t.equal((await send(service, batch, old)).status, 200, 'in a batch')
  })
}

t.test('params: null in 2026-07-28 is what no params are', async t => {
  const service = await startMcp(t)
  const { headers } = modernRequest(1, 'tools/list', {}, META)
  const message = { jsonrpc: '2.0', id: 1, method: 'tools/list' }
  t.strictSame(
    await send(service, { ...message, params: null }, headers),
    await send(service, message, headers),
    'the error names what is missing in _meta'
  )
})

t.test('HTTP+SSE takes params: null, and a version header twice', async t => {
  const service = await startMcp(t)
  const abort = new AbortController()
  const stream = await fetch(`${service.url}/sse`, {
    headers: { authorization: 'Bearer alice', accept: 'text/event-stream' },
    signal: abort.signal
  })
  const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader()
  let seen = ''
  const readUntil = async (pattern: RegExp) => {
    while (!pattern.test(seen)) seen += (await reader?.read())?.value ?? t.fail(`the stream ended: ${seen}`)
    return pattern.exec(seen)?.[1] ?? ''
  }
  const { pathname, search } = new URL(await readUntil(/data: (\S+)\n/))
  const path = pathname + search
  const post = async (message: object, headers = {}) => (await send(service, message, headers, { path })).status
  t.equal(await post(initialize('2024-11-05'), { 'mcp-protocol-version': ['2024-11-05', '2024-11-05'] }), 202)
  await readUntil(/("id":1)/)
  t.equal(await post({ jsonrpc: '2.0', method: 'notifications/initialized', params: null }), 202)
  t.equal(await post({ jsonrpc: '2.0', id: 'null', method: 'tools/list', params: null }), 202)
  t.match(await readUntil(/("id":"null")/), '"id":"null"')
  t.match(seen, /"tools":\[/)
  abort.abort()
})

t.test('a session or version header that comes twice with one value counts once', async t => {
  const service = await startMcp(t)
  const session = await openSession(service)
  const id = session['mcp-session-id'] ?? ''
  const version = '2025-11-25'
  const ping = { jsonrpc: '2.0', id: 1, method: 'ping' }
  const call = async (ids: string | string[], versions: string | string[], method = 'POST') =>
    (await send(service, method === 'POST' ? ping : undefined, {
      'mcp-session-id': ids,
      'mcp-protocol-version': versions,
      // a GET that is not a stream's
      ...method === 'GET' && { 'last-event-id': ['none', 'none'] }
    }, { method })).status
  for (const twice of [[id, id], [id, id, id], `${id},${id}`, `${id} , ${id}`]) {
    t.equal(await call(twice, version), 200, JSON.stringify(twice))
  }
  t.equal(await call(id, [version, version]), 200)
  t.equal(await call([id, id], [version, version]), 200)
  t.equal(await call([id, id], [version, version], 'GET'), 400, 'GET: the session is found, the event is not')
  for (const other of [[id, 'other'], ['other', id], `${id},`, `,${id}`]) {
    t.equal(await call(other, version), 404, `${JSON.stringify(other)} is no session`)
  }
  t.equal(await call(id, [version, '2025-06-18']), 400, 'two revisions are none')
  t.equal(await call(id, `${version},`), 400)
  t.equal(await call([id, id], version, 'DELETE'), 200)
  t.equal(await call(id, version), 404, 'it was this session that ended')
})

t.test('headers of 2026-07-28 that come twice count once', async t => {
  const service = await startMcp(t)
  const call = modernRequest(1, 'tools/call', { name: 'add', arguments: { a: 1, b: 2 } }, META)
  const doubled = Object.fromEntries(
    Object.entries(call.headers).map(([name, value]) => [name, name.startsWith('mcp-') ? [value, value] : value])
  )
  const answer = await send(service, parseObject(call.body), doubled)
  t.match(answer, { status: 200, body: { result: { content: [{ text: '3' }] } } })
  t.equal((await send(service, parseObject(call.body), { ...doubled, 'mcp-name': ['add', 'other'] })).status, 400)
})

t.test('a name with a comma is one value', async t => {
  const joined = (value: string, rawHeaders: string[]) => {
    const headers = { 'mcp-name': value }
    joinRepeated(headers, rawHeaders)
    return headers['mcp-name']
  }
  t.equal(joined('a, a', ['Mcp-Name', 'a, a']), 'a, a')
  t.equal(joined('a, a', ['Mcp-Name', 'a', 'X', 'mcp-name', 'mcp-name', 'a']), 'a')
  t.equal(joined('a, b', ['Mcp-Name', 'a', 'Mcp-Name', 'b']), 'a, b')
})

async function openSession (service: McpService, version = '2025-11-25'): Promise<Record<string, string>> {
  const { sessionId = '' } = await new RawClient(service).connect(version)
  return { 'mcp-session-id': sessionId, 'mcp-protocol-version': version }
}
