import type { FastifyPluginAsync } from 'fastify'
import { MethodNotAllowedError, UnsupportedMediaTypeError } from '../../errors.js'
import { checkPostAccept } from '../../mcp/wire/accept.js'
import { checkProtocolVersion } from '../../mcp/wire/protocol-versions.js'
import { refuseOtherMethods } from '../../plugins/scoped/other-methods.js'
import { postSchema } from '../schemas/mcp.js'
import { FastifyPostResponse, requestCaller, requestPost } from './post-reply.js'

/** Streamable HTTP without sessions (MCP 2025-03-26 to 2025-11-25): `POST /mcp`, each with a server of its own. */
export const sessionlessHttpRoutes: FastifyPluginAsync = async app => {
  const requests = app.mcpSessionless

  app.post('/mcp', { schema: postSchema }, async (request, reply) => {
    checkPostAccept(request.headers.accept)
    if (request.headers['content-type'] === undefined) {
      throw new UnsupportedMediaTypeError('Unsupported Media Type: Content-Type must be application/json.')
    }
    const posted = requestPost(request)
    // what it negotiates is in its body, as with sessions
    if (posted.isBatch || posted.requests[0]?.method !== 'initialize') checkProtocolVersion(posted.hasKnownVersion)
    // responses and notifications refer to a session, and there is none
    if (posted.requests.length === 0) return reply.code(202).send()
    const caller = requestCaller(request)
    const end = await requests.serve({
      posted,
      caller,
      extra: { authInfo: caller, requestInfo: { headers: request.headers }, http: request },
      protocolVersion: request.headers['mcp-protocol-version']?.toString()
    }, new FastifyPostResponse(reply))
    if (reply.raw.closed) end()
    else reply.raw.once('close', end)
    return reply
  })

  refuseOtherMethods(app, '/mcp', ['POST'], ({ method }) => {
    throw new MethodNotAllowedError(`Method not allowed: ${method}. This server runs without sessions.`)
  })
}
