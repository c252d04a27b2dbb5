import { isAnonymousHolder } from '../call-limits.js'
import type { ExpiringEntries } from './expiring-entries.js'

/**
 * Entries of people and clients, and apart from them those of addresses that callers who have not logged in come from:
 * however many these are, they push nobody else's out.
 */
export class HoldersApart<V> implements ExpiringEntries<V> {
  readonly #others: ExpiringEntries<V>
  readonly #anonymous: ExpiringEntries<V>

  constructor (others: ExpiringEntries<V>, anonymous: ExpiringEntries<V>) {
    this.#others = others
    this.#anonymous = anonymous
  }

  get (holder: string): V | undefined {
    return this.#find(holder).get(holder)
  }

  set (holder: string, value: V, expiresAt: number): void {
    this.#find(holder).set(holder, value, expiresAt)
  }

  take (holder: string): V | undefined {
    return this.#find(holder).take(holder)
  }

  #find (holder: string): ExpiringEntries<V> {
    return isAnonymousHolder(holder) ? this.#anonymous : this.#others
  }
}
