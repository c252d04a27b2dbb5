import { parseRecord } from '../../parse-record.js'
import type { Result } from 'ioredis'
import {
  ATTEMPT_OVERHEAD_BYTES,
  AUTHORIZATION_BOUNDS,
  type AuthorizationBounds,
  type AuthorizationTransaction,
  type AuthorizationTransactionStore,
  type KeptFor
} from '../authorizations.js'
import { tooManyAttempts } from '../memory/authorizations.js'
import { BUDGET } from './scripts/budget.js'
import type { RedisConnection } from './connection/connection.js'
import type { KeyMaker } from './keys.js'

type Keys = [ends: string, sizes: string, sums: string, attempt: string]
type Bounds = [maxOfAddress: number, maxBytesOfAddress: number, max: number, maxBytes: number]

declare module 'ioredis' {
  interface RedisCommander<Context> {
    mcpAddAttempt(
      ...args: [...Keys, id: string, json: string, bytes: number, address: string, ttlSeconds: number, ...Bounds]
    ): Result<string | 'over' | 'full' | null, Context>
    mcpTakeAttempt(...args: [...Keys, id: string, overhead: number]): Result<string | null, Context>
    mcpEndAttempt(
      ...args: [...Keys, id: string, overhead: number, address: string, ttlSeconds: number, ...Bounds]
    ): Result<'ended' | 'over' | 'full', Context>
  }
}

const ATTEMPT = `${BUDGET}
  local function find () return redis.call('GET', KEYS[4]) end
  -- an empty text stands for one that is over
  local function empty (overhead)
    redis.call('SET', KEYS[4], '', 'KEEPTTL')
    resize(ARGV[1], overhead)
  end
  local function keep (json, bytes, address, ttl, ...)
    local nowText = string.format('%.6f', now)
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', nowText, 'LIMIT', 0, 1000)) do refund(id) end
    if exceeded(address, bytes, ...) then return false end
    redis.call('SET', KEYS[4], json, 'PX', math.ceil(ttl * 1000))
    charge(ARGV[1], address, bytes, now + ttl)
    return true
  end`

const scripts = {
  mcpAddAttempt: {
    numberOfKeys: 4,
    lua: `${ATTEMPT}
      local standing = find()
      if standing then return standing == '' and 'over' or standing end
      local bytes, ttl = tonumber(ARGV[3]), tonumber(ARGV[5])
      return not keep(ARGV[2], bytes, ARGV[4], ttl, ARGV[6], ARGV[7], ARGV[8], ARGV[9]) and 'full'`
  },
  mcpTakeAttempt: {
    numberOfKeys: 4,
    lua: `${ATTEMPT}
      local standing = find()
      if not standing or standing == '' then return false end
      empty(tonumber(ARGV[2]))
      return standing`
  },
  mcpEndAttempt: {
    numberOfKeys: 4,
    lua: `${ATTEMPT}
      local standing = find()
      if standing == '' then return 'over' end
      if standing then empty(tonumber(ARGV[2])) return 'ended' end
      local bytes, ttl = tonumber(ARGV[2]), tonumber(ARGV[4])
      return keep('', bytes, ARGV[3], ttl, ARGV[5], ARGV[6], ARGV[7], ARGV[8]) and 'ended' or 'full'`
  }
}

/** Authorization transactions of all replicas. They stand under one hash tag: their sums cover them all. */
export class RedisAuthorizationTransactionStore implements AuthorizationTransactionStore {
  readonly #connection: RedisConnection
  readonly #keys: KeyMaker
  readonly #bounds: Bounds

  constructor (connection: RedisConnection, keys: KeyMaker, bounds: AuthorizationBounds = AUTHORIZATION_BOUNDS) {
    this.#connection = connection
    this.#keys = keys
    this.#bounds = [bounds.maxOfAddress, bounds.maxBytesOfAddress, bounds.max, bounds.maxBytes]
    connection.define(scripts)
  }

  async add (
    id: string,
    transaction: AuthorizationTransaction,
    { address, ttlSeconds }: KeptFor
  ): Promise<AuthorizationTransaction | undefined> {
    const json = JSON.stringify(transaction)
    const bytes = ATTEMPT_OVERHEAD_BYTES + Buffer.byteLength(json)
    const standing = await this.#connection.run(redis =>
      redis.mcpAddAttempt(...this.#attemptKeys(id), id, json, bytes, address, ttlSeconds, ...this.#bounds)
    )
    if (standing === 'full') throw tooManyAttempts()
    return standing === 'over' ? undefined : parseRecord(standing ?? json)
  }

  async get (id: string): Promise<AuthorizationTransaction | undefined> {
    return toTransaction(await this.#connection.run(redis => redis.get(this.#attempt(id))))
  }

  async take (id: string): Promise<AuthorizationTransaction | undefined> {
    return toTransaction(
      await this.#connection.run(redis => redis.mcpTakeAttempt(...this.#attemptKeys(id), id, ATTEMPT_OVERHEAD_BYTES))
    )
  }

  async end (id: string, { address, ttlSeconds }: KeptFor): Promise<boolean> {
    const outcome = await this.#connection.run(redis =>
      redis.mcpEndAttempt(...this.#attemptKeys(id), id, ATTEMPT_OVERHEAD_BYTES, address, ttlSeconds, ...this.#bounds))
    if (outcome === 'full') throw tooManyAttempts()
    return outcome === 'ended'
  }

  #attempt (id: string): string {
    return this.#keys.make('authorization', id)
  }

  #attemptKeys (id: string): Keys {
    const keys = this.#keys
    return [
      keys.make('authorizationEnds'),
      keys.make('authorizationSizes'),
      keys.make('authorizationSums'),
      this.#attempt(id)
    ]
  }
}

function toTransaction (json: string | null): AuthorizationTransaction | undefined {
  return json === null || json === '' ? undefined : parseRecord(json)
}
