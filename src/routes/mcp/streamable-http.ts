import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { JSONRPCMessage } from '@modelcontextprotocol/server'
import { InvalidMessageError, SessionIdRequiredError, UnsupportedMediaTypeError } from '../../errors.js'
import { EVENT_STREAM_HEADERS } from '../../mcp/transport/sse-stream.js'
import { isRequest, parseMessages } from '../../mcp/wire/messages.js'
import type { LiveSession } from '../../mcp/sessions/live-session.js'
import { checkProtocolVersion } from '../../mcp/wire/protocol-versions.js'
import { checkStreamAccept, checkPostAccept } from '../../mcp/wire/accept.js'
import type { ServerInstance } from '../../mcp/sessions/server-instance.js'
import { refuseMcpMethod, refuseOtherMethods } from '../../plugins/scoped/other-methods.js'
import { endSchema, listenSchema, postSchema } from '../schemas/mcp.js'
import { requestCaller, FastifyPostResponse } from './post-reply.js'
import { kSessions } from '../../plugins/mcp/sessions.js'

/** Streamable HTTP with sessions (MCP 2025-03-26 to 2025-11-25): `POST`, `GET`, `DELETE /mcp`. */
export const streamableHttpRoutes: FastifyPluginAsync = async app => {
  const registry = app[kSessions]

  app.post('/mcp', { schema: postSchema }, (request, reply) => {
    checkPostAccept(request.headers.accept)
    if (request.headers['content-type'] === undefined) {
      throw new UnsupportedMediaTypeError('Unsupported Media Type: Content-Type must be application/json.')
    }
    const body = parseMessages(request.body)
    if (!Array.isArray(body) && isRequest(body) && body.method === 'initialize') return initialize(request, reply, body)
    return call(request, reply, body)
  })

  app.get('/mcp', { schema: listenSchema, exposeHeadRoute: false }, async (request, reply) => {
    checkStreamAccept(request.headers.accept)
    const session = await registry.find(readSessionId(request), requestCaller(request), 'streamable-http')
    const lastEventId = request.headers['last-event-id']
    const stream = await session.listen(
      typeof lastEventId === 'string' && lastEventId !== '' ? lastEventId : undefined,
      requestCaller(request)
    )
    // 204 tells an event source to stop reconnecting (HTML, server-sent events)
    if (stream === undefined) return reply.code(204).send()
    reply.headers(EVENT_STREAM_HEADERS)
    // a reply that is returned would be waited for, with listeners that are kept as long as the stream
    return stream
  })

  app.delete('/mcp', { schema: endSchema }, async (request, reply) => {
    const session = await registry.find(readSessionId(request), requestCaller(request), 'streamable-http')
    await registry.delete(session.record.id)
    return reply.code(200).send()
  })

  refuseOtherMethods(app, '/mcp', ['GET', 'POST', 'DELETE'], refuseMcpMethod)

  /** Step 1 of a session: answers `initialize` with the new session's id. */
  async function initialize (
    request: FastifyRequest,
    reply: FastifyReply,
    message: JSONRPCMessage
  ): Promise<FastifyReply> {
    if (!isRequest(message)) throw new InvalidMessageError('Invalid Request: initialize is a request.')
    const caller = requestCaller(request)
    const { session, result } = await registry.initialize(message, caller, {
      authInfo: caller,
      requestInfo: { headers: request.headers }
    })
    return reply.header('mcp-session-id', session.record.id).header('content-type', 'application/json; charset=utf-8')
      .send(JSON.stringify({ jsonrpc: '2.0', id: message.id, result }))
  }

  /**
   * Every other POST: at once where the session's instance is live. Then it returns nothing, as a reply that is returned
   * is waited for by Fastify, with listeners of its own.
   */
  function call (
    request: FastifyRequest,
    reply: FastifyReply,
    body: JSONRPCMessage | JSONRPCMessage[]
  ): Promise<FastifyReply> | undefined {
    const sessionId = readSessionId(request)
    const session = registry.findLive(sessionId, requestCaller(request), 'streamable-http')
    if (session?.instance === undefined) return rebuildAndReceive(sessionId, request, reply, body)
    return receiveOrPromise(session, session.instance, request, reply, body)?.then(() => reply)
  }

  async function rebuildAndReceive (
    sessionId: string, request: FastifyRequest, reply: FastifyReply, body: JSONRPCMessage | JSONRPCMessage[]
  ): Promise<FastifyReply> {
    const caller = requestCaller(request)
    const session = await registry.find(sessionId, caller, 'streamable-http')
    const instance = session.instance ??
      await session.rebuild({ authInfo: caller, requestInfo: { headers: request.headers } }, caller)
    await receiveOrPromise(session, instance, request, reply, body)
    return reply
  }

  function receiveOrPromise (
    session: LiveSession,
    instance: ServerInstance,
    request: FastifyRequest,
    reply: FastifyReply,
    body: JSONRPCMessage | JSONRPCMessage[]
  ): Promise<void> | undefined {
    const caller = requestCaller(request)
    session.caller = caller
    session.used()
    return instance.receiveOrPromise(
      body,
      { authInfo: caller, requestInfo: { headers: request.headers } },
      caller,
      new FastifyPostResponse(reply)
    )
  }
}

/**
 * What the headers of a request in a session say, checked before anything begins.
 * @throws {SessionIdRequiredError} @throws {UnsupportedProtocolVersionError}
 */
function readSessionId ({ headers }: FastifyRequest): string {
  const sessionId = headers['mcp-session-id']
  if (typeof sessionId !== 'string' || sessionId === '') {
    throw new SessionIdRequiredError('Bad Request: the Mcp-Session-Id header is required.')
  }
  checkProtocolVersion(headers['mcp-protocol-version'])
  return sessionId
}
