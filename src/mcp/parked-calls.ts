import type { CallerInfo } from '../auth-info.js'
import type { BridgedCall } from './bridged-call.js'

export interface ParkedCallsOptions {
  /** Calls that wait at once in this process; one more gives up the oldest. */
  maxParked: number
  /** Time that a call waits for its client. */
  parkedSeconds: number
}

interface Parked {
  call: BridgedCall
  owner: string
  timer: NodeJS.Timeout
}

/** Calls that wait for their client to come back with what they asked for. Bounded in number and time. */
export class ParkedCalls {
  readonly #parked = new Map<string, Parked>()
  readonly #options: ParkedCallsOptions

  constructor (options: ParkedCallsOptions) {
    this.#options = options
  }

  /** Lets a call wait for `caller`. */
  park (call: BridgedCall, caller: CallerInfo): void {
    const timer = setTimeout(() => { this.#giveUp(call.id) }, this.#options.parkedSeconds * 1000).unref()
    this.#parked.set(call.id, { call, owner: ownerOf(caller), timer })
    const [oldest] = this.#parked.keys()
    if (this.#parked.size > this.#options.maxParked && oldest !== undefined) this.#giveUp(oldest)
  }

  /** Takes up a call. @returns undefined where there is none of this caller's */
  take (id: string, caller: CallerInfo): BridgedCall | undefined {
    const parked = this.#parked.get(id)
    if (parked === undefined || parked.owner !== ownerOf(caller)) return undefined
    this.#parked.delete(id)
    clearTimeout(parked.timer)
    return parked.call
  }

  /** Gives up every call. */
  close (): void {
    for (const id of [...this.#parked.keys()]) this.#giveUp(id)
  }

  #giveUp (id: string): void {
    const parked = this.#parked.get(id)
    if (parked === undefined) return
    this.#parked.delete(id)
    clearTimeout(parked.timer)
    // the server is told that its connection is closed: the call is cancelled
    void parked.call.close()
  }
}

function ownerOf ({ clientId, extra: { issuer, subject } }: CallerInfo): string {
  return JSON.stringify([issuer, subject, clientId])
}
