import { JSONRPCMessageSchema, SUPPORTED_PROTOCOL_VERSIONS } from '@modelcontextprotocol/sdk/types.js'
import { classifyInboundRequest, PROTOCOL_VERSION_META_KEY } from '@modelcontextprotocol/server'
import fc from 'fast-check'
import type { LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { isMessage as takenForMessage } from '../../src/mcp/wire/messages.js'
import { InvalidParamsError } from '../../src/errors.js'
import { isObject } from '../../src/members.js'
import { classifyPost } from '../../src/mcp/modern/classify.js'
import {
  STANDALONE_STREAM,
  firstEventId,
  type EventReader,
  type Following,
  type StreamEvent
} from '../../src/stores/event-log.js'
import { MemoryEventLog } from '../../src/stores/memory/event-log.js'
import { parseObject, textAt, valueAt } from '../support/json.js'
import { ControlledServer, say, type WaitingCall } from '../support/controlled-server.js'
import { parseData, readEvents } from '../support/raw-http.js'
import { initializeParams, RawClient, startMcp } from '../support/mcp-harness.js'

/** What happens to one of several streams. */
const step = fc.record({ stream: fc.nat(2), what: fc.constantFrom('send', 'send', 'cut', 'resume', 'resume twice') })
const steps = fc.array(step, { maxLength: 40 })

/** A client of one stream of an event log. */
class LogClient implements EventReader {
  readonly seen: string[] = []
  lastId: string
  ended = false
  following: Following | undefined

  constructor (readonly log: MemoryEventLog, readonly streamId: string) {
    this.lastId = firstEventId(streamId)
  }

  onEvent ({ eventId, data }: StreamEvent): void {
    this.lastId = eventId
    this.seen.push(data)
  }

  onEnd (): void {
    this.ended = true
  }

  cut (): void {
    this.following?.stop()
    this.following = undefined
  }

  async resume (): Promise<void> {
    // what was there hears nothing any more
    this.following = await this.log.follow('session', this.streamId, this.lastId, this)
  }
}

t.test('event log: whatever is sent, cut and resumed, each client has every message once and in order', async t => {
  await fc.assert(fc.asyncProperty(steps, async steps => {
    const log = new MemoryEventLog()
    const clients = ['a', 'b', STANDALONE_STREAM].map(streamId => new LogClient(log, streamId))
    const sent = clients.map(() => new Array<string>())
    for (const { streamId } of clients.slice(0, 2)) await log.open('session', streamId, {})
    for (const { stream, what } of steps) {
      const client = clients[stream]
      if (client === undefined) continue
      if (what === 'cut') {
        client.cut()
      } else if (what === 'resume') {
        await client.resume()
      } else if (what === 'resume twice') {
        // as a client does that believes its connection dead
        await Promise.all([client.resume(), client.resume()])
      } else {
        const message = `${stream}:${sent[stream]?.length}`
        sent[stream]?.push(message)
        void log.append('session', client.streamId, [{ data: message }])
      }
    }
    for (const [index, client] of clients.entries()) {
      sent[index]?.push('last')
      void log.append('session', client.streamId, [{ data: 'last', isFinal: client.streamId !== STANDALONE_STREAM }])
      if (!client.ended) await client.resume()
    }
    log.close()
    t.same(clients.map(({ seen }) => seen), sent)
    t.same(clients.map(({ ended }) => ended), [true, true, false])
    return t.passing()
  }), { numRuns: 500 })
})

/** A client of one SSE stream of the service. */
class StreamClient {
  readonly seen: string[] = []
  #lastId: string | undefined
  #abort = new AbortController()
  #reading: Promise<void> = Promise.resolve()

  constructor (readonly client: RawClient) {}

  /** Sends a request that is answered with a stream; resolves once the stream has begun. */
  async call (name: string): Promise<void> {
    await this.#read(this.client.request('tools/call', { name: 'wait', arguments: { name } }, {}, this.#abort.signal))
  }

  /** Opens the stream, or takes it up again where it was cut. */
  async resume (): Promise<void> {
    await this.cut()
    await this.#read(
      this.client.get(this.#lastId === undefined ? {} : { 'last-event-id': this.#lastId }, this.#abort.signal)
    )
  }

  async cut (): Promise<void> {
    this.#abort.abort()
    await this.#reading
    this.#abort = new AbortController()
  }

  /** Reads until the stream ends. */
  async done (): Promise<void> {
    await this.#reading
  }

  async #read (responding: Promise<Response>): Promise<void> {
    const response = await responding
    if (response.status === 204) return
    if (response.status !== 200) throw new Error(`the stream is refused: ${response.status}`)
    await new Promise<void>(resolve => {
      const read = async () => {
        for await (const event of readEvents(response)) {
          if (event.id !== undefined) this.#lastId = event.id
          const message = parseData(event)
          if (message !== undefined) {
            this.seen.push(
              valueAt(message, 'params') !== undefined
                ? textAt(message, 'params', 'data')
                : textAt(message, 'result', 'content', 0, 'text')
            )
          }
          // from the first event on it can be resumed
          resolve()
        }
      }
      this.#reading = read().catch(() => {}).finally(resolve)
    })
  }
}

t.test('transport: whatever is sent, cut and resumed, each client has every message once and in order', async t => {
  const plug = new ControlledServer()
  const service = await startMcp(t, { createServer: plug.createServer, limits: { maxSessionsPerOwner: 1000 } })
  let run = 0
  await fc.assert(fc.asyncProperty(steps, async steps => {
    const raw = await new RawClient(service).connect()
    const { server } = plug.server
    const clients = [new StreamClient(raw), new StreamClient(raw), new StreamClient(raw)]
    const calls: WaitingCall[] = []
    const sent = clients.map(() => new Array<string>())
    const send = async (stream: number, text: string) => {
      sent[stream]?.push(text)
      const call = calls[stream]
      if (call === undefined) await server.sendLoggingMessage({ level: 'info', data: text })
      else await say(call, text)
    }
    for (const stream of [0, 1]) {
      const name = `${++run}-${stream}`
      const begun = clients[stream]?.call(name)
      calls.push(await plug.call(name))
      await send(stream, 'first')
      await begun
    }
    for (const { stream, what } of steps) {
      if (what === 'send') await send(stream, `${stream}:${sent[stream]?.length}`)
      else if (what === 'cut') await clients[stream]?.cut()
      else await clients[stream]?.resume()
    }
    for (const [stream, client] of clients.entries()) {
      sent[stream]?.push('last')
      const call = calls[stream]
      if (call !== undefined) {
        call.finish('last')
        await client.resume()
        await client.done()
      } else {
        await client.resume()
        await server.sendLoggingMessage({ level: 'info', data: 'last' })
      }
    }
    // the standalone stream ends with its session
    while (clients[2]?.seen.at(-1) !== 'last') await new Promise(resolve => setImmediate(resolve))
    await fetch(`${service.url}/mcp`, { method: 'DELETE', headers: raw.headers() })
    await clients[2]?.done()
    t.same(clients.map(({ seen }) => seen), sent)
    return t.passing()
  }), { numRuns: 60 })
  t.same(service.app.mcpSessions.counts, { sessions: 0, instances: 0, streams: 0 }, 'and nothing is left behind')
})

const id = fc.oneof({ arbitrary: fc.oneof(fc.integer(), fc.string()), weight: 4 }, {
  arbitrary: fc.constantFrom(null, 1.5, true, {}, '__proto__'),
  weight: 1
})
// not `subscriptions/listen` (2026-07-28), whose answer stays open
const method = fc.oneof({
  arbitrary: fc.constantFrom(
    'initialize',
    'ping',
    'tools/list',
    'tools/call',
    'resources/list',
    'resources/templates/list',
    'resources/read',
    'resources/subscribe',
    'prompts/list',
    'prompts/get',
    'completion/complete',
    'logging/setLevel',
    'server/discover',
    'notifications/initialized',
    'notifications/cancelled',
    'notifications/progress',
    'tasks/get',
    'constructor',
    '__proto__',
    'toString'
  ),
  weight: 9
}, { arbitrary: fc.string(), weight: 1 })
const meta = fc.oneof(fc.constant({}), fc.dictionary(fc.string(), fc.jsonValue()), fc.record({
  progressToken: fc.oneof(fc.integer(), fc.string(), fc.jsonValue()),
  'io.modelcontextprotocol/protocolVersion': fc.constantFrom('2026-07-28', '2026-07-28', '2025-11-25', 'x', 1),
  'io.modelcontextprotocol/clientInfo': fc.constantFrom({ name: 'x', version: '1' }, {}, 1),
  'io.modelcontextprotocol/clientCapabilities': fc.constantFrom({}, { sampling: {} }, 1),
  'io.modelcontextprotocol/related-task': fc.constantFrom({ taskId: 'x' }, 1)
}, { requiredKeys: [] }))
const params = fc.oneof({ arbitrary: fc.jsonValue(), weight: 1 }, {
  arbitrary: fc.record({
    name: fc.constantFrom('add', 'divide', 'whoami', 'greet', 'none', 'constructor'),
    arguments: fc.oneof(
      fc.jsonValue(),
      fc.record({ l: fc.double({ noNaN: true }), r: fc.double({ noNaN: true }) }),
      fc.constant({ name: 'x' }),
      fc.constant({})
    ),
    uri: fc.oneof(fc.string(), fc.constant('about://server')),
    ref: fc.oneof(fc.jsonValue(), fc.constant({ type: 'ref/prompt', name: 'greet' })),
    argument: fc.oneof(fc.jsonValue(), fc.constant({ name: 'name', value: 'x' })),
    task: fc.oneof(fc.jsonValue(), fc.constant({ ttl: 1 })),
    requestId: id,
    level: fc.constantFrom('debug', 'x'),
    cursor: fc.string(),
    _meta: meta
  }, { requiredKeys: [] }),
  weight: 5
}, { arbitrary: fc.constant(initializeParams()), weight: 1 })
const message = fc.oneof(
  { arbitrary: fc.jsonValue(), weight: 1 },
  {
    arbitrary: fc.record({
      jsonrpc: fc.constantFrom('2.0', '2.0', '2.0', '1.0', 2),
      id,
      method,
      params,
      more: fc.jsonValue()
    }, { requiredKeys: [] }),
    weight: 1
  },
  {
    arbitrary: fc.record({ jsonrpc: fc.constant('2.0'), id: fc.oneof(fc.integer(), fc.string()), method, params }, {
      requiredKeys: ['jsonrpc', 'method', 'id']
    }),
    weight: 5
  },
  {
    arbitrary: fc.record({ jsonrpc: fc.constant('2.0'), method, params }, { requiredKeys: ['jsonrpc', 'method'] }),
    weight: 1
  },
  {
    arbitrary: fc.record({ jsonrpc: fc.constant('2.0'), id, result: fc.jsonValue(), error: fc.jsonValue() }, {
      requiredKeys: ['jsonrpc', 'id']
    }),
    weight: 1
  }
)
const body = fc.oneof(
  { arbitrary: fc.uint8Array({ maxLength: 200 }).map(bytes => Buffer.from(bytes)), weight: 1 },
  { arbitrary: fc.string().map(text => Buffer.from(text)), weight: 1 },
  {
    arbitrary: fc.oneof({ arbitrary: message, weight: 3 }, {
      arbitrary: fc.array(message, { maxLength: 4 }),
      weight: 1
    }).map(value => Buffer.from(JSON.stringify(value))),
    weight: 8
  }
)
const oddHeaders = fc.record({
  'mcp-protocol-version': fc.constantFrom('2025-03-26', '2025-06-18', '2025-11-25', '2026-07-28', 'x'),
  'mcp-method': fc.oneof(method.filter(name => /^[!-~]+$/.test(name)), fc.constant('x')),
  'mcp-name': fc.constantFrom('add', 'x'),
  'content-type': fc.constantFrom(
    'application/json',
    'application/json; charset=utf-8',
    'text/plain',
    'application/json; charset=latin1',
    ';'
  ),
  accept: fc.constantFrom('*/*', 'application/json', 'x'),
  'last-event-id': fc.constantFrom('x', 'get:0')
}, { requiredKeys: [] })
const headers = fc.oneof({ arbitrary: fc.constant({}), weight: 3 }, { arbitrary: oddHeaders, weight: 1 }, {
  arbitrary: fc.constantFrom({ 'mcp-protocol-version': '2026-07-28' }, { 'mcp-protocol-version': '2025-03-26' }),
  weight: 1
})
const post = fc.record({ body, session: fc.constantFrom('2025-03-26', '2025-11-25', undefined), headers })

/** @returns what is wrong with an answer; undefined where nothing is */
function faultOf ({ statusCode, headers, body }: LightMyRequestResponse): string | undefined {
  const type = String(headers['content-type'])
  if (statusCode === 202) return body === '' ? undefined : 'a 202 with a body'
  if (type === 'text/event-stream' && statusCode === 200) {
    const data = [...body.matchAll(/^data: (.+)$/gm)].map(match => match[1] ?? '')
    return data.every(isAnswer) ? undefined : 'a stream of what is no JSON-RPC'
  }
  if (!type.startsWith('application/json')) return `content type ${type}`
  if (statusCode === 200) return isAnswer(body) ? undefined : 'no JSON-RPC answer'
  if (statusCode < 400 || statusCode >= 500) return `status ${statusCode}`
  const { jsonrpc, error } = parseObject(body)
  return jsonrpc === '2.0' && Number.isInteger(valueAt(error, 'code')) && typeof valueAt(error, 'message') === 'string'
    ? undefined
    : `a ${statusCode} without a JSON-RPC error`
}

function isAnswer (text: string): boolean {
  const value: unknown = JSON.parse(text)
  return Array.isArray(value) ? value.length > 0 && value.every(isMessage) : isMessage(value)
}

// an answer to what could not be read has the id null (JSON-RPC 2.0), which the SDK's schema does not know
function isMessage (value: unknown): boolean {
  if (typeof value === 'object' && value !== null && 'id' in value && value.id === null) {
    return JSONRPCMessageSchema.safeParse({ ...value, id: 0 }).success
  }
  return JSONRPCMessageSchema.safeParse(value).success
}

const nearMeta = fc.record({
  [PROTOCOL_VERSION_META_KEY]: fc.constantFrom<unknown>('2026-07-28', '2025-11-25', 1),
  progressToken: fc.constantFrom<unknown>(1, 'x', null)
}, { requiredKeys: [] })

/** A message, or nearly. */
const nearMessage = fc.tuple(
  fc.constantFrom<object>({ jsonrpc: '2.0' }, { jsonrpc: '2.0' }, { jsonrpc: '2.0' }, { jsonrpc: '1.0' }, {}),
  fc.constantFrom<object>(
    { method: 'tools/call' },
    { method: 'initialize' },
    { method: 'notifications/x' },
    { method: '' },
    { method: null },
    {}
  ),
  fc.constantFrom<object>({}, { id: 1 }, { id: 'x' }, { id: null }, { id: 1.5 }, { id: 2 ** 60 }),
  fc.oneof(
    fc.constantFrom<object>(
      {},
      { params: {} },
      { params: { name: 'x' } },
      { params: { protocolVersion: '2026-07-28' } },
      { params: null },
      { params: [] },
      { params: { _meta: null } }
    ),
    nearMeta.map(_meta => ({ params: { _meta } }))
  ),
  fc.constantFrom<object>({}, {}, {}, {}, { result: {} }, { error: { code: 1, message: 'x' } }, { other: 1 })
).map(parts => parts.reduce((message, part) => ({ ...message, ...part })))

const nearHeaders = fc.record({
  'mcp-protocol-version': fc.constantFrom(
    ...SUPPORTED_PROTOCOL_VERSIONS,
    '2026-07-28',
    '2026-07-28',
    '2027-01-01',
    '',
    'none'
  ),
  'mcp-method': fc.constantFrom('initialize', 'tools/call')
}, { requiredKeys: [] })

// what has wrong parameters is refused before its era matters; a newer revision is negotiated, whatever the SDK says
const isAsTheSdkSays = (post: ReturnType<typeof classifyPost>, sdk: string, isNegotiation: boolean): boolean =>
  (isNegotiation && post.kind === 'legacy') || (post.kind === 'invalid' && post.error instanceof InvalidParamsError) ||
  (post.kind === 'modern') === (sdk !== 'legacy')

function isNegotiation (body: object, version: string | undefined): boolean {
  return 'method' in body && body.method === 'initialize' && 'params' in body && isObject(body.params) &&
    body.params.protocolVersion === version && version !== undefined
}

t.test('a look at a message tells what the SDKs would', async () => {
  fc.assert(
    fc.property(nearMessage, nearHeaders, (body, headers) => {
      const { 'mcp-protocol-version': protocolVersionHeader, 'mcp-method': mcpMethodHeader } = headers
      const route = classifyInboundRequest({
        httpMethod: 'POST',
        body,
        ...protocolVersionHeader !== undefined && { protocolVersionHeader },
        ...mcpMethodHeader !== undefined && { mcpMethodHeader }
      })
      return takenForMessage(body) === JSONRPCMessageSchema.safeParse(body).success &&
        isAsTheSdkSays(classifyPost(headers, body), route.kind, isNegotiation(body, protocolVersionHeader))
    }),
    { numRuns: 1000 }
  )
})

for (const sessionMode of ['stateful', 'stateless'] as const) {
  t.test(`any bytes POSTed to /mcp get a 4xx or a valid answer (${sessionMode})`, async (t: Test) => {
    const service = await startMcp(t, { sessionMode })
    const sessions = new Map<string, string>()
    if (sessionMode === 'stateful') {
      for (const protocolVersion of ['2025-03-26', '2025-11-25']) {
        sessions.set(protocolVersion, (await new RawClient(service).connect(protocolVersion)).sessionId ?? '')
      }
    }
    await fc.assert(fc.asyncProperty(post, async ({ body, session, headers }) => {
      const sessionId = session && sessions.get(session)
      const response = await service.app.inject({
        method: 'POST',
        url: '/mcp',
        headers: {
          host: new URL(service.url).host,
          authorization: 'Bearer alice',
          accept: 'application/json, text/event-stream',
          'content-type': 'application/json',
          ...sessionId !== undefined && { 'mcp-session-id': sessionId },
          ...headers
        },
        payload: body
      })
      const fault = faultOf(response)
      if (fault !== undefined) throw new Error(`${fault}: ${response.statusCode} ${response.body}`)
    }), { numRuns: 1000 })
    t.pass('no answer was wrong')
  })
}
