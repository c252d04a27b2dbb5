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
export const MAX_BATCH_SIZE = 100

/**
 * The messages of a parsed body: one, or those of a batch.
 * @throws {ParseError} where there was no body
 * @throws {InvalidMessageError} for what is no JSON-RPC message of MCP
 * @throws {InvalidParamsError} for a request whose `params` are not of the shape that all have
 */
export function parseMessages (body: unknown): JSONRPCMessage | JSONRPCMessage[] {
  if (body === undefined) throw new ParseError('Parse error: the body is empty.')
  if (!Array.isArray(body)) {
    if (!isMessage(body)) {
      throw findInvalidParams(body) ?? new InvalidMessageError('Invalid Request: the body is no JSON-RPC 2.0 message.')
    }
    return body
  }
  if (body.length === 0) throw new InvalidMessageError('Invalid Request: the batch is empty.')
  if (body.length > MAX_BATCH_SIZE) {
    throw new InvalidMessageError(`Invalid Request: a batch has at most ${MAX_BATCH_SIZE} messages.`)
  }
  if (!body.every(isMessage)) {
    throw new InvalidMessageError('Invalid Request: the batch holds what is no JSON-RPC 2.0 message.')
  }
  const ids = body.filter(isRequest).map(({ id }) => id)
  if (new Set(ids).size < ids.length) {
    throw new InvalidMessageError('Invalid Request: two requests of the batch have one id.')
  }
  return body
}

/** What is wrong with a request that would be one but for its parameters; undefined of anything else. */
export function findInvalidParams (body: unknown): InvalidParamsError | undefined {
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

/** Whether the SDK will take this as a message: exactly what its own schemas accept, as others would never be answered. */
export function isMessage (value: unknown): value is JSONRPCMessage {
  return hasPlainMembers(value, isPlainMeta) ||
    isJSONRPCRequest(value) || isJSONRPCNotification(value) || isJSONRPCResultResponse(value) ||
    isJSONRPCErrorResponse(value)
}

/**
 * Whether this is a request or notification with nothing in it but its method and parameters (no `_meta`). Most are, and
 * a look at the members tells; the schemas of either SDK come to the same answer at ten times the cost.
 */
export function isPlainMessage (value: unknown): value is JSONRPCRequest | JSONRPCNotification {
  return hasPlainMembers(value, () => false)
}

/** @param takesMeta whether it may have this `_meta` */
function hasPlainMembers (
  value: unknown,
  takesMeta: (meta: unknown) => boolean
): value is JSONRPCRequest | JSONRPCNotification {
  if (typeof value !== 'object' || value === null || !('jsonrpc' in value) || value.jsonrpc !== '2.0') return false
  if (!('method' in value) || typeof value.method !== 'string') return false
  let members = 2
  if ('id' in value) {
    if (typeof value.id !== 'string' && !Number.isSafeInteger(value.id)) return false
    members++
  }
  if ('params' in value) {
    const { params } = value
    if (
      !isObject(params) ||
      ('_meta' in params && !takesMeta(params._meta))
    ) return false
    members++
  }
  return Object.keys(value).length === members
}

/** Whether nothing in a `_meta` is of a kind that the SDK has a schema for, but a progress token. */
function isPlainMeta (meta: unknown): boolean {
  if (!isObject(meta) || RELATED_TASK_META_KEY in meta) return false
  return !('progressToken' in meta) || typeof meta.progressToken === 'string' ||
    Number.isSafeInteger(meta.progressToken)
}

/** Whether a message asks for an answer. */
export function isRequest (message: JSONRPCMessage): message is JSONRPCRequest {
  return 'method' in message && 'id' in message
}

/** Whether a message is a notification. */
export function isNotification (message: JSONRPCMessage): message is JSONRPCNotification {
  return 'method' in message && !('id' in message)
}

/** Text of a JSON-RPC error response; without an `id`, for a message that could not be told. */
export function errorText (
  code: number,
  message: string,
  id: RequestId | null = null,
  data?: Record<string, unknown>
): string {
  return JSON.stringify({ jsonrpc: '2.0', id, error: { code, message, ...data && { data } } })
}

/** Text of an error response to each request of a body, which is refused as a whole; with the id null where it has none. */
export function refusalText (body: unknown, code: number, message: string, data: Record<string, unknown>): string {
  const ids = [body].flat().filter(message => isMessage(message)).filter(isRequest).map(({ id }) => id)
  if (Array.isArray(body) && ids.length > 0) return `[${ids.map(id => errorText(code, message, id, data)).join(',')}]`
  return errorText(code, message, ids[0], data)
}
