import type {
  JSONRPCErrorResponse,
  JSONRPCMessage,
  JSONRPCNotification,
  JSONRPCRequest,
  RequestId
} from '@modelcontextprotocol/server'
import { jsonRpcCodes } from '../../json-rpc-codes.js'
import type { SessionNotification } from '../../stores/bus.js'
import type { ServerTransport } from '../transport/server-transport.js'
import { findReplicaOf } from '../replica.js'
import { requestKey, type RunningRequests } from './running-requests.js'

type Unrequested = Exclude<JSONRPCMessage, JSONRPCRequest>

/** Where a message of a client goes besides the instance here. */
export type Destination =
  /** The replica that gave out the id or token in it. */
  | { replicaId: string }
  /** Every replica: what they must know of it, which is small whatever the client wrote. */
  | { notification: SessionNotification }

const MAX_REASON = 200

/** Whether a message concerns the instance with these requests; if not, it may concern one on another replica. */
export function concerns (
  message: Unrequested,
  server: Pick<ServerTransport, 'expects' | 'isOwnToken'>,
  running: Pick<RunningRequests, 'has'>
): boolean {
  if (!('method' in message)) return server.expects(message.id)
  const { method, params } = message
  if (method === 'notifications/cancelled') return isRequestId(params?.requestId) && running.has(params.requestId)
  if (method === 'notifications/progress') return server.isOwnToken(params?.progressToken)
  return isForEveryInstance(message)
}

/**
 * Where a message must go besides the instance here. Nothing that a client wrote goes to all replicas as it is, and
 * nothing goes anywhere that names nothing that a replica gave out.
 * @param isConcerned whether it concerns the instance here
 */
export function findDestination (message: Unrequested, isConcerned: boolean): Destination | undefined {
  if ('method' in message && isForEveryInstance(message)) {
    return { notification: { method: 'notifications/roots/list_changed' } }
  }
  if (isConcerned) return undefined
  if (!('method' in message)) return toReplicaOf(message.id)
  const { method, params } = message
  if (method === 'notifications/progress') return toReplicaOf(params?.progressToken)
  if (method !== 'notifications/cancelled' || !isRequestId(params?.requestId)) return undefined
  const { requestId, reason } = params
  return {
    notification: {
      method: 'notifications/cancelled',
      request: requestKey(requestId),
      ...typeof reason === 'string' && { reason: reason.slice(0, MAX_REASON) }
    }
  }
}

/** The message that a notification of another replica stands for; undefined if it concerns none of these requests. */
export function restore (
  notification: SessionNotification,
  running: Pick<RunningRequests, 'findByKey'>
): JSONRPCNotification | undefined {
  const { method } = notification
  if (method === 'notifications/roots/list_changed') return { jsonrpc: '2.0', method }
  const { request, reason } = notification
  const requestId = running.findByKey(request)
  return requestId === undefined
    ? undefined
    : { jsonrpc: '2.0', method, params: { requestId, ...reason !== undefined && { reason } } }
}

function toReplicaOf (id: unknown): Destination | undefined {
  const replicaId = findReplicaOf(id)
  return replicaId === undefined ? undefined : { replicaId }
}

function isRequestId (id: unknown): id is RequestId {
  return typeof id === 'string' || typeof id === 'number'
}

function isForEveryInstance ({ method }: { method: string }): boolean {
  return method === 'notifications/roots/list_changed'
}

/** The response to a request of the server that its client will never read. */
export function refuseRequest (id: RequestId): JSONRPCErrorResponse {
  const message = 'The client does not listen: too many requests wait for it.'
  return { jsonrpc: '2.0', id, error: { code: jsonRpcCodes.serverError, message } }
}
