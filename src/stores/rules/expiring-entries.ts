/** Entries that each end at a time of their own, so many at most: beyond, the one that was set longest ago goes. */
export interface ExpiringEntries<V> {
  /** @returns the value, unless it has expired; for the caller to change only if it is set again at once */
  get (key: string): V | undefined
  /** @param expiresAt epoch seconds */
  set (key: string, value: V, expiresAt: number): void
  /** Removes an entry. @returns its value, unless it had expired */
  take (key: string): V | undefined
}
