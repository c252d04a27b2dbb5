import {
  isJSONRPCErrorResponse,
  isJSONRPCNotification,
  isJSONRPCRequest,
  isJSONRPCResultResponse,
  RELATED_TASK_META_KEY,
  specTypeSchemas,
  type JSONRPCErrorResponse,
  type JSONRPCMessage,
  type JSONRPCNotification,
  type JSONRPCRequest,
  type JSONRPCResultResponse,
  type RequestId
} from '@modelcontextprotocol/server'
import { InvalidMessageError, InvalidParamsError, ParseError } from '../../errors.js'
import { invalidParamsMessage } from './invalid-params.js'
import { isObject } from '../../members.js'

/** A response: a result or an error. */
export type JsonRpcResponse = JSONRPCResultResponse | JSONRPCErrorResponse

/** Messages of one batch (JSON-RPC 2.0, revision 2025-03-26 only). */
const MAX_BATCH_SIZE = 100

/** The messages of one POST. */
export interface PostedMessages {
  messages: readonly JSONRPCMessage[]
  /** Those that need a response. */
  requests: readonly JSONRPCRequest[]
  isBatch: boolean
}

/** A message that was posted by itself. */
export function toPostedMessages (message: JSONRPCMessage): PostedMessages {
  return { messages: [message], requests: isRequest(message) ? [message] : [], isBatch: false }
}

/**
 * The messages of a parsed body: one, or those of a batch.
 * @throws {ParseError} if there was no body
 * @throws {InvalidMessageError} for anything but JSON-RPC messages of MCP
 * @throws {InvalidParamsError} for a request whose `params` do not have the shape that all methods share
 */
export function parseMessages (body: unknown): PostedMessages {
  if (body === undefined) throw new ParseError('Parse error: the body is empty.')
  if (!Array.isArray(body)) {
    if (!isMessage(body)) {
      throw findInvalidParams(body) ??
        new InvalidMessageError('Invalid Request: the body must be a JSON-RPC 2.0 message.')
    }
    return toPostedMessages(body)
  }
  if (body.length === 0) throw new InvalidMessageError('Invalid Request: the batch is empty.')
  if (body.length > MAX_BATCH_SIZE) {
    throw new InvalidMessageError(`Invalid Request: a batch has at most ${MAX_BATCH_SIZE} messages.`)
  }
  if (!body.every(isMessage)) {
    throw new InvalidMessageError('Invalid Request: every member of a batch must be a JSON-RPC 2.0 message.')
  }
  const requests = body.filter(isRequest)
  if (new Set(requests.map(({ id }) => id)).size < requests.length) {
    throw new InvalidMessageError('Invalid Request: two requests of the batch have the same id.')
  }
  return { messages: body, requests, isBatch: true }
}

/** The same body, where `params: null`, which some clients send if there are none, is absent (JSON-RPC 2.0, 4.2). */
export function withoutNullParams (body: unknown): unknown {
  for (const message of Array.isArray(body) ? body : [body]) {
    if (isObject(message) && message.params === null) Reflect.deleteProperty(message, 'params')
  }
  return body
}

/** What is wrong with the parameters of a request that is otherwise valid; undefined for any other body. */
function findInvalidParams (body: unknown): InvalidParamsError | undefined {
  if (!isObject(body) || !('params' in body) || isMessage(body)) return undefined
  const { params, ...request } = body
  const { issues } = specTypeSchemas.JSONRPCRequest['~standard'].validate(body)
  return isRequestWithId(request) && issues !== undefined
    ? new InvalidParamsError(invalidParamsMessage(issues), { requestId: request.id })
    : undefined
}

function isRequestWithId (value: unknown): value is JSONRPCRequest {
  return isMessage(value) && isRequest(value)
}

/** Whether this is a message by the SDK's own schemas: to any other, it would never respond. */
export function isMessage (value: unknown): value is JSONRPCMessage {
  return hasPlainMembers(value) ||
    isJSONRPCRequest(value) || isJSONRPCNotification(value) || isJSONRPCResultResponse(value) ||
    isJSONRPCErrorResponse(value)
}

/**
 * Whether this is a request or notification that needs no schema to be recognized: its `_meta` has nothing that the SDK
 * has a schema for, except a progress token. Most are; the SDK's schemas come to the same result at ten times the cost.
 */
function hasPlainMembers (value: unknown): value is JSONRPCRequest | JSONRPCNotification {
  if (!isObject(value) || value.jsonrpc !== '2.0' || typeof value.method !== 'string') return false
  const hasId = 'id' in value
  const hasParams = 'params' in value
  if (hasId && !isId(value.id)) return false
  if (hasParams && !isPlainParams(value.params)) return false
  return Object.keys(value).length === 2 + Number(hasId) + Number(hasParams)
}

function isId (id: unknown): boolean {
  return typeof id === 'string' || Number.isSafeInteger(id)
}

function isPlainParams (params: unknown): boolean {
  return isObject(params) && (!('_meta' in params) || isPlainMeta(params._meta))
}

/** Whether a `_meta` has nothing that the SDK has a schema for, except a progress token. */
function isPlainMeta (meta: unknown): boolean {
  if (!isObject(meta) || RELATED_TASK_META_KEY in meta) return false
  return !('progressToken' in meta) || isId(meta.progressToken)
}

/** Whether a message is a request. */
export function isRequest (message: JSONRPCMessage): message is JSONRPCRequest {
  return 'method' in message && 'id' in message
}

/** Text of a JSON-RPC error response; without an `id`, to a message whose id is unknown. */
export function errorText (
  code: number,
  message: string,
  id: RequestId | null = null,
  data?: Record<string, unknown>
): string {
  return JSON.stringify({ jsonrpc: '2.0', id, error: { code, message, ...data && { data } } })
}

/** Text of the error response to a body that is refused as a whole: one for each request, or one with id null. */
export function refusalText (body: unknown, code: number, message: string, data: Record<string, unknown>): string {
  const ids = [body].flat().filter(message => isMessage(message)).filter(isRequest).map(({ id }) => id)
  if (Array.isArray(body) && ids.length > 0) return `[${ids.map(id => errorText(code, message, id, data)).join(',')}]`
  return errorText(code, message, ids[0], data)
}
