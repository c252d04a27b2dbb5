import type { RequestId } from '@modelcontextprotocol/server'
import type { CallPlaces } from './call-places.js'
import type { Lease } from './quota.js'

/** What the requests of one POST hold until they end. */
export class RequestLease {
  readonly #lease: Lease
  #places: CallPlaces | undefined
  #isReleased = false

  /** @param lease of one for each request */
  constructor (lease: Lease) {
    this.#lease = lease
  }

  /**
   * Holds the places of its calls, too.
   * @returns a promise only for a promise
   */
  hold (places: CallPlaces | undefined | Promise<CallPlaces | undefined>): Promise<void> | undefined {
    if (places instanceof Promise) return places.then(taken => this.hold(taken))
    this.#places = places
    // its client has gone meanwhile
    if (this.#isReleased) places?.endAll()
    return undefined
  }

  /** A request has ended. */
  end (id: RequestId): void {
    this.#lease.release(1)
    this.#places?.end(id)
  }

  /** Releases all. */
  release (): void {
    this.#isReleased = true
    this.#lease.release()
    this.#places?.endAll()
  }
}
