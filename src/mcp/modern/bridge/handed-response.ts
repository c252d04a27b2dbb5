import { jsonRpcCodes } from '../../../json-rpc-codes.js'
import type { Log } from '../../../log.js'
import type { EventLog } from '../../../stores/event-log.js'
import type { Replica } from '../../replica.js'
import { EventLogWriter } from '../../transport/event-log-writer.js'
import { makeGate } from '../../transport/gate.js'
import { HANDOVER_STREAM, type HandedEvent } from './remote-resumption.js'
import type { SuspendedCallsOptions } from './suspended-calls.js'

// characters that may wait for the replica that the client has come back to, before the server has to
const MAX_WAITING = 1_048_576

const TOO_SLOW: HandedEvent = {
  kind: 'response',
  response: {
    jsonrpc: '2.0',
    id: 0,
    error: {
      code: jsonRpcCodes.serverError,
      message: 'The call was cancelled: too much of its response waits for the client to read it.'
    }
  }
}

/**
 * What becomes of a call, for the replica that the client has come back to. It is written to the event log no faster
 * than that replica reads it, and so its client.
 */
export class HandedResponse {
  readonly #writer: EventLogWriter
  readonly #maxUnread: number
  readonly #onOverflow: () => void
  readonly #written = makeGate()
  #isComplete = false

  /** @param onOverflow called when more waits than may; the response then ends with an error */
  constructor (
    options: { eventLog: EventLog, replica: Replica, log: Log, suspendedCalls: SuspendedCallsOptions },
    exchangeId: string,
    onOverflow: () => void
  ) {
    const { eventLog, replica, log, suspendedCalls: { maxUnreadBytesPerStream } } = options
    this.#maxUnread = maxUnreadBytesPerStream
    this.#onOverflow = onOverflow
    this.#writer = new EventLogWriter({
      eventLog,
      sessionId: exchangeId,
      streamId: HANDOVER_STREAM,
      maxWaiting: MAX_WAITING,
      newName: () => replica.newId(),
      log
    })
  }

  /** Writes an event. @returns what resolves when the next one may come; undefined if it may now */
  write (event: HandedEvent): Promise<void> | undefined {
    if (this.#isComplete) return undefined
    if (this.#writer.characters > this.#maxUnread) {
      this.#complete(TOO_SLOW)
      this.#onOverflow()
      return undefined
    }
    this.#writer.append({ data: JSON.stringify(event) })
    return this.#writer.room
  }

  /** Writes the last event, unless the response has ended. Resolves when all is written, or nobody wants it. */
  async end (event: HandedEvent): Promise<void> {
    this.#complete(event)
    await this.#written.promise
  }

  /** Nobody reads: what waits is dropped, unless the response has ended. */
  abandon (): void {
    if (this.#isComplete) return
    this.#isComplete = true
    this.#written.open()
    this.#writer.close()
  }

  /** The process ends: what waits is written now, however far behind the reader is. */
  hurry (): void {
    this.#writer.finish()
  }

  #complete (event: HandedEvent): void {
    if (this.#isComplete) return
    this.#isComplete = true
    this.#writer.append({ data: JSON.stringify(event), isKept: true, isFinal: true }, () => { this.#written.open() })
  }
}
