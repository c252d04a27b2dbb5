import type { JSONRPCErrorResponse, JSONRPCRequest } from '@modelcontextprotocol/server'
import { isObject } from '../../members.js'
import { jsonRpcCodes } from '../../json-rpc-codes.js'
import type { JsonRpcResponse } from '../wire/messages.js'
import type { Era } from '../wire/protocol-versions.js'
import { findTaskIds } from '../tasks/task-requests.js'
import { findPrimitives } from '../scopes/reached-primitives.js'

/*
 * What this is: the response to a request for something that does not exist, in the words of the specification, and
 * the recognition of such responses of servers. With a policy, what is refused and what does not exist get the same.
 * What it is not: a check of whether something exists.
 * What breaks: if an SDK finds other words for what it does not have, responses tell what a policy takes back from
 * what there never was (test/policy/matrix.test.ts).
 * Delete `saysUnknown` when both SDKs respond in one way.
 */

const NAMES = { tools: 'tool', resources: 'resource', prompts: 'prompt' } as const
/** What an SDK puts before the message of an error. */
const PREFIX = /^MCP error -?\d+: /
const UNKNOWN = /\b(?:not found|unknown|unavailable|no such|does(?: not|n't) exist)\b/i
/** What servers say of something that they do not have is not much longer than its name. */
const MAX_WORDS = 80

/** The response to a request for what does not exist. */
export function unknownResponse (request: JSONRPCRequest, era: Era): JSONRPCErrorResponse {
  return { jsonrpc: '2.0', id: request.id, error: unknownError(request, era) }
}

function unknownError (request: JSONRPCRequest, era: Era): JSONRPCErrorResponse['error'] {
  const [primitive] = findPrimitives(request)
  if (primitive === undefined) return { code: jsonRpcCodes.invalidParams, message: 'Task not found' }
  const { kind, name, isTemplate = false } = primitive
  if (kind === 'resources' && request.method !== 'completion/complete') {
    // the revisions differ in it
    const code = era === 'legacy' ? jsonRpcCodes.resourceNotFound : jsonRpcCodes.invalidParams
    return { code, message: `Resource not found: ${name}`, data: { uri: name } }
  }
  return { code: jsonRpcCodes.invalidParams, message: `Unknown ${isTemplate ? 'template' : NAMES[kind]}: ${name}` }
}

/** Whether a server responds that what the request names does not exist. */
export function saysUnknown (request: JSONRPCRequest, response: JsonRpcResponse): boolean {
  const said = 'error' in response ? response.error.message : findToolError(response.result)
  if (said === undefined) return false
  const words = said.replace(PREFIX, '')
  return UNKNOWN.test(words) && findNames(request).some(name =>
    words.includes(name) && words.length <= name.length + MAX_WORDS
  )
}

/** The names that the response may have: a URI also as the SDKs normalize it. */
function findNames (request: JSONRPCRequest): string[] {
  if (request.method === 'subscriptions/listen' || findTaskIds(request).length > 0) return []
  return findPrimitives(request).flatMap(({ kind, name }) =>
    kind === 'resources' ? [name, URL.parse(name)?.href ?? name] : [name]
  )
}

/** SDK 1.x reports tools that it does not have as results. */
function findToolError ({ isError, content }: Record<string, unknown>): string | undefined {
  if (isError !== true || !Array.isArray(content) || content.length !== 1) return undefined
  const only: unknown = content[0]
  return isObject(only) && typeof only.text === 'string' && PREFIX.test(only.text) ? only.text : undefined
}
