import { parseRecord } from '../../parse-record.js'
import { noRoom } from '../memory/registrations.js'
import {
  REGISTRATION_BOUNDS,
  type AddedRegistration,
  type Registration,
  type RegistrationBounds,
  type RegistrationStore
} from '../registrations.js'
import type { RedisConnection } from './connection/connection.js'
import type { KeyMaker } from './keys.js'
import { registrationScripts, type RegistrationArguments, type StoredRegistration } from './scripts/registrations.js'

/** Registrations kept, used ones included, unless the options say otherwise. */
export const MAX_REGISTRATIONS = 1_000_000

/** What is registered. */
export type RegistrationKind = 'client' | 'upstream-client'

export interface RedisRegistrationStoreOptions {
  /** Registrations kept at all, used ones included. Default: 1,000,000. */
  maxRegistrations?: number
  /** Of those that are not used. */
  registrationBounds?: RegistrationBounds
}

/** Registrations of all replicas. They stand under one hash tag: the sets of those that expire cover them all. */
export class RedisRegistrationStore<T extends Registration> implements RegistrationStore<T> {
  readonly #connection: RedisConnection
  readonly #max: number
  readonly #bounds: RegistrationBounds
  readonly #keys: KeyMaker
  readonly #kind: RegistrationKind

  constructor (
    connection: RedisConnection,
    keys: KeyMaker,
    kind: RegistrationKind,
    {
      maxRegistrations = MAX_REGISTRATIONS,
      registrationBounds = REGISTRATION_BOUNDS
    }: RedisRegistrationStoreOptions = {}
  ) {
    this.#connection = connection
    this.#max = maxRegistrations
    this.#bounds = registrationBounds
    this.#keys = keys
    this.#kind = kind
    connection.define(registrationScripts)
  }

  async add (record: T, address: string): Promise<AddedRegistration<T>> {
    const { clientId, expiresAt } = record
    const json = JSON.stringify(record)
    const { maxOfAddress, maxBytesOfAddress, max, maxBytes } = this.#bounds
    const added = await this.#connection.run(redis =>
      redis.mcpAddRegistration(
        ...this.#arguments(clientId),
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
    await this.#connection.run(redis => redis.mcpKeepRegistration(...this.#arguments(clientId), expiresAt))
  }

  async takeExpired (limit: number): Promise<T[]> {
    const taken = await this.#connection.run(redis => redis.mcpTakeExpiredRegistrations(...this.#arguments(''), limit))
    return taken.map(json => parseRecord<T>(json))
  }

  #record (clientId: string): string {
    return this.#keys.make('registration', this.#kind, clientId)
  }

  /** Keys and first arguments of a script. */
  #arguments (clientId: string): RegistrationArguments {
    const [keys, kind] = [this.#keys, this.#kind]
    return [
      keys.make('unusedRegistrations', kind),
      keys.make('registrationSizes', kind),
      keys.make('registrationSums', kind),
      keys.make('usedRegistrations', kind),
      this.#record(clientId),
      this.#record(''),
      keys.make('registrationsOfAddress', kind, ''),
      clientId
    ]
  }
}

function toRecord<T extends Registration> ([json, expiresAt]: StoredRegistration): T {
  return { ...parseRecord<T>(json), expiresAt: Number(expiresAt) }
}
