import type { BridgedCall, BridgedOutcome, OpenRequest } from './bridged-call.js'
import type { SessionLimits } from './limits.js'

export type ParkedCallsOptions = Pick<SessionLimits, 'maxParkedCalls' | 'maxParkedCallsPerOwner' | 'parkedSeconds'>

/** Whom a call waits for. */
export interface CallHolder {
  /** Person and client. */
  owner: string
  grantId?: string
}

/** What names a call that waits, by whoever comes back to it. */
export interface CallClaim extends CallHolder {
  callId: string
  /** How often it had asked. */
  round: number
  /** What is called: it must be the same. */
  callee: string
}

interface Parked extends CallHolder {
  call: BridgedCall
  timer: NodeJS.Timeout
}

/** Calls of this process that wait for their client to come back with what they asked for. Bounded in number and time. */
export class ParkedCalls {
  /** Oldest first. */
  readonly #parked = new Map<string, Parked>()
  readonly #options: ParkedCallsOptions

  constructor (options: ParkedCallsOptions) {
    this.#options = options
  }

  /** Makes a call. It is over with its answer, or waits when it asks for something. */
  async make (call: BridgedCall, request: Parameters<BridgedCall['call']>, holder: CallHolder): Promise<BridgedOutcome> {
    return await this.#settle(call, call.call(...request), holder)
  }

  /** Takes up a call. @returns undefined where there is none of this owner's that would be called so */
  take ({ callId, round, owner, callee }: CallClaim): BridgedCall | undefined {
    const parked = this.#parked.get(callId)
    if (parked === undefined || parked.owner !== owner || parked.call.round !== round || parked.call.callee !== callee) return undefined
    this.#forget(callId, parked)
    return parked.call
  }

  /** Goes on with a call that was taken up: like `make`. */
  async resume (call: BridgedCall, responses: Readonly<Record<string, unknown>>, open: OpenRequest, holder: CallHolder): Promise<BridgedOutcome> {
    return await this.#settle(call, call.resume(responses, open), holder)
  }

  /** Gives up a call: it is cancelled. */
  giveUp (callId: string | undefined): void {
    const parked = callId === undefined ? undefined : this.#parked.get(callId)
    if (callId === undefined || parked === undefined) return
    this.#forget(callId, parked)
    void parked.call.close()
  }

  /** Gives up the calls of a grant that has ended. */
  endGrant (ended: string): void {
    for (const [id, { grantId }] of [...this.#parked]) if (grantId === ended) this.giveUp(id)
  }

  /** Gives up every call. */
  close (): void {
    for (const id of [...this.#parked.keys()]) this.giveUp(id)
  }

  async #settle (call: BridgedCall, outcome: Promise<BridgedOutcome>, holder: CallHolder): Promise<BridgedOutcome> {
    const settled = await outcome
    if (settled.kind === 'response') await call.finish()
    else this.#park(call, holder)
    return settled
  }

  #park (call: BridgedCall, { owner, ...holder }: CallHolder): void {
    const { maxParkedCalls, maxParkedCallsPerOwner, parkedSeconds } = this.#options
    const own = [...this.#parked].filter(([, parked]) => parked.owner === owner)
    if (own.length >= maxParkedCallsPerOwner) this.giveUp(own[0]?.[0])
    else if (this.#parked.size >= maxParkedCalls) this.giveUp(this.#parked.keys().next().value)
    const timer = setTimeout(() => { this.giveUp(call.id) }, parkedSeconds * 1000).unref()
    this.#parked.set(call.id, { call, owner, ...holder, timer })
  }

  #forget (callId: string, { timer }: Parked): void {
    this.#parked.delete(callId)
    clearTimeout(timer)
  }
}
