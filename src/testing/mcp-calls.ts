import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport, StreamableHTTPError } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import {
  isJSONRPCErrorResponse,
  isJSONRPCNotification,
  isJSONRPCResultResponse,
  JSONRPCMessageSchema,
  McpError,
  ResultSchema,
  type JSONRPCMessage,
  type JSONRPCNotification
} from '@modelcontextprotocol/sdk/types.js'
import { CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY } from '@modelcontextprotocol/server'
import { messagesOf } from './response-messages.js'
import { modernRequest } from './modern-request.js'

/**
 * Revisions that a test can speak: with sessions, or without (2026-07-28).
 * @example
 * ```ts
 * import { ScriptableUpstream, testClient, type TestProtocolVersion } from 'fastify-mcp-oauth/testing'
 * import { buildApp } from './app.js'
 *
 * const upstream = new ScriptableUpstream()
 * const client = testClient(await buildApp(upstream.options), { upstream })
 * const versions: TestProtocolVersion[] = ['2025-11-25', '2026-07-28']
 * for (const protocolVersion of versions) {
 *   const alice = await client.login({ protocolVersion })
 *   console.log(protocolVersion, (await alice.listTools()).length)
 *   await alice.close()
 * }
 * ```
 */
export type TestProtocolVersion = '2025-11-25' | '2026-07-28'

/**
 * A JSON object: the result of a request, or its parameters.
 * @example
 * ```ts
 * import type { JsonObject, TestSession } from 'fastify-mcp-oauth/testing'
 *
 * export async function readNote (alice: TestSession, id: string): Promise<JsonObject> {
 *   return await alice.request('resources/read', { uri: 'note://' + id })
 * }
 * ```
 */
export type JsonObject = Record<string, unknown>

/**
 * What a client responds to a server's request, by its method: `elicitation/create`, `sampling/createMessage`,
 * `roots/list`. Each function gets the request's parameters and returns the result.
 * @example
 * ```ts
 * import type { ServerRequestAnswers } from 'fastify-mcp-oauth/testing'
 *
 * export const answers: ServerRequestAnswers = {
 *   'elicitation/create': ({ message }) => ({ action: message === 'Delete it?' ? 'accept' : 'decline' }),
 *   'roots/list': () => ({ roots: [] })
 * }
 * ```
 */
export type ServerRequestAnswers = Readonly<Record<string, (params: JsonObject) => JsonObject | Promise<JsonObject>>>

/** The calls of one client in one revision. */
export interface McpCalls {
  /** @throws {McpError} for an error of JSON-RPC @throws {StreamableHTTPError} for one of HTTP */
  request (method: string, params: JsonObject): Promise<JsonObject>
  close (): Promise<void>
}

export interface McpCallsOptions {
  url: URL
  /** With the access token. */
  fetch: typeof fetch
  answers: ServerRequestAnswers
  onNotification: (notification: JSONRPCNotification) => void
}

const clientInfo = { name: 'fastify-mcp-oauth-testing', version: '1.0.0' }

/** Revision 2025-11-25: the client of the SDK, in a session. */
export async function connectSession ({ url, fetch, answers, onNotification }: McpCallsOptions): Promise<McpCalls> {
  const client = new Client(clientInfo, { capabilities: capabilitiesFor(answers) })
  client.fallbackRequestHandler = async ({ method, params }) => await answer(answers, method, params)
  const transport = new StreamableHTTPClientTransport(url, { fetch })
  transport.onmessage = message => { if (isJSONRPCNotification(message)) onNotification(message) }
  await client.connect(transport)
  return {
    request: async (method, params) => await client.request({ method, params }, ResultSchema),
    close: async () => { await client.close() }
  }
}

/**
 * Revision 2026-07-28: every request stands for itself, and what the server asks for is answered with the request
 * again.
 */
export function modernCalls ({ url, fetch, answers, onNotification }: McpCallsOptions): McpCalls {
  const closing = new AbortController()
  let lastId = 0

  async function post (method: string, params: JsonObject): Promise<JsonObject> {
    const id = ++lastId
    const { _meta: meta, ...rest } = params
    const request = modernRequest(id, method, rest, {
      [CLIENT_INFO_META_KEY]: clientInfo,
      [CLIENT_CAPABILITIES_META_KEY]: capabilitiesFor(answers),
      ...typeof meta === 'object' && meta
    })
    const response = await fetch(url, { ...request, signal: closing.signal })
    if (!response.ok) throw toFailure(response.status, await response.text(), id)
    for await (const json of messagesOf(response)) {
      const message: JSONRPCMessage = JSONRPCMessageSchema.parse(json)
      if (isJSONRPCNotification(message)) onNotification(message)
      else if (isJSONRPCErrorResponse(message)) {
        throw new McpError(message.error.code, message.error.message, message.error.data)
      } else if (isJSONRPCResultResponse(message)) return message.result
    }
    throw new Error(`The answer to ${method} ended without a result.`)
  }

  return {
    request: async (method, params) => {
      let result = await post(method, params)
      while (result.resultType === 'input_required') {
        const { inputRequests, requestState } = result
        const inputResponses: JsonObject = {}
        for (const [key, asked] of Object.entries(toObject(inputRequests))) {
          const { method, params } = toObject(asked)
          inputResponses[key] = await answer(answers, String(method), params)
        }
        result = await post(method, { ...params, inputResponses, ...requestState !== undefined && { requestState } })
      }
      return result
    },
    close: async () => { closing.abort() }
  }
}

/** Most errors of JSON-RPC have a status of HTTP, too; a challenge has only that. */
function toFailure (status: number, text: string, id: number): Error {
  try {
    const { data: message } = JSONRPCMessageSchema.safeParse(JSON.parse(text))
    if (message !== undefined && isJSONRPCErrorResponse(message) && message.id === id) {
      return new McpError(message.error.code, message.error.message, message.error.data)
    }
  } catch {
    // no JSON: an error of HTTP
  }
  return new StreamableHTTPError(status, text)
}

async function answer (answers: ServerRequestAnswers, method: string, params: unknown): Promise<JsonObject> {
  const answerTo = answers[method]
  if (answerTo === undefined) throw new Error(`The server asks for ${method}: the test has no answer to it.`)
  return await answerTo(toObject(params))
}

function toObject (value: unknown): JsonObject {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

/** The capabilities of a client that answers these methods. */
function capabilitiesFor (answers: ServerRequestAnswers): JsonObject {
  return Object.fromEntries(Object.keys(answers).map(method => [method.split('/')[0] ?? '', {}]))
}
