import type { EventLog } from '../../stores/event-log.js'
import { errorText } from '../wire/messages.js'
import { REPLICA_ID_LENGTH, type Replica } from '../replica.js'
import { jsonRpcCodes } from '../../json-rpc-codes.js'

const ORPHANED = 'The process that ran this request has ended. The request was not run again.'

/** Completes the streams of replicas that have died: their readers get an error, and nothing is run twice. */
export class OrphanedStreams {
  readonly #eventLog: EventLog
  readonly #replica: Replica

  constructor (eventLog: EventLog, replica: Replica) {
    this.#eventLog = eventLog
    this.#replica = replica
  }

  /** Whether another replica writes a stream. */
  isForeign (streamId: string): boolean {
    return streamId.length > REPLICA_ID_LENGTH && !streamId.startsWith(this.#replica.id)
  }

  /** Completes a stream with errors if the replica that writes it has died. */
  async settle (sessionId: string, streamId: string): Promise<void> {
    if (!this.isForeign(streamId) || await this.#replica.isAlive(streamId.slice(0, REPLICA_ID_LENGTH))) return
    const requestIds = await this.#eventLog.pendingRequests(sessionId, streamId)
    if (requestIds === undefined) return
    // one step: if that replica was only slow, either its response stands or this error
    await this.#eventLog.settle(
      sessionId,
      streamId,
      requestIds.map(id => ({ requestId: id, data: errorText(jsonRpcCodes.serverError, ORPHANED, id) }))
    )
  }
}
