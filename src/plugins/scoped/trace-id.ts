import { trace } from '@opentelemetry/api'
import fp from 'fastify-plugin'
import { readTraceContext } from '../../mcp/trace-context.js'

// W3C Trace Context, traceparent: version, trace id, parent id, flags
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}/

declare module 'fastify' {
  interface FastifyRequest {
    /** The trace that it belongs to, as the request names it or as it was begun here; null if there is none. */
    mcpTraceId?: string | null
  }
}

/**
 * Puts the trace that a request belongs to into its log lines: as the message says (`traceparent` in `_meta`; MCP
 * 2026-07-28, SEP-414), else as the header says, else the one that was begun here.
 */
export const traceId = fp(async app => {
  app.decorateRequest('mcpTraceId', null)
  app.addHook('preHandler', (request, reply, done) => {
    const found = findTraceId(readTraceContext(request.body).traceparent) ?? findTraceId(request.headers.traceparent) ??
      trace.getActiveSpan()?.spanContext().traceId
    if (found !== undefined) {
      request.mcpTraceId = found
      request.log = reply.log = request.log.child({ traceId: found })
    }
    done()
  })
}, { name: 'fastify-mcp-oauth/trace-id', fastify: '5.x' })

function findTraceId (traceparent: unknown): string | undefined {
  return typeof traceparent === 'string' ? TRACEPARENT.exec(traceparent)?.[1] : undefined
}
