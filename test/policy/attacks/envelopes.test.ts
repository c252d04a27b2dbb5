import fc from 'fast-check'
import t, { type Test } from 'tap'
import { getMember } from '../../../src/members.js'
import type { PolicyRules } from '../../../src/policy/rules.js'
import type { HostedService } from '../../attacks/eras.js'
import { initializeParams } from '../../support/mcp-harness.js'
import { hostPlug, PLUGS } from '../policy-server.js'

/*
 * What is hidden, in messages that a server may read otherwise than the policy does. Whatever it looks like: nothing
 * hidden runs, nothing is our own fault, and what is allowed beside it runs.
 */
const rules: PolicyRules = { roles: { all: { tools: ['open'], resources: ['doc://open'], prompts: ['open'] } } }
const OPEN = 'tool open'
const TASK = 'io.modelcontextprotocol/related-task'

/** A way to send a body of any text. */
interface Channel {
  sessionMode: 'stateful' | 'stateless'
  version: string
  /** What a message says in its `_meta`. */
  meta: Record<string, unknown>
}

const MODERN = '2026-07-28'
const modernMeta = {
  'io.modelcontextprotocol/protocolVersion': MODERN,
  'io.modelcontextprotocol/clientCapabilities': {}
}
const CHANNELS: Readonly<Record<string, Channel>> = {
  '2025-11-25 × session': { sessionMode: 'stateful', version: '2025-11-25', meta: {} },
  '2025-03-26 × session': { sessionMode: 'stateful', version: '2025-03-26', meta: {} },
  '2025-03-26 × sessionless': { sessionMode: 'stateless', version: '2025-03-26', meta: {} },
  '2026-07-28': { sessionMode: 'stateful', version: MODERN, meta: modernMeta }
}

interface Row {
  body: string
  headers?: Record<string, string>
  /** What runs. Absent: nothing, or what is allowed. */
  ran?: readonly string[]
  /** Absent: any that is not our own fault. */
  status?: number
}

const call = (name: string, id: unknown = 1, meta = {}) =>
  ({ jsonrpc: '2.0', id, method: 'tools/call', params: { name, arguments: {}, _meta: meta } })
const withoutId = ({ id, ...message }: ReturnType<typeof call>) => message
const text = (message: unknown) => JSON.stringify(message)

/** Messages one of whose members is there twice, or is another object's. */
function twins (meta: Record<string, unknown>): Readonly<Record<string, Row>> {
  const begin = '{"jsonrpc":"2.0","id":1,'
  const end = `"arguments":{},"_meta":${text(meta)}}}`
  const named = '"method":"tools/call","params":{"name":'
  const headers = { 'mcp-method': 'tools/call' }
  const secret = { ...headers, 'mcp-name': 'secret' }
  const open = { ...headers, 'mcp-name': 'open' }
  return {
    'a method twice': { body: `${begin}"method":"tools/list",${named}"secret",${end}`, headers: secret },
    'a method twice, the header of the first': {
      body: `${begin}"method":"tools/list",${named}"secret",${end}`,
      headers: { 'mcp-method': 'tools/list' }
    },
    'a name twice, the last hidden': {
      body: `${begin}${named}"open","name":"secret",${end}`,
      headers: secret,
      ran: []
    },
    '... the header of the first': { body: `${begin}${named}"open","name":"secret",${end}`, headers: open, ran: [] },
    'a name twice, the first hidden': {
      body: `${begin}${named}"secret","name":"open",${end}`,
      headers: open,
      ran: [OPEN]
    },
    'an escaped name': { body: `${begin}${named}"open","\\u006eame":"\\u0073ecret",${end}`, headers: open, ran: [] },
    'params twice': { body: `${begin}"params":{"name":"open"},${named}"secret",${end}`, headers: secret, ran: [] },
    'a name of __proto__': { body: `${begin}${named}"open","__proto__":{"name":"secret"},${end}`, headers: open },
    'no name but that of __proto__': {
      body: `${begin}"method":"tools/call","params":{"__proto__":{"name":"secret"},${end}`,
      headers: secret,
      ran: []
    },
    'params of __proto__': { body: `${begin}"method":"tools/call","__proto__":{"params":{"name":"secret"}}}`, ran: [] },
    'a name of constructor': {
      body: `${begin}${named}"open","constructor":{"prototype":{"name":"secret"}},${end}`,
      headers: open
    },
    'another name in the header': { body: text(call('secret', 1, meta)), headers: open, ran: [] },
    'another method in the header': {
      body: text(call('secret', 1, meta)),
      headers: { 'mcp-method': 'tools/list' },
      ran: []
    }
  }
}

const LONG = 'x'.repeat(100_000)

/** Messages that may be none, or ask for something by another way. */
function envelopes (meta: Record<string, unknown>): Readonly<Record<string, Row>> {
  const headers = { 'mcp-method': 'tools/call', 'mcp-name': 'secret' }
  const related = { ...meta, [TASK]: { taskId: 'made-up' } }
  const other = Object.keys(meta).length > 0 ? {} : modernMeta
  const ids = [null, {}, [1], 1.5, true, 1e300]
  const rows: Record<string, Row> = {
    'a notification': { body: text(withoutId(call('secret', 1, meta))), headers, ran: [] },
    'a notification of what is allowed': { body: text(withoutId(call('open', 1, meta))), ran: [] },
    'a long id': { body: text(call('secret', LONG, meta)), headers, ran: [] },
    'an empty id': { body: text(call('secret', '', meta)), headers, ran: [] },
    'a response, too': { body: text({ ...call('secret', 1, meta), result: {} }), headers, ran: [] },
    'an error, too': { body: text({ ...call('secret', 1, meta), error: { code: 1, message: 'x' } }), headers, ran: [] },
    'a method in another case': { body: text({ ...call('secret', 1, meta), method: 'Tools/Call' }), headers, ran: [] },
    'a method with a space': { body: text({ ...call('secret', 1, meta), method: 'tools/call ' }), headers, ran: [] },
    'params in a list': { body: text({ ...call('secret', 1, meta), params: ['secret'] }), headers, ran: [] },
    'params that are text': { body: text({ ...call('secret', 1, meta), params: 'secret' }), headers, ran: [] },
    'no params': { body: text({ jsonrpc: '2.0', id: 1, method: 'tools/call' }), headers, ran: [] },
    'another version of JSON-RPC': { body: text({ ...call('secret', 1, meta), jsonrpc: '1.0' }), headers, ran: [] },
    'a task that does not exist': { body: text(call('open', 1, related)), headers: { ...headers, 'mcp-name': 'open' } },
    'a _meta of the other era': { body: text(call('secret', 1, other)), headers, ran: [] },
    'a header of the other era': {
      body: text(call('secret', 1, meta)),
      headers: { ...headers, 'mcp-protocol-version': Object.keys(meta).length > 0 ? '2025-11-25' : MODERN },
      ran: []
    },
    'a header of no era': {
      body: text(call('secret', 1, meta)),
      headers: { ...headers, 'mcp-protocol-version': '2099-01-01' },
      ran: []
    }
  }
  for (const id of ids) rows[`an id that is ${text(id)}`] = { body: text(call('secret', id, meta)), headers, ran: [] }
  for (const method of ['tasks/get', 'tasks/result', 'tasks/cancel', 'tasks/update']) {
    const params = { taskId: 'made-up', _meta: meta }
    rows[method] = { body: text({ jsonrpc: '2.0', id: 1, method, params }), headers: { 'mcp-method': method }, ran: [] }
  }
  return rows
}

/** Batches, where there are any. */
function batches (meta: Record<string, unknown>): Readonly<Record<string, Row>> {
  return {
    'the same id': { body: text([call('open', 1, meta), call('secret', 1, meta)]), ran: [] },
    'an id as a number and as text': { body: text([call('open', 1, meta), call('secret', '1', meta)]) },
    'with a notification': { body: text([withoutId(call('secret', 1, meta)), call('open', 2, meta)]) },
    'of notifications': { body: text([withoutId(call('secret', 1, meta))]), ran: [] },
    'with a message of the other era': { body: text([call('open', 1, meta), call('secret', 2, modernMeta)]) },
    'with an id that is null': { body: text([call('open', 1, meta), call('secret', null, meta)]), ran: [] },
    'in a batch': { body: text([[call('secret', 1, meta)]]), ran: [] },
    'with a header of the other era': {
      body: text([call('secret', 1, meta), call('open', 2, meta)]),
      headers: { 'mcp-protocol-version': MODERN },
      ran: []
    }
  }
}

type Send = (body: string, headers?: Record<string, string>) => Promise<{ status: number, body: string }>

async function connect ({ url }: HostedService, { version, sessionMode, meta }: Channel): Promise<Send> {
  const headers: Record<string, string> = {
    authorization: 'Bearer mallory_mcp',
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream'
  }
  const post = async (body: string, more: Record<string, string> = {}) =>
    await fetch(`${url}/mcp`, { method: 'POST', headers: { ...headers, ...more }, body })
  if (sessionMode === 'stateful' && meta !== modernMeta) {
    const params = initializeParams(version)
    const opened = await post(text({ jsonrpc: '2.0', id: 0, method: 'initialize', params }))
    await opened.text()
    headers['mcp-session-id'] = opened.headers.get('mcp-session-id') ?? ''
    await (await post(text({ jsonrpc: '2.0', method: 'notifications/initialized' }))).text()
  }
  headers['mcp-protocol-version'] = version
  return async (body, more) => {
    const response = await post(body, more)
    return { status: response.status, body: await response.text() }
  }
}

async function check (t: Test, what: string, row: Row, { send, ran }: { send: Send, ran: string[] }): Promise<void> {
  const { status, body } = await send(row.body, row.headers)
  const all = ran.splice(0)
  const isOwnFault = status >= 500 || /-32603/.test(body)
  t.strictSame(
    [isOwnFault, all.filter(one => one !== OPEN), row.ran === undefined || all.length === row.ran.length],
    [false, [], true],
    what
  )
}

const MESSAGES: Readonly<Record<string, (id: number) => Record<string, unknown>>> = {
  open: id => call('open', id),
  secret: id => call('secret', id),
  notification: () => withoutId(call('secret')),
  resource: id => ({ jsonrpc: '2.0', id, method: 'resources/read', params: { uri: 'doc://secret' } }),
  subscription: id => ({ jsonrpc: '2.0', id, method: 'resources/subscribe', params: { uri: 'doc://secret' } }),
  prompt: id => ({ jsonrpc: '2.0', id, method: 'prompts/get', params: { name: 'secret' } }),
  list: id => ({ jsonrpc: '2.0', id, method: 'tools/list' })
}

async function anyBatch (t: Test, { send, ran }: { send: Send, ran: string[] }): Promise<void> {
  let lastId = 1000
  const kinds = fc.array(fc.constantFrom(...Object.keys(MESSAGES)), { minLength: 1, maxLength: 12 })
  await fc.assert(fc.asyncProperty(kinds, async kinds => {
    const messages = kinds.map(kind => MESSAGES[kind]?.(++lastId) ?? {})
    const { status, body } = await send(text(messages))
    const responses: unknown = body === '' ? [] : JSON.parse(body)
    const all = Array.isArray(responses) ? responses : []
    const asked = messages.flatMap(({ id }) => id ?? [])
    const results = text(all.map(one => getMember(one, 'result')))
    t.strictSame(
      [status, all.map(one => getMember(one, 'id')).sort(), ran.splice(0), /staff|secret/.test(results)],
      [asked.length > 0 ? 200 : 202, asked, kinds.filter(kind => kind === 'open').map(() => OPEN), false],
      kinds.join(' ')
    )
  }), { numRuns: 20 })
}

for (const [name, channel] of Object.entries(CHANNELS)) {
  for (const [line, makePlug] of Object.entries(PLUGS)) {
    t.test(`${name}, ${line}`, async t => {
      const { sessionMode, version, meta } = channel
      const way = { sessionMode, takesBatches: false, connect: async () => { throw new Error('not used') } }
      const { service, ran } = await hostPlug(t, way, makePlug, rules)
      const send = await connect(service, channel)
      const rows = { ...twins(meta), ...envelopes(meta), ...batches(meta) }
      for (const [what, row] of Object.entries(rows)) await check(t, what, row, { send, ran })
      if (version === '2025-03-26') await anyBatch(t, { send, ran })
    })
  }
}
