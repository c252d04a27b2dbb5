import { randomUUID } from 'node:crypto'
import { ProtocolError, type JSONRPCNotification } from '@modelcontextprotocol/server'
import { TemporarilyUnavailableError } from '../../../errors.js'
import type { Bus } from '../../../stores/bus.js'
import {
  firstEventId,
  type EventLog,
  type EventReader,
  type Following,
  type StreamEvent
} from '../../../stores/event-log.js'
import type { BridgedOutcome, OpenRequest } from './bridged-call.js'
import type { Log } from '../../../log.js'
import type { CallClaim } from './suspended-calls.js'
import type { Replica } from '../../replica.js'
import { parseRecord } from '../../../parse-record.js'
import { jsonRpcCodes } from '../../../json-rpc-codes.js'

/** What the replica that has a call writes into the event log for the one that the client has come back to. */
export type HandedEvent =
  | { kind: 'taken' }
  /** It has no such call. */
  | { kind: 'unknown' }
  | { kind: 'notification', notification: JSONRPCNotification }
  | BridgedOutcome

export interface HandOverOptions {
  replica: Replica
  eventLog: EventLog
  bus: Bus
  log: Log
}

/** The one stream of an exchange, whose id stands for that of a session. */
export const HANDOVER_STREAM = 'answer'

// a live replica takes a call up at once, unless it is cut off from the others
const TAKEN_MS = 5000

/**
 * Hands a client's input to the replica where the call waits, and passes on the outcome.
 * @returns undefined if no such call waits there
 * @throws {ProtocolError} (rejects with it) if that replica has died, or cannot be reached now
 */
export async function handOver (
  { replica, eventLog, bus, log }: HandOverOptions,
  replicaId: string,
  claim: CallClaim,
  inputResponses: Readonly<Record<string, unknown>>,
  open: OpenRequest
): Promise<BridgedOutcome | undefined> {
  const exchangeId = randomUUID()
  const background = (work: Promise<void>) => {
    work.catch((err: unknown) => {
      log.warn({ err }, 'what is left of a call that was handed over')
    })
  }
  let handed = false
  let answer: RemoteResumption | undefined
  let following: Following | undefined
  try {
    if (!await replica.isAlive(replicaId)) throw hasDied()
    answer = new RemoteResumption(replica, replicaId, open)
    await eventLog.open(exchangeId, HANDOVER_STREAM, { resumable: false })
    following = await eventLog.follow(exchangeId, HANDOVER_STREAM, firstEventId(HANDOVER_STREAM), answer)
    handed = true
    const { progressToken } = open
    await bus.send(replicaId, 'callResumed', {
      ...claim,
      replicaId,
      origin: replica.id,
      exchangeId,
      inputResponses,
      ...progressToken !== undefined && { progressToken }
    })
    return await answer.outcome
  } catch (error) {
    if (handed) background(bus.send(replicaId, 'callAbandoned', { replicaId, callId: claim.callId, exchangeId }))
    throw error instanceof TemporarilyUnavailableError ? isSilent() : error
  } finally {
    answer?.close()
    following?.stop()
    if (following !== undefined) background(eventLog.deleteSession(exchangeId))
  }
}

/** A call that was handed over, as the client's replica sees it. */
class RemoteResumption implements EventReader {
  /** The outcome; undefined if there is no such call. */
  readonly outcome: Promise<BridgedOutcome | undefined>
  readonly #open: OpenRequest
  readonly #unwatch: () => void
  readonly #silence: NodeJS.Timeout
  #resolve: (outcome: BridgedOutcome | undefined) => void = () => {}
  #reject: (error: Error) => void = () => {}

  constructor (replica: Replica, replicaId: string, open: OpenRequest) {
    this.#open = open
    this.outcome = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    // it may fail before anybody waits for it
    this.outcome.catch(() => {})
    this.#unwatch = replica.watch(replicaId, () => { this.#reject(hasDied()) })
    this.#silence = setTimeout(() => { this.#reject(isSilent()) }, TAKEN_MS)
    open.signal.addEventListener('abort', this.#leave, { once: true })
    if (open.signal.aborted) this.#leave()
  }

  onEvent ({ data }: StreamEvent): void {
    clearTimeout(this.#silence)
    const event: HandedEvent = parseRecord(data)
    if (event.kind === 'notification') this.#open.notify(event.notification)?.catch(() => {})
    else if (event.kind === 'unknown') this.#resolve(undefined)
    else if (event.kind !== 'taken') this.#resolve(event)
  }

  /** After the outcome, this changes nothing. */
  onEnd (): void {
    this.#reject(isSilent())
  }

  close (): void {
    clearTimeout(this.#silence)
    this.#unwatch()
    this.#open.signal.removeEventListener('abort', this.#leave)
  }

  readonly #leave = (): void => { this.#reject(new Error('The client has gone.')) }
}

function hasDied (): ProtocolError {
  return new ProtocolError(
    jsonRpcCodes.invalidParams,
    'The server process that was handling this call has stopped. The call was not run again: retry it.'
  )
}

function isSilent (): ProtocolError {
  return new ProtocolError(
    jsonRpcCodes.serverError,
    'The process that this call waits in cannot be reached now. Try again in a moment.'
  )
}
