import { parseRecord } from '../../parse-record.js'
import { noRoom } from '../memory/registrations.js'
import {
  REGISTRATION_BOUNDS,
  type AddedRegistration,
  type Registration,
  type RegistrationBounds,
  type RegistrationStore
} from '../registrations.js'
import type { RedisConnection } from './connection.js'
import { registrationScripts, type StoredRegistration } from './scripts/registrations.js'

export interface RedisRegistrationStoreOptions {
  /** Registrations kept at all, used ones included. Default: 1,000,000. */
  maxRegistrations?: number
  /** Of those that are not used. */
  registrationBounds?: RegistrationBounds
}

type Keys = [unused: string, sizes: string, sums: string, used: string, record: string, root: string, clientId: string]

/** Registrations of all replicas. They stand under one hash tag: the sets of those that expire cover them all. */
export class RedisRegistrationStore<T extends Registration> implements RegistrationStore<T> {
  readonly #connection: RedisConnection
  readonly #max: number
  readonly #bounds: RegistrationBounds
  readonly #root: string

  /** @param type what is registered: part of the keys */
  constructor (
    connection: RedisConnection, keyPrefix: string, type: 'client' | 'upstream-client',
    { maxRegistrations = 1_000_000, registrationBounds = REGISTRATION_BOUNDS }: RedisRegistrationStoreOptions = {}
  ) {
    this.#connection = connection
    this.#max = maxRegistrations
    this.#bounds = registrationBounds
    this.#root = `${keyPrefix}:{${type}}:`
    connection.define(registrationScripts)
  }

  async add (record: T, address: string): Promise<AddedRegistration<T>> {
    const { clientId, expiresAt } = record
    const json = JSON.stringify(record)
    const { maxOfAddress, maxBytesOfAddress, max, maxBytes } = this.#bounds
    const added = await this.#connection.run(redis =>
      redis.mcpAddRegistration(
        ...this.#keys(clientId),
        json,
        Buffer.byteLength(json),
        address,
        expiresAt,
        maxOfAddress,
        maxBytesOfAddress,
        max,
        maxBytes,
        this.#max
      )
    )
    if (added === 'full') throw noRoom()
    const [evicted, standing, standsUntil] = added
    return {
      standing: standing === undefined || standsUntil === undefined ? record : toRecord([standing, standsUntil]),
      evicted: evicted.map(json => parseRecord<T>(json))
    }
  }

  async find (clientId: string): Promise<T | undefined> {
    const found = await this.#connection.run(redis => redis.mcpFindRegistration(this.#record(clientId)))
    return found === null ? undefined : toRecord(found)
  }

  async replace (record: T): Promise<void> {
    await this.#connection.run(redis =>
      redis.mcpReplaceRegistration(this.#record(record.clientId), JSON.stringify(record))
    )
  }

  async keep (clientId: string, expiresAt: number): Promise<void> {
    await this.#connection.run(redis => redis.mcpKeepRegistration(...this.#keys(clientId), expiresAt))
  }

  async takeExpired (limit: number): Promise<T[]> {
    const taken = await this.#connection.run(redis => redis.mcpTakeExpiredRegistrations(...this.#keys(''), limit))
    return taken.map(json => parseRecord<T>(json))
  }

  #record (clientId: string): string {
    return `${this.#root}record:${clientId}`
  }

  #keys (clientId: string): Keys {
    const root = this.#root
    return [`${root}unused`, `${root}sizes`, `${root}sums`, `${root}used`, this.#record(clientId), root, clientId]
  }
}

function toRecord<T extends Registration> ([json, expiresAt]: StoredRegistration): T {
  return { ...parseRecord<T>(json), expiresAt: Number(expiresAt) }
}
