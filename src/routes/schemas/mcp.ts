import { Type } from '@sinclair/typebox'
import { mcpErrors, messageRef } from './errors.js'
import { jsonBody, parameters, security } from './requests.js'
import { emptyResponse, type DocumentedResponse } from './responses.js'

const tags = ['mcp']
const stream = { 'text/event-stream': { schema: Type.String() } }
const headerTexts = {
  'Mcp-Session-Id': 'The session, on every request after initialize (revisions 2025-03-26 to 2025-11-25)',
  'MCP-Protocol-Version': 'The revision that the client speaks'
}

function streamResponse (description: string): DocumentedResponse {
  return { description, content: stream }
}

export const postSchema = {
  tags,
  summary: 'Sends a message (Streamable HTTP)',
  security: security.accessToken,
  headers: parameters(headerTexts),
  body: jsonBody(messageRef),
  response: {
    200: {
      description: 'The response, as JSON or at the end of a stream.',
      content: { 'application/json': { schema: messageRef }, ...stream }
    },
    202: emptyResponse('Accepted: the message needs no response.'),
    ...mcpErrors
  }
}

export const listenSchema = {
  tags,
  summary: 'Listens to the session, or resumes a stream',
  security: security.accessToken,
  headers: parameters(
    { ...headerTexts, 'Last-Event-ID': 'Resumes the stream after this event' },
    ['Mcp-Session-Id']
  ),
  response: { 200: streamResponse('The stream.'), 204: emptyResponse('The stream is over.'), ...mcpErrors }
}

export const endSchema = {
  tags,
  summary: 'Ends the session',
  security: security.accessToken,
  headers: parameters(headerTexts, ['Mcp-Session-Id']),
  response: { 200: emptyResponse('The session has ended.'), ...mcpErrors }
}

export const sseSchema = {
  tags,
  summary: 'Begins a session of the deprecated HTTP+SSE transport',
  deprecated: true,
  security: security.accessToken,
  response: { 200: streamResponse('The stream; its first event says where to send messages.'), ...mcpErrors }
}

export const messagesSchema = {
  tags,
  summary: 'Sends a message (HTTP+SSE)',
  deprecated: true,
  security: security.accessToken,
  querystring: parameters({ sessionId: 'The session' }, ['sessionId']),
  body: jsonBody(messageRef),
  response: { 202: emptyResponse('Accepted: the response comes on the stream.'), ...mcpErrors }
}
