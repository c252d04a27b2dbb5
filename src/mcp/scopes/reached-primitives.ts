import { UriTemplate, type JSONRPCRequest } from '@modelcontextprotocol/server'
import { subscribedBy } from '../server-events/may-subscribe.js'
import { isObject } from '../../members.js'

/**
 * What a request reaches, as the requests that would reach it directly. It needs their scopes: a subscription reveals
 * as much as a read, and completions reveal what exists.
 */
export function reachedBy (request: JSONRPCRequest): JSONRPCRequest[] {
  const { method, params = {} } = request
  switch (method) {
    case 'resources/subscribe':
    case 'subscriptions/listen': return [request, ...toReads(request, subscribedBy(request))]
    case 'completion/complete': return [request, ...completedBy(request, params.ref)]
    default: return [request]
  }
}

function toReads ({ jsonrpc, id }: JSONRPCRequest, uris: ReadonlyArray<string | undefined>): JSONRPCRequest[] {
  return uris.filter(uri => typeof uri === 'string').map(uri => ({
    jsonrpc,
    id,
    method: 'resources/read',
    params: { uri }
  }))
}

function completedBy (request: JSONRPCRequest, ref: unknown): JSONRPCRequest[] {
  if (!isObject(ref)) return []
  const { jsonrpc, id } = request
  if (ref.type === 'ref/prompt' && typeof ref.name === 'string') {
    return [{ jsonrpc, id, method: 'prompts/get', params: { name: ref.name } }]
  }
  if (ref.type === 'ref/resource' && typeof ref.uri === 'string') {
    return toReads(request, [ref.uri, makeExample(ref.uri)])
  }
  return []
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
