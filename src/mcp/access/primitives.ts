import { UriTemplate, type JSONRPCRequest } from '@modelcontextprotocol/server'
import { isObject } from '../../members.js'
import type { Primitive } from '../../policy/access.js'
import { subscribedBy } from '../server-events/may-subscribe.js'

/** The tools, resources and prompts that a request reaches. A subscription and a completion reveal what there is. */
export function findPrimitives (request: JSONRPCRequest): Primitive[] {
  const { method, params = {} } = request
  switch (method) {
    case 'tools/call': return [{ kind: 'tools', name: toName(params.name) }]
    case 'prompts/get': return [{ kind: 'prompts', name: toName(params.name) }]
    case 'resources/read': return [{ kind: 'resources', name: toName(params.uri) }]
    case 'resources/subscribe':
    case 'subscriptions/listen': return subscribedBy(request).map(name => ({ kind: 'resources', name }))
    case 'completion/complete': return findCompleted(params.ref)
    default: return []
  }
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
  return typeof name === 'string' ? name : String(name)
}
