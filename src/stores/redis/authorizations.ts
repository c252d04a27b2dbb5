import type { AuthorizationTransaction, AuthorizationTransactionStore } from '../authorizations.js'
import type { RedisConnection } from './connection.js'
import { parseRecord } from '../../parse-record.js'

/** Authorization transactions of all replicas. */
export class RedisAuthorizationTransactionStore implements AuthorizationTransactionStore {
  readonly #connection: RedisConnection
  readonly #prefix: string

  constructor (connection: RedisConnection, keyPrefix: string) {
    this.#connection = connection
    this.#prefix = `${keyPrefix}:authorization:`
  }

  async put (id: string, transaction: AuthorizationTransaction, ttlSeconds: number): Promise<void> {
    const ttlMs = Math.max(1, Math.ceil(ttlSeconds * 1000))
    await this.#connection.run(redis => redis.set(this.#prefix + id, JSON.stringify(transaction), 'PX', ttlMs))
  }

  async get (id: string): Promise<AuthorizationTransaction | undefined> {
    return transactionOf(await this.#connection.run(redis => redis.get(this.#prefix + id)))
  }

  async take (id: string): Promise<AuthorizationTransaction | undefined> {
    return transactionOf(await this.#connection.run(redis => redis.getdel(this.#prefix + id)))
  }
}

function transactionOf (json: string | null): AuthorizationTransaction | undefined {
  return json === null ? undefined : parseRecord(json)
}
