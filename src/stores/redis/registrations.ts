import type { Result } from 'ioredis'
import { TemporarilyUnavailableError } from '../../errors.js'
import type { Registration, RegistrationStore } from '../registrations.js'
import type { RedisConnection } from './connection.js'
import { parseRecord } from '../../parse-record.js'

declare module 'ioredis' {
  interface RedisCommander<Context> {
    mcpAddRegistration (record: string, unused: string, kept: string, records: string, clientId: string, json: string, expiresAt: number | '', max: number): Result<StoredRegistration | 'full' | null, Context>
    mcpFindRegistration (record: string): Result<StoredRegistration | null, Context>
    mcpReplaceRegistration (record: string, json: string): Result<number, Context>
    mcpKeepRegistration (record: string, unused: string, kept: string, clientId: string): Result<number, Context>
    mcpTakeExpiredRegistrations (unused: string, records: string, limit: number): Result<string[], Context>
  }
}

/** A record as JSON, and when it expires: `null` once it is kept. */
type StoredRegistration = [json: string, expiresAt: string | null]

export interface RedisRegistrationStoreOptions {
  /** Registrations kept at all; beyond, the one that expires first goes first. Default: 1,000,000. */
  maxRegistrations?: number
}

// what has expired waits this long to be taken
const UNTAKEN_SECONDS = 7 * 86_400

const FIND = `
  local time = redis.call('TIME')
  local now = time[1] + time[2] / 1000000
  local function find (key)
    local record = redis.call('HMGET', key, 'json', 'expiresAt')
    if record[1] and not (record[2] and tonumber(record[2]) <= now) then return record end
  end`

const scripts = {
  mcpAddRegistration: {
    numberOfKeys: 4,
    lua: `${FIND}
      local standing = find(KEYS[1])
      if standing then return standing end
      if redis.call('ZCARD', KEYS[2]) + (redis.call('GET', KEYS[3]) or 0) >= tonumber(ARGV[4]) then
        local first = redis.call('ZPOPMIN', KEYS[2])
        if not first[1] then return 'full' end
        redis.call('DEL', KEYS[4] .. first[1])
      end
      redis.call('DEL', KEYS[1])
      redis.call('HSET', KEYS[1], 'json', ARGV[2])
      if ARGV[3] == '' then
        redis.call('ZREM', KEYS[2], ARGV[1])
        redis.call('INCR', KEYS[3])
        return false
      end
      local gone = math.ceil(ARGV[3]) + ${UNTAKEN_SECONDS}
      redis.call('HSET', KEYS[1], 'expiresAt', ARGV[3])
      redis.call('EXPIREAT', KEYS[1], gone)
      redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
      if redis.call('TTL', KEYS[2]) < gone - now then redis.call('EXPIREAT', KEYS[2], gone) end
      return false`
  },
  mcpFindRegistration: {
    numberOfKeys: 1,
    lua: `${FIND}
      return find(KEYS[1])`
  },
  mcpReplaceRegistration: {
    numberOfKeys: 1,
    lua: `${FIND}
      if not find(KEYS[1]) then return 0 end
      return redis.call('HSET', KEYS[1], 'json', ARGV[1])`
  },
  mcpKeepRegistration: {
    numberOfKeys: 3,
    lua: `${FIND}
      local record = find(KEYS[1])
      if not record or not record[2] then return 0 end
      redis.call('HDEL', KEYS[1], 'expiresAt')
      redis.call('PERSIST', KEYS[1])
      redis.call('ZREM', KEYS[2], ARGV[1])
      return redis.call('INCR', KEYS[3])`
  },
  mcpTakeExpiredRegistrations: {
    numberOfKeys: 2,
    lua: `
      local time = redis.call('TIME')
      local now = time[1] + time[2] / 1000000
      local taken = {}
      for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.6f', now), 'LIMIT', 0, ARGV[1])) do
        taken[#taken + 1] = redis.call('HGET', KEYS[2] .. id, 'json') or nil
        redis.call('DEL', KEYS[2] .. id)
        redis.call('ZREM', KEYS[1], id)
      end
      return taken`
  }
}

/** Registrations of all replicas. They stand under one hash tag: the set of those that expire covers them all. */
export class RedisRegistrationStore<T extends Registration> implements RegistrationStore<T> {
  readonly #connection: RedisConnection
  readonly #max: number
  readonly #unused: string
  readonly #kept: string
  readonly #records: string

  /** @param type what is registered: part of the keys */
  constructor (connection: RedisConnection, keyPrefix: string, type: 'client' | 'upstream-client', { maxRegistrations = 1_000_000 }: RedisRegistrationStoreOptions = {}) {
    this.#connection = connection
    this.#max = maxRegistrations
    const root = `${keyPrefix}:{${type}}`
    this.#unused = `${root}:unused`
    this.#kept = `${root}:kept`
    this.#records = `${root}:record:`
    connection.define(scripts)
  }

  async add (record: T): Promise<T> {
    const { clientId, expiresAt = '' } = record
    const standing = await this.#connection.run(redis => redis.mcpAddRegistration(
      this.#records + clientId, this.#unused, this.#kept, this.#records, clientId, JSON.stringify(record), expiresAt, this.#max))
    if (standing === 'full') throw new TemporarilyUnavailableError('This server has no room for another client now.', { retryAfterSeconds: 3600 })
    return standing === null ? record : this.#recordOf(standing)
  }

  async find (clientId: string): Promise<T | undefined> {
    const found = await this.#connection.run(redis => redis.mcpFindRegistration(this.#records + clientId))
    return found === null ? undefined : this.#recordOf(found)
  }

  async replace (record: T): Promise<void> {
    await this.#connection.run(redis => redis.mcpReplaceRegistration(this.#records + record.clientId, JSON.stringify(record)))
  }

  async keep (clientId: string): Promise<void> {
    await this.#connection.run(redis => redis.mcpKeepRegistration(this.#records + clientId, this.#unused, this.#kept, clientId))
  }

  async takeExpired (limit: number): Promise<T[]> {
    const taken = await this.#connection.run(redis => redis.mcpTakeExpiredRegistrations(this.#unused, this.#records, limit))
    return taken.map(json => parseRecord(json))
  }

  #recordOf ([json, expiresAt]: StoredRegistration): T {
    const record: T = parseRecord(json)
    const registration: Registration = record
    if (expiresAt === null) delete registration.expiresAt
    else registration.expiresAt = Number(expiresAt)
    return record
  }
}
