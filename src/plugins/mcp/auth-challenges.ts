import { CLIENT_INFO_META_KEY, PROTOCOL_VERSION_META_KEY } from '@modelcontextprotocol/server'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { getMember, isObject } from '../../members.js'
import type { AuthChallenge } from '../../mcp/options.js'
import { isRequest, isMessage } from '../../mcp/wire/messages.js'
import { kChallenges, type LackingError } from './bearer-auth.js'
import { auditRefusal } from '../scoped/audited.js'
import { kSessions } from './sessions.js'

/*
 * How a client learns that a call lacks a login or scopes. The specification says HTTP 401 and 403. ChatGPT shows its
 * login only for the result of a tool that has the challenge in `_meta`, with `error` and `error_description` in it
 * (OpenAI, Apps SDK, Authentication; SEP-1489).
 */
const CHALLENGE_META_KEY = 'mcp/www_authenticate'

/** The name by which OpenAI's client calls itself, in `User-Agent` and in `clientInfo`. */
const OPENAI = /^openai-mcp\b/i

/** Responds to a request whose caller lacks a login, or scopes. */
export function sendChallenge (
  error: LackingError,
  request: FastifyRequest,
  reply: FastifyReply,
  form: AuthChallenge
): FastifyReply {
  const { body, server } = request
  const isCall = isMessage(body) && isRequest(body) && body.method === 'tools/call'
  // the response to a POST of HTTP+SSE is not that to the call
  const isResponse = request.routeOptions.url?.endsWith('/mcp') === true
  if (!isCall || !isResponse || !wantsResult(request, form)) return server[kChallenges].refuse(reply, error)
  auditRefusal(request, error)
  const isModern = getMember(body.params?._meta, PROTOCOL_VERSION_META_KEY) !== undefined
  return reply.code(200).header('content-type', 'application/json; charset=utf-8').send(JSON.stringify({
    jsonrpc: '2.0',
    id: body.id,
    result: {
      ...isModern && { resultType: 'complete' },
      content: [{ type: 'text', text: error.message }],
      _meta: { [CHALLENGE_META_KEY]: [server[kChallenges].describe(request, error)] },
      isError: true
    }
  }))
}

function wantsResult (request: FastifyRequest, form: AuthChallenge): boolean {
  if (form !== 'auto') return form === 'tool-result'
  const { headers, body, server } = request
  const sessionId = headers['mcp-session-id']
  const params = isObject(body) ? body.params : undefined
  return [
    headers['user-agent'],
    getMember(getMember(getMember(params, '_meta'), CLIENT_INFO_META_KEY), 'name'),
    typeof sessionId === 'string' && server.hasDecorator(kSessions)
      ? getMember(server[kSessions].findClientInfo(sessionId), 'name')
      : undefined
  ].some(name => typeof name === 'string' && OPENAI.test(name))
}
