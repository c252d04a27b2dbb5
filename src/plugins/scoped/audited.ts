import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Auditor } from '../../audit/auditor.js'
import type { ServiceError } from '../../errors.js'
import type { JSONRPCRequest } from '@modelcontextprotocol/server'
import { isMessage, isRequest } from '../../mcp/wire/messages.js'

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
  const auditor = request.server[kAuditor]
  if (auditor === undefined) return
  const { id, ip, mcpTraceId, mcpServer, authInfo = null }: Seen = request
  const requests = authInfo === null ? [] : listRequests(request.body)
  auditor.refused(
    {
      id,
      ip,
      bodyBytes: request.bodyBytes ?? 0,
      ...mcpTraceId !== undefined && { mcpTraceId },
      ...mcpServer !== undefined && { mcpServer }
    },
    error,
    authInfo,
    requests.length === 1 ? requests[0] : undefined
  )
}

/** Where an audit log is required, has it say that a request to a route of this context begins, before it does. */
export const audited = fp<{ paths: readonly string[] }>(async (app, { paths }) => {
  const auditor = app[kAuditor]
  if (auditor?.isRequired !== true) return
  const isAudited = (url: string) => paths.some(path => url.endsWith(path))
  app.addHook('preHandler', async request => {
    const { routeOptions: { url = '' }, method, authInfo = null } = request
    if (!isAudited(url) || method === 'OPTIONS') return
    const requests = authInfo === null ? [] : listRequests(request.body)
    if (authInfo === null || requests.length > 0) await auditor.begin(request, authInfo, requests)
  })
}, { name: 'fastify-mcp-oauth/audited', fastify: '5.x' })

const MAX_LISTED = 100

/** The requests in a body that may be anything. */
function listRequests (body: unknown): JSONRPCRequest[] {
  const messages: unknown[] = Array.isArray(body) ? body.slice(0, MAX_LISTED) : [body]
  return messages.filter(isMessage).filter(isRequest)
}
