import type { CallerInfo } from '../auth-info.js'
import type { BridgedCall } from './bridged-call.js'
import type { SessionLimits } from './limits.js'
import type { RequestState } from './request-state.js'

export type ParkedCallsOptions = Pick<SessionLimits, 'maxParkedCalls' | 'maxParkedCallsPerOwner' | 'parkedSeconds'>

interface Parked {
  call: BridgedCall
  owner: string
  grantId: string | undefined
  timer: NodeJS.Timeout
}

/** Calls that wait for their client to come back with what they asked for. Bounded in number and time. */
export class ParkedCalls {
  /** Oldest first. */
  readonly #parked = new Map<string, Parked>()
  readonly #options: ParkedCallsOptions

  constructor (options: ParkedCallsOptions) {
    this.#options = options
  }

  /** Number of calls that wait. */
  get size (): number {
    return this.#parked.size
  }

  /** Lets a call wait for `caller`. */
  park (call: BridgedCall, caller: CallerInfo): void {
    const { maxParkedCalls, maxParkedCallsPerOwner, parkedSeconds } = this.#options
    const owner = ownerOf(caller)
    const own = [...this.#parked].filter(([, parked]) => parked.owner === owner)
    if (own.length >= maxParkedCallsPerOwner) this.#giveUp(own[0]?.[0])
    else if (this.#parked.size >= maxParkedCalls) this.#giveUp(this.#parked.keys().next().value)
    const timer = setTimeout(() => { this.#giveUp(call.id) }, parkedSeconds * 1000).unref()
    this.#parked.set(call.id, { call, owner, grantId: caller.extra.grantId, timer })
  }

  /** Takes up a call. @returns undefined where there is none of this caller's that would be called so */
  take ({ callId, round }: RequestState, caller: CallerInfo, method: string, params: Record<string, unknown> | undefined): BridgedCall | undefined {
    const parked = this.#parked.get(callId)
    if (parked === undefined || parked.owner !== ownerOf(caller) || parked.call.round !== round || !parked.call.calls(method, params)) return undefined
    this.#parked.delete(callId)
    clearTimeout(parked.timer)
    return parked.call
  }

  /** Gives up the calls of a grant that has ended. */
  endGrant (ended: string): void {
    for (const [id, { grantId }] of [...this.#parked]) if (grantId === ended) this.#giveUp(id)
  }

  /** Gives up every call. */
  close (): void {
    for (const id of [...this.#parked.keys()]) this.#giveUp(id)
  }

  #giveUp (id: string | undefined): void {
    const parked = id === undefined ? undefined : this.#parked.get(id)
    if (id === undefined || parked === undefined) return
    this.#parked.delete(id)
    clearTimeout(parked.timer)
    void parked.call.close()
  }
}

function ownerOf ({ clientId, extra: { issuer, subject } }: CallerInfo): string {
  return JSON.stringify([issuer, subject, clientId])
}
