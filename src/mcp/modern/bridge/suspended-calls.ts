import { limitKey } from '../../../caller.js'
import { Groups } from '../../../collections/groups.js'
import type { BridgedCall, BridgedOutcome } from './bridged-call.js'
import type { Admission } from '../../admission/admission.js'
import type { Holder } from '../../admission/places.js'
import type { SessionLimits } from '../../limits.js'

export type SuspendedCallsOptions = Pick<
  SessionLimits,
  'maxSuspendedCalls' | 'maxSuspendedCallsPerPerson' | 'suspendedCallSeconds' | 'repeatedInputMs' |
  'maxUnreadBytesPerStream'
>

/** Whom a call waits for. */
export interface CallHolder {
  /** Person and client. */
  owner: string
  /** The person alone. */
  person: string
  grantId?: string
}

/** Names a suspended call, as the client that comes back to it does. */
export interface CallClaim extends CallHolder {
  callId: string
  /** How often it had asked. */
  round: number
  /** What is called: it must be the same. */
  callee: string
}

interface Suspended extends CallHolder {
  call: BridgedCall
  timer: NodeJS.Timeout
  /** Its server instance, among those of the process. */
  place: Holder
}

/**
 * Calls of this process that wait for their client to come back with what they asked for. Bounded in number and time.
 */
export class SuspendedCalls {
  readonly #suspended = new Map<string, Suspended>()
  /** Ids of each person's, the oldest first. */
  readonly #persons = new Groups<string, string>()
  readonly #options: SuspendedCallsOptions
  readonly #admission: Admission

  constructor (options: SuspendedCallsOptions, admission: Admission) {
    this.#options = options
    this.#admission = admission
  }

  /** Waits for what a call comes to. If it asks for input, it is suspended; otherwise it is over. */
  async settle (call: BridgedCall, pending: Promise<BridgedOutcome>, holder: CallHolder): Promise<BridgedOutcome> {
    const outcome = await pending
    if (outcome.kind === 'response') call.finish()
    else this.#suspend(call, holder)
    return outcome
  }

  /** Whether this owner has such a call. */
  has (claim: CallClaim): boolean {
    return this.#find(claim) !== undefined
  }

  /** Takes up a call. @returns undefined if this owner has no such call */
  take (claim: CallClaim): BridgedCall | undefined {
    const suspended = this.#find(claim)
    if (suspended !== undefined) this.#forget(claim.callId, suspended)
    return suspended?.call
  }

  #find ({ callId, round, owner, callee }: CallClaim): Suspended | undefined {
    const suspended = this.#suspended.get(callId)
    const isMeant = suspended?.owner === owner && suspended.call.round === round && suspended.call.callee === callee
    return isMeant ? suspended : undefined
  }

  /** Gives up a call: it is cancelled. */
  giveUp (callId: string | undefined): void {
    const suspended = callId === undefined ? undefined : this.#suspended.get(callId)
    if (callId === undefined || suspended === undefined) return
    this.#forget(callId, suspended)
    suspended.call.close()
  }

  /** The grants of the calls that wait. */
  * grantsInUse (): Iterable<string | undefined> {
    for (const { grantId } of this.#suspended.values()) yield grantId
  }

  /** Gives up the calls of a grant that has ended. */
  endGrant (ended: string): void {
    for (const [id, { grantId }] of [...this.#suspended]) if (grantId === ended) this.giveUp(id)
  }

  /** Gives up every call. */
  close (): void {
    for (const id of [...this.#suspended.keys()]) this.giveUp(id)
  }

  #suspend (call: BridgedCall, holder: CallHolder): void {
    const { suspendedCallSeconds } = this.#options
    this.#makeRoomFor(limitKey(holder.person))
    const giveUp = () => { this.giveUp(call.id) }
    const timer = setTimeout(giveUp, suspendedCallSeconds * 1000).unref()
    const place: Holder = { person: holder.person, state: 'lasting', giveWay: giveUp }
    this.#admission.addInstance(place)
    this.#suspended.set(call.id, { call, ...holder, timer, place })
    this.#persons.add(limitKey(holder.person), call.id)
  }

  /**
   * Gives up the oldest call of a person who has reached the limit, or, if there are too many in all, of the person
   * with the most.
   */
  #makeRoomFor (person: string): void {
    const { maxSuspendedCalls, maxSuspendedCallsPerPerson } = this.#options
    if (this.#persons.count(person) >= maxSuspendedCallsPerPerson) {
      this.giveUp(this.#persons.get(person)?.first)
    } else if (this.#suspended.size >= maxSuspendedCalls && this.#persons.largest !== undefined) {
      this.giveUp(this.#persons.get(this.#persons.largest)?.first)
    }
  }

  #forget (callId: string, { timer, place, person }: Suspended): void {
    this.#suspended.delete(callId)
    this.#persons.delete(limitKey(person), callId)
    clearTimeout(timer)
    this.#admission.freeInstance(place)
  }
}
