import fc from 'fast-check'
import { near, type Header, type Honest, type RequestStep } from './steps.js'
import { asText, change, changed, oddJson, oddText } from './values.js'

const SESSION_REVISIONS = ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25'] as const
const bearer: Header = ['authorization', 'Bearer {{token:alice}}']
const accept: Header = ['accept', 'application/json, text/event-stream']
const json: Header = ['content-type', 'application/json']
const post: readonly Header[] = [['host', '{{host}}'], bearer, accept, json]

/** What clients call, with the parameters as they should be. */
const calls: ReadonlyArray<readonly [string, Record<string, unknown>?]> = [
  ['ping'],
  ['tools/list'],
  ['tools/list', { cursor: 'x' }],
  ['resources/list'],
  ['resources/templates/list'],
  ['prompts/list'],
  ['tasks/list'],
  ['server/discover'],
  ['tools/call', { name: 'add', arguments: { l: 1, r: 2 } }],
  ['tools/call', { name: 'ask', arguments: {} }],
  ['tools/call', { name: 'fails' }],
  ['tools/call', { name: 'guarded' }],
  ['tools/call', { name: 'progress', arguments: { steps: 3 }, _meta: { progressToken: 'p' } }],
  ['tools/call', { name: 'log' }],
  ['tools/call', { name: 'announce' }],
  ['tools/call', { name: 'big', arguments: { size: 3000 } }],
  ['tools/call', { name: 'waits', arguments: { ms: 80 } }],
  ['tools/call', { name: 'add', arguments: { l: 1, r: 2 }, task: { ttl: 1000 } }],
  ['resources/read', { uri: 'about://server' }],
  ['resources/read', { uri: 'item://7' }],
  ['resources/subscribe', { uri: 'about://server' }],
  ['resources/unsubscribe', { uri: 'about://server' }],
  ['prompts/get', { name: 'greet', arguments: { name: 'x' } }],
  ['completion/complete', { ref: { type: 'ref/prompt', name: 'greet' }, argument: { name: 'name', value: 'x' } }],
  ['logging/setLevel', { level: 'debug' }],
  ['tasks/get', { taskId: 'x' }],
  ['tasks/cancel', { taskId: 'x' }],
  ['tasks/result', { taskId: 'x' }],
  ['elicitation/create', { message: 'x' }],
  ['subscriptions/listen', { notifications: {} }],
  ['subscriptions/listen', { notifications: { toolsListChanged: true, resourceSubscriptions: ['about://server'] } }],
  ['constructor'],
  ['__proto__'],
  ['toString'],
  ['', {}]
]
const notifications: ReadonlyArray<readonly [string, Record<string, unknown>?]> = [
  ['notifications/initialized'],
  ['notifications/cancelled', { requestId: 1 }],
  ['notifications/progress', { progressToken: 'p', progress: 1 }],
  ['notifications/roots/list_changed'],
  ['notifications/message', { level: 'info', data: 1 }],
  ['notifications/tasks/status', { taskId: 'x', status: 'working' }],
  ['notifications/x'],
  ['tools/call', { name: 'add' }]
]

const id: fc.Arbitrary<unknown> = fc.oneof(
  { arbitrary: fc.nat(5), weight: 6 },
  { arbitrary: fc.string({ maxLength: 4 }), weight: 2 },
  { arbitrary: fc.constantFrom<unknown>('__proto__', '{{long:300}}', 2 ** 53, null, 1.5, {}), weight: 1 }
)
const request = fc
  .tuple(fc.constantFrom(...calls), id)
  .map(([[method, params], id]) => ({ jsonrpc: '2.0', id, method, ...(params && { params }) }))
const notification = fc
  .constantFrom(...notifications)
  .map(([method, params]) => ({ jsonrpc: '2.0', method, ...(params && { params }) }))
const response = fc
  .oneof(fc.constantFrom('{{serverRequest}}', 1, 'x'), id)
  .chain(id =>
    fc.constantFrom(
      { jsonrpc: '2.0', id, result: { action: 'accept', content: { colour: 'red' } } },
      { jsonrpc: '2.0', id, result: {} },
      { jsonrpc: '2.0', id, error: { code: -1, message: 'no' } }
    )
  )
const initialize = fc.constantFrom(...SESSION_REVISIONS, '2026-07-28', '1999-01-01', '').map(protocolVersion => ({
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: {
    protocolVersion,
    capabilities: { elicitation: {}, sampling: {}, roots: {} },
    clientInfo: { name: 'fuzz', version: '1' }
  }
}))
const message: fc.Arbitrary<unknown> = fc.oneof(
  { arbitrary: request, weight: 8 },
  { arbitrary: notification, weight: 2 },
  { arbitrary: response, weight: 1 },
  { arbitrary: initialize, weight: 1 },
  { arbitrary: oddJson, weight: 1 }
)

const changes = fc.oneof(
  { arbitrary: fc.constant([]), weight: 3 },
  { arbitrary: fc.array(change, { minLength: 1, maxLength: 3 }), weight: 2 }
)
/** Text of a message, a little off. */
const bodyOf = (message: fc.Arbitrary<unknown>) =>
  fc.tuple(message, changes, asText).map(([value, changes, asText]) => asText(changed(value, changes)))
const bodies = bodyOf(
  fc.oneof({ arbitrary: message, weight: 6 }, { arbitrary: fc.array(message, { maxLength: 4 }), weight: 1 })
)

const inSession = fc
  .tuple(
    bodies,
    fc.constantFrom(undefined, ...SESSION_REVISIONS),
    fc.constantFrom('alice', 'alice', 'last', 'last', 'dead')
  )
  .map(([body, version, owner]): Honest => ({
    method: 'POST',
    target: '/mcp',
    body,
    headers: [
      ...post,
      ['mcp-session-id', `{{session:${owner}}}`],
      ...(version === undefined ? [] : [['mcp-protocol-version', version] as const])
    ]
  }))
const sessionless = bodies.map((body): Honest => ({ method: 'POST', target: '/mcp', headers: post, body }))
const listening = fc.constantFrom<Honest>(
  {
    method: 'GET',
    target: '/mcp',
    headers: [['host', '{{host}}'], bearer, ['accept', 'text/event-stream'], ['mcp-session-id', '{{session:alice}}']]
  },
  {
    method: 'GET',
    target: '/mcp',
    headers: [
      ['host', '{{host}}'],
      bearer,
      ['accept', 'text/event-stream'],
      ['mcp-session-id', '{{session:last}}'],
      ['last-event-id', '{{event}}']
    ]
  },
  { method: 'GET', target: '/sse', headers: [['host', '{{host}}'], bearer, ['accept', 'text/event-stream']] },
  { method: 'DELETE', target: '/mcp', headers: [['host', '{{host}}'], bearer, ['mcp-session-id', '{{session:last}}']] },
  {
    method: 'DELETE',
    target: '/mcp',
    headers: [['host', '{{host}}'], bearer, ['mcp-session-id', '{{session:dead}}'], json]
  }
)
const overSse = fc
  .tuple(
    bodies,
    fc.constantFrom(
      '{{session:sse}}',
      '{{session:sse}}',
      '{{session:sse}}',
      '{{session:alice}}',
      'x',
      '',
      'a&sessionId=b',
      '%zz',
      '{{long:3000}}'
    )
  )
  .map(([body, session]): Honest => ({ method: 'POST', target: `/messages?sessionId=${session}`, headers: post, body }))

const envelope = fc.record(
  {
    'io.modelcontextprotocol/protocolVersion': fc.constantFrom<unknown>(
      '2026-07-28',
      '2026-07-28',
      '2026-07-28',
      '2025-11-25',
      '1999-01-01',
      1,
      null
    ),
    'io.modelcontextprotocol/clientInfo': fc.constantFrom<unknown>(
      { name: 'fuzz', version: '1' },
      { name: 'fuzz', version: '1' },
      {},
      1
    ),
    'io.modelcontextprotocol/clientCapabilities': fc.constantFrom<unknown>(
      {},
      { elicitation: { form: {} }, sampling: {}, roots: {} },
      [],
      1
    ),
    'io.modelcontextprotocol/logLevel': fc.constantFrom<unknown>('debug', 'x', 1),
    progressToken: fc.constantFrom<unknown>(1, 'p', null, {}),
    traceparent: fc.constantFrom<unknown>('x', 1)
  },
  {
    requiredKeys: [
      'io.modelcontextprotocol/protocolVersion',
      'io.modelcontextprotocol/clientInfo',
      'io.modelcontextprotocol/clientCapabilities'
    ]
  }
)
const resumed = fc.constantFrom<Record<string, unknown>>(
  {},
  {},
  {},
  {
    requestState: '{{requestState}}',
    inputResponses: { colour: { action: 'accept', content: { colour: 'red' } } }
  },
  { requestState: 'x', inputResponses: {} },
  { requestState: '{{requestState}}x', inputResponses: null }
)

const modern: fc.Arbitrary<Honest> = fc
  .tuple(fc.constantFrom(...calls, ...notifications), id, envelope, resumed, changes, asText)
  .map(([[method, params], id, _meta, resumed, changes, asText]) => {
    const message = {
      jsonrpc: '2.0',
      ...(!method.startsWith('notifications/') && { id }),
      method,
      params: { ...params, ...(method.includes('/') && resumed), _meta: { ..._meta } }
    }
    const name = params?.name ?? params?.uri
    return {
      method: 'POST',
      target: '/mcp',
      headers: [
        ...post,
        ['mcp-protocol-version', '2026-07-28'],
        ['mcp-method', method],
        ...(typeof name === 'string' ? [['mcp-name', name] as const] : [])
      ],
      body: asText(changed(message, changes))
    }
  })

/** One request to the MCP endpoints. */
export const mcpRequest: fc.Arbitrary<RequestStep> = near(
  fc.oneof(
    { arbitrary: inSession, weight: 6 },
    { arbitrary: sessionless, weight: 2 },
    { arbitrary: modern, weight: 6 },
    { arbitrary: overSse, weight: 2 },
    { arbitrary: listening, weight: 1 }
  )
)

const begun = near(
  fc
    .tuple(
      initialize,
      fc.oneof({ arbitrary: fc.constant([]), weight: 4 }, { arbitrary: fc.array(change, { maxLength: 2 }), weight: 1 })
    )
    .map(([message, changes]) => ({
      method: 'POST',
      target: '/mcp',
      headers: post,
      body: JSON.stringify(changed(message, changes))
    }))
)
const after = near(
  fc.oneof({ arbitrary: inSession, weight: 3 }, { arbitrary: listening, weight: 2 }, { arbitrary: overSse, weight: 1 })
)
const follow = (body: string) =>
  near(
    fc.constant<Honest>({
      method: 'POST',
      target: '/mcp',
      headers: [...post, ['mcp-session-id', '{{session:last}}']],
      body
    })
  )
const ended = near(
  fc.constant<Honest>({
    method: 'DELETE',
    target: '/mcp',
    headers: [['host', '{{host}}'], bearer, ['mcp-session-id', '{{session:last}}']]
  })
)

/** A session: begun, followed by whatever, ended, and used again. */
export const mcpSession: fc.Arbitrary<RequestStep[]> = fc
  .tuple(
    begun,
    fc.option(follow('{"jsonrpc":"2.0","method":"notifications/initialized"}')),
    fc.array(after, { maxLength: 5 }),
    fc.option(ended),
    fc.option(after)
  )
  .map(steps => steps.flat().filter(step => step !== null))

/** A call of 2026-07-28 that asks for input, and its answer, which was tampered with. */
export const modernDialogue: fc.Arbitrary<RequestStep[]> = fc
  .tuple(oddText, fc.array(near(modern), { minLength: 1, maxLength: 3 }))
  .map(([name, rest]) => [
    {
      via: 'inject',
      method: 'POST',
      target: '/mcp',
      headers: [...post, ['mcp-protocol-version', '2026-07-28'], ['mcp-method', 'tools/call'], ['mcp-name', 'ask']],
      encoding: 'utf8',
      address: '127.0.0.1',
      client: 'waits',
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: 1,
        method: 'tools/call',
        params: {
          name: 'ask',
          arguments: {},
          _meta: {
            'io.modelcontextprotocol/protocolVersion': '2026-07-28',
            'io.modelcontextprotocol/clientInfo': { name, version: '1' },
            'io.modelcontextprotocol/clientCapabilities': { elicitation: { form: {} } }
          }
        }
      })
    },
    ...rest
  ])
