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
import type { CallClaim, SuspendedCallsOptions } from './suspended-calls.js'
import type { Replica } from '../../replica.js'
import { leaseNames, type LeaseStore } from '../../../stores/leases.js'
import { parseRecord } from '../../../parse-record.js'
import { jsonRpcCodes } from '../../../json-rpc-codes.js'

/** What becomes of a client's input: the call's outcome, or why there is none. */
export type InputOutcome =
  | BridgedOutcome
  /** No such call waits. */
  | { kind: 'unknown' }
  /** It had other input already. */
  | { kind: 'other-input' }

/** What the replica that has a call writes into the event log for the one that the client has come back to. */
export type HandedEvent =
  | { kind: 'taken' }
  | { kind: 'notification', notification: JSONRPCNotification }
  | InputOutcome

interface DecisionOptions {
  replica: Replica
  leases: LeaseStore
  suspendedCalls: SuspendedCallsOptions
}

export interface HandOverOptions extends DecisionOptions {
  eventLog: EventLog
  bus: Bus
  log: Log
}

export const TAKEN: HandedEvent = { kind: 'taken' }

/** The one stream of an exchange, whose id stands for that of a session. */
export const HANDOVER_STREAM = 'answer'

/** The same requestState would fail again. */
export const CALL_AGAIN = 'To make the call again, send it without requestState and inputResponses.'

// a live replica takes a call up at once, unless it is cut off from the others
const TAKEN_MS = 5000
/** A decision is kept for this much longer than a call waits for its client: then the call was given up. */
const MARGIN_MS = 60_000

/**
 * Decides, once for all replicas, who has a call that is handed over: the replica where it waits, which then continues
 * it, or the one that waits, which then says that it has not run.
 * @returns whether it is for this replica
 */
export async function mayContinue (
  { leases, replica, suspendedCalls: { suspendedCallSeconds } }: DecisionOptions,
  exchangeId: string
): Promise<boolean> {
  return await leases.acquire(leaseNames.resumption(exchangeId), replica.id, suspendedCallSeconds * 1000 + MARGIN_MS)
}

/**
 * Hands a client's input to the replica where the call waits, and passes on the outcome.
 * @throws {ProtocolError} (rejects with it) if that replica has died, or cannot be reached now
 */
export async function handOver (
  options: HandOverOptions,
  replicaId: string,
  claim: CallClaim,
  inputResponses: Readonly<Record<string, unknown>>,
  open: OpenRequest
): Promise<InputOutcome> {
  const { replica, eventLog, bus, log } = options
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
    answer = new RemoteResumption(replica, replicaId, open, {
      prevent: async () => await mayContinue(options, exchangeId)
    })
    await eventLog.open(exchangeId, HANDOVER_STREAM, {})
    following = await eventLog.follow(exchangeId, HANDOVER_STREAM, firstEventId(HANDOVER_STREAM), answer)
    if (following !== undefined) answer.reads(following)
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
    const abandoned = { replicaId, callId: claim.callId }
    const exchange = answer?.isLost === true ? {} : { exchangeId, mayReturn: open.mayReturn() }
    if (handed) background(bus.send(replicaId, 'callAbandoned', { ...abandoned, ...exchange }))
    throw error instanceof TemporarilyUnavailableError ? isSilent() : error
  } finally {
    answer?.close()
    following?.stop()
    if (following !== undefined) background(eventLog.deleteSession(exchangeId))
  }
}

interface ExchangeActions {
  /** Decides that the other replica does not continue the call; it may have done so already. */
  prevent: () => Promise<boolean>
}

/** A call that was handed over, as the client's replica sees it: it reads as fast as the client does. */
class RemoteResumption implements EventReader {
  readonly outcome: Promise<InputOutcome>
  readonly #open: OpenRequest
  readonly #exchange: ExchangeActions
  #following: Following | undefined
  #isFull = false
  readonly #unwatch: () => void
  readonly #silence: NodeJS.Timeout
  /** Whether the other replica has it; if not, that is not known. */
  #isTaken = false
  /** Whether the client was told to make another call. */
  isLost = false
  #resolve: (outcome: InputOutcome) => void = () => {}
  #reject: (error: Error) => void = () => {}

  constructor (replica: Replica, replicaId: string, open: OpenRequest, exchange: ExchangeActions) {
    this.#open = open
    this.#exchange = exchange
    this.outcome = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    // it may fail before anybody waits for it
    this.outcome.catch(() => {})
    this.#unwatch = replica.watch(replicaId, () => {
      this.#giveUp(() => {
        this.isLost = true
        return hasDied()
      }, hasDiedRunning)
    })
    this.#silence = setTimeout(() => { this.#giveUp(isSilent) }, TAKEN_MS)
    open.signal.addEventListener('abort', this.#leave, { once: true })
    if (open.signal.aborted) this.#leave()
  }

  /** Whether the client has yet to read what it got. */
  get isFull (): boolean {
    return this.#isFull
  }

  /** Sets the reading of the log that it gets its events from. */
  reads (following: Following): void {
    this.#following = following
    if (!this.#isFull) following.resume()
  }

  onEvent ({ data }: StreamEvent): void {
    clearTimeout(this.#silence)
    this.#isTaken = true
    const event: HandedEvent = parseRecord(data)
    if (event.kind === 'notification') this.#pass(event.notification)
    else if (event.kind !== 'taken') this.#resolve(event)
  }

  #pass (notification: JSONRPCNotification): void {
    const taken = this.#open.notify(notification)
    if (taken === undefined) return
    this.#isFull = true
    taken.catch(() => {}).then(() => {
      this.#isFull = false
      this.#following?.resume()
    }).catch(() => {})
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

  /**
   * Waits no longer. That the call has not run is said only if it never will.
   * @param otherwise what is said if it may have run; without it, its outcome is still to come
   */
  #giveUp (notRun: () => ProtocolError, otherwise?: () => ProtocolError): void {
    this.#prevents().then(prevented => {
      if (prevented) this.#reject(notRun())
      else if (otherwise !== undefined) this.#reject(otherwise())
    }, () => { this.#reject(otherwise?.() ?? isSilent()) })
  }

  async #prevents (): Promise<boolean> {
    return !this.#isTaken && await this.#exchange.prevent()
  }

  readonly #leave = (): void => { this.#reject(new Error('The client has gone.')) }
}

function hasDied (): ProtocolError {
  return new ProtocolError(
    jsonRpcCodes.invalidParams,
    `The server process that was handling this call has stopped. Its input was not taken. ${CALL_AGAIN}`
  )
}

function hasDiedRunning (): ProtocolError {
  return new ProtocolError(
    jsonRpcCodes.serverError,
    'The server process that was running this call has stopped. It was not run again, but may have had its effect.'
  )
}

function isSilent (): ProtocolError {
  return new ProtocolError(
    jsonRpcCodes.serverError,
    'The process that this call waits in cannot be reached now. Send the same request again in ' +
      `${TAKEN_MS / 1000} seconds: what has run is not run again.`
  )
}
