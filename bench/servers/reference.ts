import { randomBytes } from 'node:crypto'
import Fastify, { type FastifyRequest } from 'fastify'
import type { CallerInfo } from '../../src/caller.js'
import { callerOfHeader, serve } from './served.js'

/*
 * What the work would cost if there was no MCP: a bare Fastify route with the same checks (bearer token, JSON body,
 * session of this caller, or what revision 2026-07-28 demands of headers and `_meta`), which answers from constants.
 */
declare module 'fastify' {
  interface FastifyRequest { benchCaller: CallerInfo | null }
}

interface Message { id?: number | string, method: string, params?: { name?: string, _meta?: Record<string, unknown> } }

const INITIALIZED = JSON.stringify({
  protocolVersion: '2025-11-25',
  capabilities: {
    logging: {},
    tools: { listChanged: true },
    resources: { listChanged: true },
    prompts: { listChanged: true }
  },
  serverInfo: { name: 'fastify-mcp-oauth', version: '0.1.0' }
})
const ADDED = JSON.stringify({ content: [{ type: 'text', text: '5' }] })
const ADDED_STATELESS = JSON.stringify({
  content: [{ type: 'text', text: '5' }],
  resultType: 'complete',
  _meta: { 'io.modelcontextprotocol/serverInfo': { name: 'bench', version: '1.0.0' } }
})
const REVISION = '2026-07-28'
const JSON_TYPE = 'application/json; charset=utf-8'

const sessions = new Map<string, string>()
const app = Fastify()

app.decorateRequest('benchCaller', null)
app.addHook('onRequest', (request, reply, done) => {
  const caller = callerOfHeader(request.headers.authorization)
  if (caller === undefined) {
    reply.code(401).send({ error: 'invalid_token' })
    return
  }
  request.benchCaller = caller
  done()
})

const knows = (request: FastifyRequest): boolean =>
  sessions.get(String(request.headers['mcp-session-id'])) === request.benchCaller?.extra.subject

/** Whether the headers are those that revision 2026-07-28 demands for this body. */
const agrees = ({ method, params }: Message, headers: FastifyRequest['headers']): boolean =>
  headers['mcp-protocol-version'] === REVISION && headers['mcp-method'] === method &&
  headers['mcp-name'] === params?.name &&
  typeof params?._meta?.['io.modelcontextprotocol/clientCapabilities'] === 'object'

app.post<{ Body: Message }>('/mcp', (request, reply) => {
  const { id, method, params } = request.body
  if (params?._meta?.['io.modelcontextprotocol/protocolVersion'] === REVISION) {
    if (!agrees(request.body, request.headers)) {
      return reply.code(400).send({ error: 'the headers are not those of the body' })
    }
    if (method !== 'tools/call' || params.name !== 'add') return reply.code(404).send({ error: 'no such method' })
    return reply.header('content-type', JSON_TYPE).send(
      `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${ADDED_STATELESS}}`
    )
  }
  if (method === 'initialize') {
    const sessionId = randomBytes(24).toString('base64url')
    sessions.set(sessionId, request.benchCaller?.extra.subject ?? '')
    return reply.header('mcp-session-id', sessionId).header('content-type', JSON_TYPE)
      .send(`{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${INITIALIZED}}`)
  }
  if (!knows(request)) return reply.code(404).send({ error: 'no such session' })
  if (method === 'notifications/initialized') return reply.code(202).send()
  if (method === 'tools/call' && params?.name === 'add') {
    return reply.header('content-type', JSON_TYPE).send(
      `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${ADDED}}`
    )
  }
  return reply.code(400).send({ error: 'no such method' })
})

app.get('/mcp', (request, reply) => {
  if (!knows(request)) return reply.code(404).send({ error: 'no such session' })
  reply.hijack()
  reply.raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache, no-transform' })
  reply.raw.write(':\n')
  return reply
})

app.delete('/mcp', (request, reply) => {
  if (!knows(request)) return reply.code(404).send({ error: 'no such session' })
  sessions.delete(String(request.headers['mcp-session-id']))
  return reply.send()
})

serve(async () => new URL(await app.listen({ port: 0, host: '127.0.0.1' })).port)
