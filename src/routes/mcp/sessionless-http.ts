import type { FastifyPluginAsync } from 'fastify'
import { MethodNotAllowedError, UnsupportedMediaTypeError } from '../../errors.js'
import { isRequest, parseMessages } from '../../mcp/wire/messages.js'
import { checkProtocolVersion } from '../../mcp/wire/protocol-versions.js'
import { checkPostAccept } from '../../mcp/wire/accept.js'
import { refuseOtherMethods } from '../../plugins/scoped/other-methods.js'
import { postSchema } from '../schemas/mcp.js'
import { requestCaller, FastifyPostResponse } from './post-reply.js'

/** Streamable HTTP without sessions (MCP 2025-03-26 to 2025-11-25): `POST /mcp`, each with an instance of its own. */
export const sessionlessHttpRoutes: FastifyPluginAsync = async app => {
  const requests = app.mcpSessionless

  app.post('/mcp', { schema: postSchema }, async (request, reply) => {
    checkPostAccept(request.headers.accept)
    if (request.headers['content-type'] === undefined) {
      throw new UnsupportedMediaTypeError('Unsupported Media Type: Content-Type must be application/json.')
    }
    const body = parseMessages(request.body)
    const protocolVersion = request.headers['mcp-protocol-version']
    checkProtocolVersion(protocolVersion)
    // answers and notifications refer to a session, and there is none
    if (!(Array.isArray(body) ? body : [body]).some(isRequest)) return reply.code(202).send()
    const caller = requestCaller(request)
    const end = await requests.serve({
      body,
      caller,
      extra: { authInfo: caller, requestInfo: { headers: request.headers } },
      protocolVersion: protocolVersion?.toString()
    }, new FastifyPostResponse(reply))
    if (reply.raw.closed) end()
    else reply.raw.once('close', end)
    return reply
  })

  refuseOtherMethods(app, '/mcp', ['POST'], ({ method }) => {
    throw new MethodNotAllowedError(`Method not allowed: ${method}. This server runs without sessions.`)
  })
}
