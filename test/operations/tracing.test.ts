import { SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import {
  InMemorySpanExporter,
  NodeTracerProvider,
  SimpleSpanProcessor,
  type ReadableSpan
} from '@opentelemetry/sdk-trace-node'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import t from 'tap'
import * as z from 'zod'
import { ask, newTokens, register } from '../support/oauth-flow.js'
import { request } from '../support/raw-http.js'
import { parseObject } from '../support/json.js'
import { RawClient } from '../support/mcp-harness.js'
import { runService } from '../support/service.js'

const exporter = new InMemorySpanExporter()
const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
provider.register()
t.teardown(() => provider.shutdown())

const NOTHING = z.object({})
const createServer = () => {
  const server = new McpServer({ name: 'traced', version: '1.0.0' })
  server.registerTool('work', { inputSchema: NOTHING }, async () => {
    trace.getTracer('tool').startSpan('work of its own').end()
    return { content: [] }
  })
  server.registerTool('fail', { inputSchema: NOTHING }, async () => ({ content: [], isError: true }))
  return server
}
const lines: Array<Record<string, unknown>> = []
const service = await runService({ TRACING: 'true', LOG_LEVEL: 'info' }, {}, {
  createServer,
  logStream: {
    write: line => {
      lines.push(parseObject(line))
    }
  }
})
t.teardown(() => service.close())
const { url } = service
const { accessToken } = await newTokens(service, await register(service))

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const PARENT = 'b7ad6b7169203331'
const traceparent = `00-${TRACE}-${PARENT}-01`

function span (name: string): ReadableSpan {
  const found = exporter.getFinishedSpans().find(span => span.name === name)
  if (found === undefined) {
    throw new Error(`No span ${name} among ${exporter.getFinishedSpans().map(({ name }) => name).join(', ')}`)
  }
  return found
}

t.beforeEach(() => {
  exporter.reset()
  lines.length = 0
})

t.test('a call of a session joins the trace of its HTTP request', async t => {
  const client = await new RawClient({ url }, accessToken).connect()
  exporter.reset()
  await (await client.request('tools/call', { name: 'work', arguments: {} }, { traceparent })).text()
  const [http, call, own] = [span('POST /mcp'), span('tools/call work'), span('work of its own')]
  t.equal(http.spanContext().traceId, TRACE)
  t.match(http, {
    kind: SpanKind.SERVER,
    parentSpanContext: { spanId: PARENT },
    attributes: { 'url.path': '/mcp', 'http.route': '/mcp', 'http.response.status_code': 200 }
  })
  t.match(call, {
    kind: SpanKind.SERVER,
    parentSpanContext: { traceId: TRACE, spanId: http.spanContext().spanId },
    attributes: {
      'mcp.method.name': 'tools/call',
      'gen_ai.tool.name': 'work',
      'mcp.session.id': client.sessionId,
      'mcp.protocol.version': '2025-11-25',
      'jsonrpc.request.id': '2'
    },
    status: { code: SpanStatusCode.UNSET },
    links: []
  })
  t.match(
    own.parentSpanContext,
    { traceId: TRACE, spanId: call.spanContext().spanId },
    'the span of the call is active while the tool runs'
  )
  t.equal(
    lines.find(({ msg, traceId }) => msg === 'request' && traceId === TRACE)?.route,
    '/mcp',
    'the log tells the trace'
  )
})

t.test('a message that names a trace joins that one, and links the HTTP request', async t => {
  for (const era of ['legacy', 'modern']) {
    exporter.reset()
    if (era === 'modern') {
      await request(url, 'tools/call', { name: 'work', arguments: {} }, { token: accessToken, meta: { traceparent } })
    } else {
      await (await (await new RawClient({ url }, accessToken).connect()).request('tools/call', {
        name: 'work',
        arguments: {},
        _meta: { traceparent }
      })).text()
    }
    const call = span('tools/call work')
    t.match(call.parentSpanContext, { traceId: TRACE, spanId: PARENT }, era)
    const https = exporter.getFinishedSpans().filter(({ name }) => name === 'POST /mcp').map(span =>
      span.spanContext().spanId
    )
    t.ok(https.includes(call.links[0]?.context.spanId ?? ''), era)
    t.not(call.links[0]?.context.traceId, TRACE)
    t.match(span('work of its own').parentSpanContext, { spanId: call.spanContext().spanId }, era)
  }
})

t.test('what fails says so', async t => {
  const client = await new RawClient({ url }, accessToken).connect()
  await (await client.request('tools/call', { name: 'fail', arguments: {} })).text()
  await (await client.request('resources/read', { uri: 'none://such' })).text()
  t.match(span('tools/call fail'), {
    attributes: { 'error.type': 'tool_error' },
    status: { code: SpanStatusCode.ERROR }
  })
  t.match(span('resources/read'), {
    attributes: { 'error.type': '-32601', 'rpc.response.status_code': '-32601', 'mcp.resource.uri': 'none://such' },
    status: { code: SpanStatusCode.ERROR }
  })
})

t.test('no span has a query, and log lines name the trace that was begun here', async t => {
  await ask({ fetch }, `${url}/oauth/callback?code=the-code-of-somebody&state=the-state-of-somebody`)
  await ask({ fetch }, `${url}/nothing?token=the-token-of-somebody`)
  const callback = span('GET /oauth/callback')
  t.equal(callback.attributes['url.path'], '/oauth/callback')
  t.notMatch(
    JSON.stringify(
      exporter.getFinishedSpans().map(({ name, attributes, events, status }) => ({ name, attributes, events, status }))
    ),
    /of-somebody/
  )
  t.equal(lines.find(({ route }) => route === '/oauth/callback')?.traceId, callback.spanContext().traceId)
})

t.test('nothing is traced unless it is asked for', async t => {
  const quiet = await runService()
  t.teardown(() => quiet.close())
  exporter.reset()
  await ask({ fetch }, quiet.url)
  t.notOk(quiet.app.hasRequestDecorator('opentelemetry'))
  t.strictSame(exporter.getFinishedSpans(), [])
})
