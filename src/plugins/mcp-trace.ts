import fp from 'fastify-plugin'

// W3C Trace Context, traceparent: version, trace id, parent id, flags
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}/

/** Puts the trace that a client's request belongs to (`traceparent` in `_meta`; MCP 2026-07-28, SEP-414) into its log lines. */
export const mcpTrace = fp(async app => {
  app.addHook('preHandler', (request, reply, done) => {
    const traceId = traceIdOf(request.body)
    if (traceId !== undefined) request.log = reply.log = request.log.child({ traceId })
    done()
  })
}, { name: 'mcp-trace', fastify: '5.x' })

function traceIdOf (body: unknown): string | undefined {
  const traceparent = memberOf(memberOf(memberOf(body, 'params'), '_meta'), 'traceparent')
  return typeof traceparent === 'string' ? TRACEPARENT.exec(traceparent)?.[1] : undefined
}

function memberOf (value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name) ? Reflect.get(value, name) : undefined
}
