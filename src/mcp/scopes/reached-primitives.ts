import { UriTemplate, type JSONRPCRequest } from '@modelcontextprotocol/server'
import { isObject } from '../../members.js'
import type { Primitive } from '../../policy/access.js'

/**
 * The tools, resources and prompts that a request reaches; for policy and scopes alike. A subscription reveals as much
 * as a read, and completions reveal what there is. What belongs to a task is another matter: see `findTaskIds`.
 */
export function findPrimitives ({ method, params = {} }: JSONRPCRequest): Primitive[] {
  switch (method) {
    case 'tools/call': return [{ kind: 'tools', name: toName(params.name) }]
    case 'prompts/get': return [{ kind: 'prompts', name: toName(params.name) }]
    case 'resources/read':
    case 'resources/subscribe': return [{ kind: 'resources', name: toName(params.uri) }]
    case 'subscriptions/listen': return findListened(params.notifications)
    case 'completion/complete': return findCompleted(params.ref)
    default: return []
  }
}

/** A request, and those that would reach directly what it reaches: it needs the scopes of all. */
export function reachedBy (request: JSONRPCRequest): JSONRPCRequest[] {
  return [request, ...findPrimitives(request).flatMap(primitive => toDirect(request, primitive))]
}

function toDirect ({ jsonrpc, id, method, params = {} }: JSONRPCRequest, { kind, name }: Primitive): JSONRPCRequest[] {
  const make = (direct: string, named: Record<string, unknown>) => ({ jsonrpc, id, method: direct, params: named })
  switch (kind) {
    case 'tools': return params.name === name ? [] : [make('tools/call', { ...params, name })]
    case 'prompts':
      return method === 'prompts/get' && params.name === name ? [] : [make('prompts/get', { name })]
    case 'resources': {
      if (method === 'resources/read' && params.uri === name) return []
      const example = method === 'completion/complete' ? makeExample(name) : undefined
      return [name, ...example === undefined ? [] : [example]].map(uri => make('resources/read', { uri }))
    }
  }
}

function findListened (notifications: unknown): Primitive[] {
  const uris = isObject(notifications) ? notifications.resourceSubscriptions : undefined
  if (uris === undefined || uris === null) return []
  return [uris].flat().map(uri => ({ kind: 'resources', name: toName(uri) }))
}

function findCompleted (ref: unknown): Primitive[] {
  if (!isObject(ref)) return []
  if (ref.type === 'ref/prompt') return [{ kind: 'prompts', name: toName(ref.name) }]
  if (ref.type !== 'ref/resource') return []
  const name = toName(ref.uri)
  return [{ kind: 'resources', name, isTemplate: UriTemplate.isTemplate(name) }]
}

/** What is not a text is judged as the text that a careless server would take it for. */
function toName (name: unknown): string {
  try {
    return typeof name === 'string' ? name : String(name)
  } catch {
    // an object whose `toString` is not a function: no server can take it for a name
    return ''
  }
}

/** A URI that a template matches; undefined if it is not a valid template. */
function makeExample (template: string): string | undefined {
  try {
    const parsed = new UriTemplate(template)
    return parsed.expand(Object.fromEntries(parsed.variableNames.map(name => [name, 'x'])))
  } catch {
    return undefined
  }
}
