import { Type } from '@sinclair/typebox'
import { jsonResponse, pageResponse } from './responses.js'

const OAuthError = Type.Object({
  error: Type.String({ description: 'The error code.' }),
  error_description: Type.Optional(Type.String({ description: 'What is wrong, for people.' })),
  request_id: Type.Optional(Type.String({ description: 'The id of this request in the log.' }))
}, { $id: 'OAuthError' })

const JsonRpcMessage = Type.Object({
  jsonrpc: Type.Literal('2.0'),
  id: Type.Optional(Type.Unsafe<string | number | null>({ type: ['string', 'integer', 'null'] })),
  method: Type.Optional(Type.String()),
  params: Type.Optional(Type.Object({})),
  result: Type.Optional(Type.Object({})),
  error: Type.Optional(Type.Object({}))
}, { $id: 'JsonRpcMessage' })

/** What the schemas of routes refer to by name. */
export const sharedSchemas = [OAuthError, JsonRpcMessage]
export const oauthErrorRef = Type.Ref('OAuthError')
export const messageRef = Type.Ref('JsonRpcMessage')

/** What every endpoint for OAuth clients may respond. */
export const oauthErrors = {
  '4XX': jsonResponse('Refused (RFC 6749 5.2).', oauthErrorRef),
  503: jsonResponse(
    'The upstream or the store cannot be reached, or this process is overloaded. Retry-After says when to try again.',
    oauthErrorRef
  )
}

/** What every endpoint for people may respond. */
export const pageErrors = { '4XX': pageResponse('An error page.') }

/** What every MCP endpoint may respond. */
export const mcpErrors = {
  401: jsonResponse(
    'The access token is missing or invalid. WWW-Authenticate names the protected resource metadata (RFC 9728).',
    oauthErrorRef
  ),
  403: jsonResponse('The token lacks a scope (RFC 6750), or this origin may not call the server.', oauthErrorRef),
  '4XX': jsonResponse('Refused.', messageRef),
  503: jsonResponse(
    'A limit is reached, or the server is shutting down. Retry-After says when to try again.',
    messageRef
  )
}
