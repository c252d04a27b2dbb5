import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { JSONRPCRequest } from '@modelcontextprotocol/server'
import type { Auditor, InboundRequest } from '../../audit/auditor.js'
import type { ServiceError } from '../../errors.js'
import { classifyPost } from '../../mcp/modern/classify.js'
import { isMessage, isRequest } from '../../mcp/wire/messages.js'
import { REVISION_2026_07_28 } from '../../mcp/wire/protocol-versions.js'

/** The decorator that holds the auditor of a service. */
export const kAuditor: unique symbol = Symbol('fastify-mcp-oauth/auditor')

declare module 'fastify' {
  interface FastifyInstance {
    /** Writes down who did what; undefined: nobody does. */
    [kAuditor]?: Auditor | undefined
  }
}

/** Not all plugins decorate every request. */
type Seen = Partial<FastifyRequest> & Pick<FastifyRequest, 'id' | 'ip'>

/** Has the record say that a request was refused. */
export function auditRefusal (request: FastifyRequest, error: ServiceError): void {
  request.server[kAuditor]?.refused(toInbound(request), error)
}

/** Where an audit log is required, has it say that a request to a route of this context begins, before it does. */
export const audited = fp<{ paths: readonly string[] }>(async (app, { paths }) => {
  const auditor = app[kAuditor]
  if (auditor?.isRequired !== true) return
  const isAudited = (url: string) => paths.some(path => url.endsWith(path))
  app.addHook('preHandler', async request => {
    const { routeOptions: { url = '' }, method } = request
    if (!isAudited(url) || method === 'OPTIONS') return
    const inbound = toInbound(request)
    // notifications are not recorded
    if (inbound.caller === undefined || inbound.requests.length > 0) await auditor.begin(inbound)
  })
}, { name: 'fastify-mcp-oauth/audited', fastify: '5.x' })

/** What is recorded of an HTTP request before a server has what is in it. */
function toInbound (request: FastifyRequest): InboundRequest {
  const { id, ip, bodyBytes = 0, mcpTraceId, mcpServer, mcpSessionId, mcpOutcome, authInfo }: Seen = request
  const http = { id, ip, bodyBytes, ...mcpTraceId !== undefined && { mcpTraceId } }
  const about = mcpServer === undefined ? {} : { server: mcpServer }
  // what nobody has vouched for is not read, and other endpoints take no messages
  if (authInfo == null || mcpOutcome === undefined) return { http, caller: authInfo ?? undefined, about, requests: [] }
  return {
    http,
    caller: authInfo,
    about: { ...about, ...findRevision(request), ...mcpSessionId != null && { sessionId: mcpSessionId } },
    requests: listRequests(request.body)
  }
}

function findRevision ({ method, headers, body, routeOptions: { url } }: FastifyRequest): InboundRequest['about'] {
  const isModern = method === 'POST' && url?.endsWith('/mcp') === true && classifyPost(headers, body).kind === 'modern'
  const version = isModern ? REVISION_2026_07_28 : headers['mcp-protocol-version']
  return { era: isModern ? 'modern' : 'legacy', ...typeof version === 'string' && { protocolVersion: version } }
}

const MAX_LISTED = 100

/** The requests in a body that may be anything. */
function listRequests (body: unknown): JSONRPCRequest[] {
  const messages: unknown[] = Array.isArray(body) ? body.slice(0, MAX_LISTED) : [body]
  return messages.filter(isMessage).filter(isRequest)
}
