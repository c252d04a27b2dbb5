import type { FastifyPluginAsync } from 'fastify'
import { SessionIdRequiredError, UnsupportedMediaTypeError } from '../../errors.js'
import { EVENT_STREAM_HEADERS } from '../../mcp/transport/sse-stream.js'
import { callerOfSession } from '../../mcp/anonymous-callers.js'
import { checkStreamAccept } from '../../mcp/wire/accept.js'
import { withoutQuery } from '../../plugins/scoped/log-serializers.js'
import { refuseMcpMethod, refuseOtherMethods } from '../../plugins/scoped/other-methods.js'
import { messagesSchema, sseSchema } from '../schemas/mcp.js'
import { requestCaller, requestPost } from './post-reply.js'
import { kSessions } from '../../plugins/mcp/sessions.js'
import { kSseMessages } from '../../plugins/mcp/session-posts.js'

export interface SseRoutesOptions {
  /** Where clients send their messages. */
  messagesUrl: string
}

/** The deprecated HTTP+SSE transport (MCP 2024-11-05): `GET /sse`, `POST /messages?sessionId=…`. */
export const sseRoutes: FastifyPluginAsync<SseRoutesOptions> = async (app, { messagesUrl }) => {
  const registry = app[kSessions]
  const messages = app[kSseMessages]

  app.get('/sse', { schema: sseSchema, exposeHeadRoute: false }, async (request, reply) => {
    checkStreamAccept(request.headers.accept)
    const { session, place } = await registry.open(requestCaller(request))
    reply.headers(EVENT_STREAM_HEADERS)
    // Fastify would wait for a returned reply, and keep listeners as long as the stream
    return session.openOnlyStream(`${messagesUrl}?sessionId=${session.record.id}`, place)
  })

  app.post<{ Querystring: Record<string, unknown> }>(
    '/messages',
    { schema: messagesSchema, logSerializers: withoutQuery },
    async (request, reply) => {
      if (request.headers['content-type'] === undefined) {
        throw new UnsupportedMediaTypeError('Unsupported Media Type: Content-Type must be application/json.')
      }
      const { sessionId } = request.query
      if (typeof sessionId !== 'string' || sessionId === '') {
        throw new SessionIdRequiredError('Bad Request: the sessionId parameter is required.')
      }
      const caller = callerOfSession(requestCaller(request), sessionId)
      const location = await messages.find(sessionId, caller)
      request.mcpSessionId = sessionId
      const posted = requestPost(request)
      const extra = { authInfo: caller, requestInfo: { headers: request.headers }, http: request }
      await messages.receive(location, { sessionId, body: request.body, posted, extra })
      return reply.code(202).send()
    }
  )

  refuseOtherMethods(app, '/sse', ['GET'], refuseMcpMethod)
  refuseOtherMethods(app, '/messages', ['POST'], refuseMcpMethod)
}
