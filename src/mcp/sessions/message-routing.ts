import type { JSONRPCMessage, JSONRPCRequest } from '@modelcontextprotocol/server'
import type { ServerTransport } from '../transport/server-transport.js'
import type { RunningRequests } from './running-requests.js'

type Unrequested = Exclude<JSONRPCMessage, JSONRPCRequest>

/** Whether a message concerns the instance with these requests; if not, it may concern one on another replica. */
export function concerns (
  message: Unrequested,
  server: Pick<ServerTransport, 'expects' | 'isOwnToken'>,
  running: Pick<RunningRequests, 'has'>
): boolean {
  if (!('method' in message)) return server.expects(message.id)
  const { method, params } = message
  if (method === 'notifications/cancelled') {
    return (typeof params?.requestId === 'string' || typeof params?.requestId === 'number') &&
      running.has(params.requestId)
  }
  if (method === 'notifications/progress') return server.isOwnToken(params?.progressToken)
  return isForEveryInstance(message)
}

/** Whether a message must go to the other replicas. @param isConcerned whether it concerns the instance here */
export function isForOtherReplicas (message: Unrequested, isConcerned: boolean): boolean {
  if (!('method' in message)) return !isConcerned
  if (isForEveryInstance(message)) return true
  return !isConcerned && (message.method === 'notifications/cancelled' || message.method === 'notifications/progress')
}

function isForEveryInstance ({ method }: { method: string }): boolean {
  return method === 'notifications/roots/list_changed'
}
