import {
  context,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Context,
  type Link,
  type Span
} from '@opentelemetry/api'
import type { JSONRPCRequest } from '@modelcontextprotocol/server'
import { classifyEnd, type McpObserver, type ObservedRequest, type RequestEnd } from '../mcp/observer.js'
import { readTraceContext } from '../mcp/trace-context.js'

// a name is the client's until a server knows it
const MAX_NAME = 100

/**
 * A span for each request that a server is asked, active while the server runs, by OpenTelemetry's semantic conventions
 * for MCP. Without an SDK of the operator's, nothing is recorded.
 * @example
 * ```ts
 * import Fastify from 'fastify'
 * import { mcpService, mcpTracing } from 'fastify-mcp-oauth'
 * import { options } from './options.js'
 *
 * const app = Fastify()
 * await app.register(mcpService, { ...options, mcpObserver: mcpTracing })
 * ```
 */
export const mcpTracing: McpObserver = {
  request (observed, run) {
    const { request } = observed
    const [parent, links] = findParent(request)
    const span = trace.getTracer('fastify-mcp-oauth').startSpan(spanName(request), {
      kind: SpanKind.SERVER,
      attributes: spanAttributes(observed),
      links
    }, parent)
    context.with(trace.setSpan(parent, span), run)
    return end => { finish(span, end) }
  }
}

/**
 * The client's span, where its message names one: then the HTTP request, which may carry several messages, is linked.
 */
function findParent (request: JSONRPCRequest): [Context, Link[]] {
  const active = context.active()
  const remote = propagation.extract(ROOT_CONTEXT, readTraceContext(request))
  if (trace.getSpanContext(remote) === undefined) return [active, []]
  const http = trace.getSpanContext(active)
  return [remote, http === undefined ? [] : [{ context: http }]]
}

function spanName ({ method, params }: JSONRPCRequest): string {
  const target = (method === 'tools/call' || method === 'prompts/get') && typeof params?.name === 'string'
    ? ` ${params.name}`
    : ''
  return `${method}${target}`.slice(0, MAX_NAME)
}

function spanAttributes ({ request: { id, method, params }, sessionId, protocolVersion }: ObservedRequest): Attributes {
  const name = typeof params?.name === 'string' ? params.name.slice(0, MAX_NAME) : undefined
  return {
    'mcp.method.name': method,
    'jsonrpc.request.id': String(id),
    'network.protocol.name': 'http',
    ...sessionId !== undefined && { 'mcp.session.id': sessionId },
    ...protocolVersion !== undefined && { 'mcp.protocol.version': protocolVersion },
    ...method === 'tools/call' && name !== undefined &&
      { 'gen_ai.tool.name': name, 'gen_ai.operation.name': 'execute_tool' },
    ...method === 'prompts/get' && name !== undefined && { 'gen_ai.prompt.name': name },
    ...typeof params?.uri === 'string' && { 'mcp.resource.uri': params.uri.slice(0, 1000) }
  }
}

function finish (span: Span, end: RequestEnd): void {
  const outcome = classifyEnd(end)
  if (typeof end === 'object' && 'error' in end) {
    span.setAttributes({ 'error.type': String(end.error.code), 'rpc.response.status_code': String(end.error.code) })
    span.setStatus({ code: SpanStatusCode.ERROR, message: end.error.message })
  } else if (outcome !== 'ok') {
    span.setAttribute('error.type', outcome)
    span.setStatus({ code: SpanStatusCode.ERROR })
  }
  span.end()
}
