import type { EventLog } from '../../stores/event-log.js'
import { errorText } from '../wire/messages.js'
import { REPLICA_ID_LENGTH, type Replica } from '../replica.js'

const ABANDONED_CODE = -32000
const ABANDONED = 'The process that ran this request has ended. The request was not run again.'

/** Completes the streams of replicas that have died: whoever waits is told, and nothing is run twice. */
export class AbandonedStreams {
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

  /** Completes a stream with errors where the replica that writes it has died. */
  async settle (sessionId: string, streamId: string): Promise<void> {
    if (!this.isForeign(streamId) || await this.#replica.isAlive(streamId.slice(0, REPLICA_ID_LENGTH))) return
    const requestIds = await this.#eventLog.pendingRequests(sessionId, streamId)
    if (requestIds === undefined) return
    // one step: should the replica only have been slow, either its answer stands or ours
    await this.#eventLog.settle(
      sessionId,
      streamId,
      requestIds.map(id => ({ requestId: id, data: errorText(ABANDONED_CODE, ABANDONED, id) }))
    )
  }
}
