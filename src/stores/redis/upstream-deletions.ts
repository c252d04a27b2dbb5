import { createHash } from 'node:crypto'
import type { Result } from 'ioredis'
import { parseRecord } from '../../parse-record.js'
import {
  MAX_DELETION_ATTEMPTS,
  MAX_DELETION_PAUSE_SECONDS,
  MAX_UPSTREAM_DELETIONS,
  type UpstreamDeletion,
  type UpstreamDeletionQueue
} from '../upstream-deletions.js'
import type { RedisConnection } from './connection/connection.js'
import { SPARE_SECONDS, type KeyMaker } from './keys.js'

type Keys = [due: string, records: string, attempts: string]

declare module 'ioredis' {
  interface RedisCommander<Context> {
    mcpAddDeletion(...args: [...Keys, id: string, json: string, max: number]): Result<number, Context>
    mcpClaimDeletions(
      ...args: [...Keys, limit: number, leaseSeconds: number, maxPause: number, maxAttempts: number]
    ): Result<string[], Context>
    mcpEndDeletion(...args: [...Keys, id: string]): Result<number, Context>
  }
}

const scripts = {
  mcpAddDeletion: {
    numberOfKeys: 3,
    lua: `
      if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 1 end
      redis.call('ZADD', KEYS[1], 'NX', 0, ARGV[1])
      redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
      for key = 1, 3 do redis.call('EXPIRE', KEYS[key], ${SPARE_SECONDS}) end
      return 0`
  },
  mcpClaimDeletions: {
    numberOfKeys: 3,
    lua: `
      local now, claimed = tonumber(redis.call('TIME')[1]), {}
      for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])) do
        claimed[#claimed + 1] = redis.call('HGET', KEYS[2], id) or nil
        local attempts = redis.call('HINCRBY', KEYS[3], id, 1)
        if attempts >= tonumber(ARGV[4]) then
          redis.call('ZREM', KEYS[1], id)
          redis.call('HDEL', KEYS[2], id)
          redis.call('HDEL', KEYS[3], id)
        else
          redis.call('ZADD', KEYS[1], now + math.min(ARGV[2] * 2 ^ (attempts - 1), ARGV[3]), id)
        end
      end
      for key = 1, 3 do redis.call('EXPIRE', KEYS[key], ${SPARE_SECONDS}) end
      return claimed`
  },
  mcpEndDeletion: {
    numberOfKeys: 3,
    lua: `
      redis.call('ZREM', KEYS[1], ARGV[1])
      redis.call('HDEL', KEYS[2], ARGV[1])
      return redis.call('HDEL', KEYS[3], ARGV[1])`
  }
}

/** Deletions at the upstream of all replicas. */
export class RedisUpstreamDeletionQueue implements UpstreamDeletionQueue {
  readonly #connection: RedisConnection
  readonly #keys: Keys

  constructor (connection: RedisConnection, keys: KeyMaker) {
    this.#connection = connection
    this.#keys = [keys.make('dueDeletions'), keys.make('deletions'), keys.make('deletionAttempts')]
    connection.define(scripts)
  }

  async add (deletions: readonly UpstreamDeletion[]): Promise<number> {
    let refused = 0
    for (const { clientId, sealed } of deletions) {
      const json = JSON.stringify({ clientId, sealed })
      refused += await this.#connection.run(redis =>
        redis.mcpAddDeletion(...this.#keys, toId(sealed), json, MAX_UPSTREAM_DELETIONS)
      )
    }
    return refused
  }

  async claim (limit: number, leaseSeconds: number): Promise<UpstreamDeletion[]> {
    const claimed = await this.#connection.run(redis =>
      redis.mcpClaimDeletions(...this.#keys, limit, leaseSeconds, MAX_DELETION_PAUSE_SECONDS, MAX_DELETION_ATTEMPTS))
    return claimed.map(json => parseRecord<UpstreamDeletion>(json))
  }

  async done ({ sealed }: UpstreamDeletion): Promise<void> {
    await this.#connection.run(redis => redis.mcpEndDeletion(...this.#keys, toId(sealed)))
  }
}

function toId (sealed: string): string {
  return createHash('sha256').update(sealed).digest('base64url')
}
