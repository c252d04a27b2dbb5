import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { JSONRPCRequest } from '@modelcontextprotocol/server'
import { callerOfSession } from '../../mcp/anonymous-callers.js'
import { SessionIdRequiredError, UnsupportedMediaTypeError } from '../../errors.js'
import { EVENT_STREAM_HEADERS } from '../../mcp/transport/sse-stream.js'
import type { LegacyPost } from '../../mcp/modern/classify.js'
import { checkProtocolVersion, isOfSessions } from '../../mcp/wire/protocol-versions.js'
import { checkStreamAccept, checkPostAccept } from '../../mcp/wire/accept.js'
import type { SessionRegistry } from '../../mcp/sessions/session-registry.js'
import type { SessionPosts } from '../../mcp/streamable-http/session-posts.js'
import { refuseMcpMethod, refuseOtherMethods } from '../../plugins/scoped/other-methods.js'
import { endSchema, listenSchema, postSchema } from '../schemas/mcp.js'
import { FastifyPostResponse, requestCaller, requestPost } from './post-reply.js'
import { kSessionPosts } from '../../plugins/mcp/session-posts.js'
import { kSessions } from '../../plugins/mcp/sessions.js'

/** Streamable HTTP with sessions (MCP 2025-03-26 to 2025-11-25): `POST`, `GET`, `DELETE /mcp`. */
export const streamableHttpRoutes: FastifyPluginAsync = async app => {
  const { [kSessions]: registry, [kSessionPosts]: posts } = app

  app.post('/mcp', { schema: postSchema }, (request, reply) => {
    checkPostAccept(request.headers.accept)
    if (request.headers['content-type'] === undefined) {
      throw new UnsupportedMediaTypeError('Unsupported Media Type: Content-Type must be application/json.')
    }
    const posted = requestPost(request)
    const [first] = posted.requests
    if (first?.method === 'initialize' && !posted.isBatch) return initialize(registry, first, request, reply)
    return call(posts, posted, request, reply)
  })

  app.get('/mcp', { schema: listenSchema, exposeHeadRoute: false }, async (request, reply) => {
    checkStreamAccept(request.headers.accept)
    const sessionId = readSessionId(request)
    checkProtocolVersion(isOfSessions(request.headers['mcp-protocol-version']))
    const caller = callerOfSession(requestCaller(request), sessionId)
    const session = await registry.find(sessionId, caller, 'streamable-http')
    request.mcpSessionId = sessionId
    const lastEventId = request.headers['last-event-id']
    const stream = await session.listen(
      typeof lastEventId === 'string' && lastEventId !== '' ? lastEventId : undefined,
      caller
    )
    // 204 makes an event source stop reconnecting (HTML, server-sent events)
    if (stream === undefined) return reply.code(204).send()
    reply.headers(EVENT_STREAM_HEADERS)
    // Fastify would wait for a returned reply, and keep listeners as long as the stream
    return stream
  })

  app.delete('/mcp', { schema: endSchema }, async (request, reply) => {
    const sessionId = readSessionId(request)
    checkProtocolVersion(isOfSessions(request.headers['mcp-protocol-version']))
    const caller = callerOfSession(requestCaller(request), sessionId)
    const session = await registry.find(sessionId, caller, 'streamable-http')
    await registry.delete(session.record.id)
    return reply.code(200).send()
  })

  refuseOtherMethods(app, '/mcp', ['GET', 'POST', 'DELETE'], refuseMcpMethod)
}

/** Begins a session, and responds with its id. */
async function initialize (
  registry: SessionRegistry,
  message: JSONRPCRequest,
  request: FastifyRequest,
  reply: FastifyReply
): Promise<FastifyReply> {
  const caller = requestCaller(request)
  const { session, result } = await registry.initialize(message, caller, {
    authInfo: caller,
    requestInfo: { headers: request.headers },
    http: request
  })
  return reply.header('mcp-session-id', session.record.id).header('content-type', 'application/json; charset=utf-8')
    .send(JSON.stringify({ jsonrpc: '2.0', id: message.id, result }))
}

/**
 * Serves every other POST: at once if the session's server is live. Then it returns nothing: Fastify would wait for a
 * returned reply, with listeners of its own.
 */
function call (
  posts: SessionPosts,
  posted: LegacyPost,
  request: FastifyRequest,
  reply: FastifyReply
): Promise<FastifyReply> | undefined {
  const sessionId = readSessionId(request)
  checkProtocolVersion(posted.hasKnownVersion)
  const caller = callerOfSession(requestCaller(request), sessionId)
  return posts.receiveOrPromise({
    sessionId,
    body: request.body,
    posted,
    extra: { authInfo: caller, requestInfo: { headers: request.headers }, http: request },
    response: new FastifyPostResponse(reply)
  })?.then(() => reply)
}

/**
 * The session that a request belongs to, by its header.
 * @throws {SessionIdRequiredError}
 */
function readSessionId ({ headers }: FastifyRequest): string {
  const sessionId = headers['mcp-session-id']
  if (typeof sessionId === 'string' && sessionId !== '') return sessionId
  throw new SessionIdRequiredError('Bad Request: the Mcp-Session-Id header is required.')
}
