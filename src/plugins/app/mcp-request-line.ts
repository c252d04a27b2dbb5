import type { FastifyReply, FastifyRequest } from 'fastify'
import { shown } from '../../audit/shown.js'
import { isMessage } from '../../mcp/wire/messages.js'

const MAX_NAME = 100
const MAX_LISTED = 10
const NAMED: Record<string, string> = { 'tools/call': 'tool', 'prompts/get': 'prompt' }

/** What the line of a request to an MCP endpoint says of it; nothing of requests to others. */
export function describeMcpRequest (request: FastifyRequest, reply: FastifyReply): object {
  const { mcpOutcome, authInfo } = request
  if (mcpOutcome === undefined) return {}
  // what nobody has vouched for is not read
  const body: unknown = authInfo == null ? undefined : request.body
  const outcome = mcpOutcome ?? (reply.statusCode >= 400 && reply.raw.headersSent ? 'refused' : undefined)
  return {
    ...Array.isArray(body)
      ? { batch: body.length, calls: body.slice(0, MAX_LISTED).map(describeMessage) }
      : describeMessage(body),
    ...outcome !== undefined && { outcome },
    ...describeSession(request, reply)
  }
}

/** What a message asks for. Arguments are not read. */
function describeMessage (message: unknown): object {
  if (!isMessage(message) || !('method' in message)) return {}
  const { method, params } = message
  const member = NAMED[method]
  return {
    mcpMethod: shown(method, MAX_NAME),
    ...member !== undefined && typeof params?.name === 'string' && { [member]: shown(params.name, MAX_NAME) },
    // what is secret in a URI is in its query
    ...typeof params?.uri === 'string' && { resource: shown(params.uri.split(/[?#]/, 1)[0] ?? '', MAX_NAME) }
  }
}

function describeSession ({ headers, query, authInfo }: FastifyRequest, reply: FastifyReply): object {
  if (authInfo == null) return {}
  const begun = reply.getHeader('mcp-session-id')
  const ofSse = typeof query === 'object' && query !== null && 'sessionId' in query ? query.sessionId : undefined
  const sessionId = begun ?? headers['mcp-session-id'] ?? ofSse
  return typeof sessionId === 'string' ? { sessionId: shown(sessionId, MAX_NAME) } : {}
}
