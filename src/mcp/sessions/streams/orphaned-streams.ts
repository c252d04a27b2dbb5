import type { EventLog } from '../../../stores/event-log.js'
import type { Log } from '../../../log.js'
import { errorText } from '../../wire/messages.js'
import { REPLICA_ID_LENGTH, type Replica } from '../../replica.js'
import { jsonRpcCodes } from '../../../json-rpc-codes.js'
import { runInBackground } from '../background.js'

/** What the client is told of a request whose process has died. */
export const ORPHANED = 'The process that ran this request has ended. The request was not run again.'
const NOT_COMPLETED = 'a stream of a replica that died was not completed'

export interface OrphansHost {
  eventLog: EventLog
  replica: Replica
  log: Log
}

/**
 * Completes a stream that is read here if the replica that writes it dies: its reader gets an error, and nothing is run
 * twice. @returns what ends the watch; undefined if no other replica writes the stream
 */
export function settleIfOrphaned (
  { eventLog, replica, log }: OrphansHost,
  sessionId: string,
  streamId: string
): (() => void) | undefined {
  if (streamId.length <= REPLICA_ID_LENGTH || streamId.startsWith(replica.id)) return undefined
  let isSettling = false
  return replica.watch(streamId.slice(0, REPLICA_ID_LENGTH), () => {
    if (isSettling) return
    isSettling = true
    const settling = settle(eventLog, sessionId, streamId).finally(() => { isSettling = false })
    runInBackground(settling, log, NOT_COMPLETED, { sessionId })
  })
}

async function settle (eventLog: EventLog, sessionId: string, streamId: string): Promise<void> {
  const requestIds = await eventLog.pendingRequests(sessionId, streamId)
  if (requestIds === undefined) return
  // one step: if that replica was only slow, either its response stands or this error
  await eventLog.settle(
    sessionId,
    streamId,
    requestIds.map(id => ({ requestId: id, data: errorText(jsonRpcCodes.serverError, ORPHANED, id) }))
  )
}
