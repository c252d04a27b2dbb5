import type { AuthorizationTransaction, AuthorizationTransactionStore } from '../authorizations.js'
import { ExpiringMap, type ExpiringMapOptions } from './expiring-map.js'

/** Authorization transactions of a single process. */
export class MemoryAuthorizationTransactionStore implements AuthorizationTransactionStore {
  readonly #transactions: ExpiringMap<AuthorizationTransaction>
  readonly #now: () => number

  constructor (options: ExpiringMapOptions = {}) {
    this.#transactions = new ExpiringMap(options)
    this.#now = options.now ?? Date.now
  }

  async put (id: string, transaction: AuthorizationTransaction, ttlSeconds: number): Promise<void> {
    this.#transactions.set(id, structuredClone(transaction), this.#now() / 1000 + ttlSeconds)
  }

  async get (id: string): Promise<AuthorizationTransaction | undefined> {
    return structuredClone(this.#transactions.get(id))
  }

  async take (id: string): Promise<AuthorizationTransaction | undefined> {
    return this.#transactions.take(id)
  }

  /** Stops the housekeeping. */
  close (): void {
    this.#transactions.close()
  }
}
