import { UriTemplate, type JSONRPCRequest } from '@modelcontextprotocol/server'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import fc from 'fast-check'
import t from 'tap'
import { isObject } from '../../src/members.js'
import { findNeededScopes, requireScopes } from '../../src/mcp/scopes/required-scopes.js'
import { findPrimitives, reachedBy } from '../../src/mcp/scopes/reached-primitives.js'
import { findTaskIds } from '../../src/mcp/tasks/task-requests.js'
import { subscribedBy } from '../../src/mcp/server-events/may-subscribe.js'

/*
 * Policy and scopes ask one function what a request reaches. It finds at least what the two of before have found, which
 * are kept here for that.
 */
const request = (method: string, params: Record<string, unknown>): JSONRPCRequest =>
  ({ jsonrpc: '2.0', id: 1, method, params })

function primitivesBefore ({ method, params = {} }: JSONRPCRequest): object[] {
  const ref: unknown = params.ref
  switch (method) {
    case 'tools/call': return [{ kind: 'tools', name: String(params.name) }]
    case 'prompts/get': return [{ kind: 'prompts', name: String(params.name) }]
    case 'resources/read': return [{ kind: 'resources', name: String(params.uri) }]
    case 'resources/subscribe':
    case 'subscriptions/listen':
      return subscribedBy(request(method, params)).map(name => ({ kind: 'resources', name }))
    case 'completion/complete':
      if (!isObject(ref)) return []
      if (ref.type === 'ref/prompt') return [{ kind: 'prompts', name: String(ref.name) }]
      return ref.type === 'ref/resource'
        ? [{ kind: 'resources', name: String(ref.uri), isTemplate: UriTemplate.isTemplate(String(ref.uri)) }]
        : []
    default: return []
  }
}

function reachedBefore (asked: JSONRPCRequest): JSONRPCRequest[] {
  const ref: unknown = asked.params?.ref
  const subscribed = subscribedBy(asked).map(uri => request('resources/read', { uri }))
  if (asked.method !== 'completion/complete' || !isObject(ref)) return [asked, ...subscribed]
  if (ref.type === 'ref/prompt' && typeof ref.name === 'string') {
    return [asked, request('prompts/get', { name: ref.name })]
  }
  if (ref.type !== 'ref/resource' || typeof ref.uri !== 'string') return [asked]
  const uris = [ref.uri]
  try {
    const template = new UriTemplate(ref.uri)
    uris.push(template.expand(Object.fromEntries(template.variableNames.map(name => [name, 'x']))))
  } catch {
    // no template
  }
  return [asked, ...uris.map(uri => request('resources/read', { uri }))]
}

const text = fc.oneof(
  fc.constantFrom('secret', 'note://{id}', 'note://a', 'note://{+path}/{?q}', 'NOTE://%61', '{', '{}', 'x{y', ''),
  fc.string()
)
const name = fc.oneof(text, fc.constant(undefined), fc.array(text, { maxLength: 2 }), fc.jsonValue({ maxDepth: 3 }))
const names = fc.oneof(fc.array(name, { maxLength: 4 }), name)
const requests = fc.oneof(
  fc.record({ name, uri: name }).map(params => ['tools/call', params] as const),
  fc.record({ name, uri: name }).map(params => ['prompts/get', params] as const),
  fc.record({ name, uri: name }).map(params => ['resources/read', params] as const),
  fc.record({ name, uri: name }).map(params => ['resources/subscribe', params] as const),
  names.map(uris => ['subscriptions/listen', { notifications: { resourceSubscriptions: uris } }] as const),
  fc.record({ type: fc.oneof(fc.constantFrom('ref/prompt', 'ref/resource'), name), name, uri: name })
    .map(ref => ['completion/complete', { ref }] as const),
  fc.record({ ref: name }).map(params => ['completion/complete', params] as const)
).map(([method, params]) => request(method, params))

const written = (values: readonly unknown[]) => new Set(values.map(value => JSON.stringify(value)))
const includesAll = (all: readonly unknown[], some: readonly unknown[]) => {
  const found = written(all)
  return [...written(some)].every(value => found.has(value))
}

t.test('nothing is judged less strictly than before, and the same by policy and scopes', t => {
  fc.assert(fc.property(requests, asked => {
    const [primitives, reached] = [findPrimitives(asked), reachedBy(asked)]
    if (!includesAll(reached, reachedBefore(asked))) return false
    for (const { kind, name } of primitives) {
      const direct = { tools: 'tools/call', prompts: 'prompts/get', resources: 'resources/read' }[kind]
      const isAsked = reached.some(({ method, params }) =>
        method === direct && (params?.name === name || params?.uri === name))
      if (!isAsked) return false
    }
    try {
      return includesAll(primitives, primitivesBefore(asked))
    } catch {
      // what is no text, and cannot be made one, was an error
      return true
    }
  }), { numRuns: 5000 })
  t.end()
})

t.test('names that are not text', t => {
  const server = new McpServer({ name: 'plug', version: '1' })
  requireScopes(server, { tools: { secret: ['a'] }, prompts: { secret: ['b'] }, resources: { 'doc://{id}': ['c'] } })
  for (const [method, params, scope] of [
    ['tools/call', { name: ['secret'] }, 'a'],
    ['prompts/get', { name: [['secret']] }, 'b'],
    ['resources/read', { uri: ['doc://secret'] }, 'c'],
    ['resources/subscribe', { uri: ['doc://secret'] }, 'c'],
    ['subscriptions/listen', { notifications: { resourceSubscriptions: 'doc://secret' } }, 'c'],
    ['subscriptions/listen', { notifications: { resourceSubscriptions: [['doc://secret']] } }, 'c'],
    ['completion/complete', { ref: { type: 'ref/prompt', name: ['secret'] } }, 'b'],
    ['completion/complete', { ref: { type: 'ref/resource', uri: ['doc://{id}'] } }, 'c']
  ] as const) {
    const asked = request(method, params)
    t.ok(findNeededScopes(server, reachedBy(asked)).includes(scope), `${JSON.stringify(asked.params)} needs ${scope}`)
    t.equal(findPrimitives(asked).length, 1)
  }
  t.strictSame(findPrimitives(request('tools/call', { name: { toString: 1 } })), [{ kind: 'tools', name: '' }])
  t.strictSame(findTaskIds(request('tasks/get', { taskId: ['a'] })), [''], 'a task that is not known')
  t.end()
})
