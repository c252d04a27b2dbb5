import { ProtocolError } from '@modelcontextprotocol/server'
import type { Bus, CallResumed } from '../../../stores/bus.js'
import type { EventLog } from '../../../stores/event-log.js'
import type { Admission } from '../../admission/admission.js'
import type { BridgedOutcome, OpenRequest } from './bridged-call.js'
import type { Log } from '../../../log.js'
import { handOver, HANDOVER_STREAM, type HandedEvent } from './remote-resumption.js'
import { EventLogWriter } from '../../transport/event-log-writer.js'
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
  log: Log
}

/** A call of this process that continues for a client of another replica. */
interface Resumption {
  grantId: string | undefined
  ended: AbortController
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
  readonly #exchanges = new Map<string, Resumption>()
  readonly #subscriptions: Array<() => void>

  constructor (options: CallResumptionOptions) {
    const { bus, replica } = options
    this.#options = options
    this.suspended = new SuspendedCalls(options.suspendedCalls, options.admission)
    this.#subscriptions = [
      bus.subscribe('grantEnded', ({ grantId }) => {
        this.#endGrant(grantId)
      }),
      bus.subscribe('callResumed', message => {
        if (message.replicaId === replica.id) this.#takeUp(message)
      }),
      bus.subscribe('callAbandoned', ({ replicaId, callId, exchangeId }) => {
        if (replicaId === replica.id) this.#abandon(callId, exchangeId)
      })
    ]
  }

  /** Whether calls run here for clients of other replicas. */
  get running (): boolean {
    return this.#exchanges.size > 0
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
    const { replica } = this.#options
    let outcome: BridgedOutcome | undefined
    if (replicaId === replica.id) {
      const call = this.suspended.take(claim)
      outcome = call && await this.suspended.settle(call, call.resume(inputResponses, open), claim)
    } else {
      outcome = await handOver(this.#options, replicaId, claim, inputResponses, open)
    }
    if (outcome === undefined) {
      throw new ProtocolError(jsonRpcCodes.invalidParams, 'This call is no longer waiting for input. Retry it.')
    }
    return outcome
  }

  /**
   * Seals what names a call that waits: `state` of a call made here, or that of the client that has come back to it.
   */
  stateOf (
    { callId, round }: Pick<RequestState, 'callId' | 'round'>,
    replicaId = this.#options.replica.id
  ): RequestState {
    return { replicaId, callId, round }
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
    for (const { ended } of this.#exchanges.values()) ended.abort()
    await Promise.all([...this.#exchanges.values()].map(({ over }) => over))
  }

  /** Continues a call for a client of another replica, which reads the outcome from the event log. */
  #takeUp ({ origin, exchangeId, inputResponses, progressToken, ...claim }: CallResumed): void {
    // the message arrived twice
    if (this.#exchanges.has(exchangeId)) return
    const { eventLog, log, replica } = this.#options
    const writer = new EventLogWriter({ eventLog, sessionId: exchangeId, streamId: HANDOVER_STREAM, log })
    const write = (event: HandedEvent, final = false) => { writer.append(JSON.stringify(event), final) }
    const call = this.suspended.take(claim)
    if (call === undefined) {
      write({ kind: 'unknown' }, true)
      return
    }
    write({ kind: 'taken' })
    const ended = new AbortController()
    const unwatch = replica.watch(origin, () => {
      ended.abort()
    })
    const open: OpenRequest = {
      signal: ended.signal,
      progressToken,
      notify: notification => {
        write({ kind: 'notification', notification })
        return undefined
      }
    }
    const over = this.suspended.settle(call, call.resume(inputResponses, open), claim).then(outcome => {
      write(outcome, true)
    }).finally(() => {
      unwatch()
      this.#exchanges.delete(exchangeId)
    })
    this.#exchanges.set(exchangeId, { grantId: claim.grantId, ended, over })
  }

  #abandon (callId: string, exchangeId: string | undefined): void {
    const exchange = exchangeId === undefined ? undefined : this.#exchanges.get(exchangeId)
    if (exchange === undefined) this.suspended.giveUp(callId)
    else exchange.ended.abort()
  }

  #endGrant (ended: string): void {
    this.suspended.endGrant(ended)
    for (const exchange of this.#exchanges.values()) if (exchange.grantId === ended) exchange.ended.abort()
  }
}
