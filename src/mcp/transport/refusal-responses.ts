import type { JSONRPCErrorResponse, RequestId } from '@modelcontextprotocol/server'
import { LimitError, McpRequestError, type LimitName, type ServiceError } from '../../errors.js'
import { jsonRpcCodes } from '../../json-rpc-codes.js'
import type { JsonRpcResponse } from '../wire/messages.js'

/*
 * A server that is somewhere else has nothing but messages to say that it refuses a client. The error that such a
 * message stands for is remembered here, and not in the message: a hosted program could write it there, too.
 */
const refusals = new WeakMap<object, ServiceError>()

type LimitData = { limit: LimitName, retryAfterMs?: number }

/** The response that stands for an error which refuses a request before it runs. */
export function toRefusalResponse (error: ServiceError, id: RequestId): JSONRPCErrorResponse {
  const code = error instanceof McpRequestError ? error.jsonRpcCode : jsonRpcCodes.serverError
  const said = { code, message: error.message, ...error instanceof LimitError && { data: limitData(error) } }
  refusals.set(said, error)
  return { jsonrpc: '2.0', id, error: said }
}

/** The error that a response stands for; undefined: the server itself has responded. */
export function findRefusal (response: JsonRpcResponse): ServiceError | undefined {
  return 'error' in response ? refusals.get(response.error) : undefined
}

/** What the error of a limit says to programs. */
export function limitData ({ limit, retryAfterMs }: LimitError): LimitData {
  return { limit, ...retryAfterMs !== undefined && { retryAfterMs } }
}
