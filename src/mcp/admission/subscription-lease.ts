import type { Lease } from './quota.js'

/** What one session, stream or request subscribes to: the number of URIs, and their bytes. */
export class SubscriptionLease {
  readonly #count: Lease
  readonly #bytes: Lease
  readonly #check: (uris: readonly string[]) => void

  /** @param check refuses URIs that are too long */
  constructor (count: Lease, bytes: Lease, check: (uris: readonly string[]) => void) {
    this.#count = count
    this.#bytes = bytes
    this.#check = check
  }

  /** Subscribes to more. @throws {TooManyRequestsError} @throws {ServerFullError} and takes nothing */
  add (uris: readonly string[]): this {
    this.#check(uris)
    this.#count.grow(uris.length)
    try {
      this.#bytes.grow(countBytes(uris))
    } catch (error) {
      this.#count.release(uris.length)
      throw error
    }
    return this
  }

  /** Sets the subscriptions to these, which were admitted earlier or elsewhere and cannot be refused. */
  set (uris: readonly string[]): this {
    this.#count.set(uris.length)
    this.#bytes.set(countBytes(uris))
    return this
  }

  release (): void {
    this.set([])
  }
}

function countBytes (uris: readonly string[]): number {
  return uris.reduce((sum, uri) => sum + Buffer.byteLength(uri), 0)
}
