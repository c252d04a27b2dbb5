import type { RequestId } from '@modelcontextprotocol/server'
import type { RunningCalls } from '../../stores/call-limits.js'

/** Calls of one holder that run, by bucket. */
export interface HeldCalls {
  holder: string
  running: readonly RunningCalls[]
}

/** Where the places are from. */
export interface PlaceKeeper {
  release (held: readonly HeldCalls[]): void
  forget (places: CallPlaces): void
}

/** The places of the calls of one POST, while they run. None is released twice. */
export class CallPlaces {
  readonly #keeper: PlaceKeeper
  /** The calls' own ids, by the ids of their requests. */
  readonly #calls: Map<RequestId, string>
  readonly #held: readonly HeldCalls[]

  constructor (keeper: PlaceKeeper, calls: Map<RequestId, string>, held: readonly HeldCalls[]) {
    this.#keeper = keeper
    this.#calls = calls
    this.#held = held
  }

  /** Of the calls that still run. */
  get held (): HeldCalls[] {
    return this.#of(new Set(this.#calls.values()))
  }

  /** A call is over. */
  end (id: RequestId): void {
    const call = this.#calls.get(id)
    if (call === undefined) return
    this.#calls.delete(id)
    this.#keeper.release(this.#of(new Set([call])))
    if (this.#calls.size === 0) this.#keeper.forget(this)
  }

  /** All calls are over. */
  endAll (): void {
    if (this.#calls.size === 0) return
    const { held } = this
    this.#calls.clear()
    this.#keeper.release(held)
    this.#keeper.forget(this)
  }

  #of (calls: ReadonlySet<string>): HeldCalls[] {
    return this.#held.map(({ holder, running }) => ({
      holder,
      running: running.map(bucket => ({ name: bucket.name, calls: bucket.calls.filter(call => calls.has(call)) }))
        .filter(bucket => bucket.calls.length > 0)
    })).filter(({ running }) => running.length > 0)
  }
}
