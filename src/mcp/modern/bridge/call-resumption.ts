import { ProtocolError } from '@modelcontextprotocol/server'
import type { Bus, BusMessages, CallResumed } from '../../../stores/bus.js'
import type { EventLog } from '../../../stores/event-log.js'
import type { LeaseStore } from '../../../stores/leases.js'
import type { Admission } from '../../admission/admission.js'
import type { BridgedOutcome, OpenRequest } from './bridged-call.js'
import type { Log } from '../../../log.js'
import { HandedResponse } from './handed-response.js'
import {
  CALL_AGAIN,
  handOver,
  mayContinue,
  TAKEN,
  type InputOutcome
} from './remote-resumption.js'
import { Rounds } from './rounds.js'
import { SuspendedCalls, type CallClaim, type SuspendedCallsOptions } from './suspended-calls.js'
import type { Replica } from '../../replica.js'
import type { RequestState } from './request-state.js'
import { jsonRpcCodes } from '../../../json-rpc-codes.js'

export interface CallResumptionOptions {
  admission: Admission
  suspendedCalls: SuspendedCallsOptions
  replica: Replica
  eventLog: EventLog
  bus: Bus
  leases: LeaseStore
  log: Log
}

/** A call of this process that continues for a client of another replica. */
interface Resumption {
  /** Nobody waits at that replica any longer. */
  left: AbortController
  /** Whether the client may come back. */
  mayReturn: boolean
  response: HandedResponse
  over: Promise<void>
}

/**
 * Calls that wait for their client to bring what they asked for, on whatever replica. A call lives in the process that
 * began it; a client that comes back elsewhere is handed over to it by the bus, and the answer comes back by the
 * event log.
 */
export class CallResumption {
  readonly #options: CallResumptionOptions
  readonly suspended: SuspendedCalls
  readonly #rounds: Rounds<BridgedOutcome>
  readonly #exchanges = new Map<string, Resumption>()
  readonly #subscriptions: Array<() => void>

  constructor (options: CallResumptionOptions) {
    const { bus, replica } = options
    this.#options = options
    this.suspended = new SuspendedCalls(options.suspendedCalls, options.admission)
    this.#rounds = new Rounds(options.suspendedCalls.repeatedInputMs, options.admission)
    this.#subscriptions = [
      bus.subscribe('grantEnded', ({ grantId }) => {
        this.#endGrant(grantId)
      }),
      bus.subscribe('callResumed', message => {
        if (message.replicaId === replica.id) this.#takeUp(message)
      }),
      bus.subscribe('callAbandoned', message => {
        if (message.replicaId === replica.id) this.#abandon(message)
      })
    ]
  }

  /** The grants of the calls that wait here, or run for clients of other replicas. */
  * grantsInUse (): Iterable<string | undefined> {
    yield * this.#rounds.grantsInUse()
    yield * this.suspended.grantsInUse()
  }

  /** Whether calls run here for clients of other replicas, or for such as may come back. */
  get running (): boolean {
    return this.#exchanges.size > 0 || this.#rounds.running
  }

  /**
   * Continues a suspended call, on the replica where it waits. If it asks for more input, it is suspended again.
   * @throws {ProtocolError} (rejects with it) if it no longer waits, or cannot be reached
   */
  async resume (
    replicaId: string,
    claim: CallClaim,
    inputResponses: Readonly<Record<string, unknown>>,
    open: OpenRequest
  ): Promise<BridgedOutcome> {
    const outcome = replicaId === this.#options.replica.id
      ? await this.#continue(claim, inputResponses, open)
      : await handOver(this.#options, replicaId, claim, inputResponses, open)
    if (outcome.kind === 'unknown') {
      throw new ProtocolError(
        jsonRpcCodes.invalidParams,
        `This call is no longer waiting for input: it has ended, or was given up. ${CALL_AGAIN}`
      )
    }
    if (outcome.kind === 'other-input') {
      throw new ProtocolError(
        jsonRpcCodes.invalidParams,
        'This requestState was brought back before, with other inputResponses: it is good for one answer.'
      )
    }
    return outcome
  }

  /** Continues a call that waits here, or follows the one that the same input has continued already. */
  async #continue (
    claim: CallClaim,
    input: Readonly<Record<string, unknown>>,
    open: OpenRequest
  ): Promise<InputOutcome> {
    const repeated = this.#rounds.find(claim, input)
    if (repeated === 'other-input') return { kind: repeated }
    if (repeated !== undefined) return await repeated.join(open)
    const call = this.suspended.take(claim)
    if (call === undefined) return { kind: 'unknown' }
    const run = async (request: OpenRequest) =>
      await this.suspended.settle(call, call.resume(input, request), claim)
    return await this.#rounds.begin(claim, input, run).join(open)
  }

  /**
   * Seals what names a call that waits: `state` of a call made here, or that of the client that has come back to it.
   */
  stateOf (
    { callId, round, callee }: Omit<RequestState, 'replicaId'>,
    replicaId = this.#options.replica.id
  ): RequestState {
    return { replicaId, callId, round, callee }
  }

  /** Gives up a call that waits, wherever it does. */
  giveUp ({ replicaId, callId }: RequestState): void {
    const { bus, log, replica } = this.#options
    if (replicaId === replica.id) this.suspended.giveUp(callId)
    else {
      bus.send(replicaId, 'callAbandoned', { replicaId, callId }).catch((err: unknown) => {
        log.warn({ err }, 'a call of another replica could not be given up')
      })
    }
  }

  /** Gives up every call of this process; those who wait for one elsewhere are told. */
  async close (): Promise<void> {
    for (const unsubscribe of this.#subscriptions) unsubscribe()
    this.suspended.close()
    this.#rounds.close()
    for (const { response } of this.#exchanges.values()) response.hurry()
    await Promise.all([...this.#exchanges.values()].map(({ over }) => over))
  }

  /** Continues a call for a client of another replica, which reads the outcome from the event log. */
  #takeUp ({ origin, exchangeId, inputResponses, progressToken, ...claim }: CallResumed): void {
    // the message arrived twice
    if (this.#exchanges.has(exchangeId)) return
    const { log, replica } = this.#options
    const left = new AbortController()
    const response = new HandedResponse(this.#options, exchangeId, () => {
      log.info('a call is cancelled: its client does not read')
      exchange.mayReturn = false
      left.abort()
    })
    const exchange: Resumption = { left, mayReturn: true, response, over: Promise.resolve() }
    const open: OpenRequest = {
      signal: left.signal,
      mayReturn: () => exchange.mayReturn,
      progressToken,
      notify: notification => response.write({ kind: 'notification', notification })
    }
    left.signal.addEventListener('abort', () => { response.abandon() }, { once: true })
    const unwatch = replica.watch(origin, () => { left.abort() })
    const taken = () => { response.write(TAKEN)?.catch(() => {}) }
    exchange.over = this.#continueIfAwaited(exchangeId, claim, inputResponses, open, taken)
      .then(async outcome => { if (outcome !== undefined) await response.end(outcome) })
      .catch((err: unknown) => { log.warn({ err }, 'a call of this replica could not continue for another') })
      .finally(() => {
        unwatch()
        this.#exchanges.delete(exchangeId)
      })
    this.#exchanges.set(exchangeId, exchange)
  }

  /**
   * Continues a call, unless the replica that waits for it has given up.
   * @returns undefined if it has: its client was told that the call has not run
   */
  async #continueIfAwaited (
    exchangeId: string,
    claim: CallClaim,
    input: Readonly<Record<string, unknown>>,
    open: OpenRequest,
    taken: () => void
  ): Promise<InputOutcome | undefined> {
    const isKnown = this.suspended.has(claim) || this.#rounds.find(claim, input) !== undefined
    if (!isKnown) return { kind: 'unknown' }
    if (!await mayContinue(this.#options, exchangeId)) return undefined
    taken()
    return await this.#continue(claim, input, open)
  }

  #abandon ({ callId, exchangeId, mayReturn = false }: BusMessages['callAbandoned']): void {
    if (exchangeId === undefined) {
      this.suspended.giveUp(callId)
      return
    }
    const exchange = this.#exchanges.get(exchangeId)
    if (exchange === undefined) return
    exchange.mayReturn = mayReturn
    exchange.left.abort()
  }

  #endGrant (ended: string): void {
    this.suspended.endGrant(ended)
    this.#rounds.endGrant(ended)
  }
}
