import type { Result } from 'ioredis'
import { RATE_WINDOW_MS, type Counted, type RateCounters } from '../rate-counters.js'
import type { RedisConnection } from './connection/connection.js'
import type { KeyMaker } from './keys.js'

declare module 'ioredis' {
  interface RedisCommander<Context> {
    mcpCount(
      key: string,
      index: number,
      amount: 1 | -1,
      windowMs: number
    ): Result<[count: number, resetMs: number], Context>
  }
}

const scripts = {
  mcpCount: {
    numberOfKeys: 1,
    lua: `
      local counted = redis.call('BITFIELD', KEYS[1], 'OVERFLOW', 'SAT', 'INCRBY', 'i32', '#' .. ARGV[1], ARGV[2])
      local count = counted[1]
      if count < 0 then
        count = 0
        redis.call('BITFIELD', KEYS[1], 'SET', 'i32', '#' .. ARGV[1], 0)
      end
      local left = redis.call('PTTL', KEYS[1])
      if left < 0 then
        left = tonumber(ARGV[3])
        redis.call('PEXPIRE', KEYS[1], left)
      end
      return { count, left }`
  }
}

/**
 * The counters of all replicas: one string of half a megabyte, from the first that is counted to the end of its window.
 */
export class RedisRateCounters implements RateCounters {
  readonly #connection: RedisConnection
  readonly #key: string

  constructor (connection: RedisConnection, keys: KeyMaker) {
    this.#connection = connection
    this.#key = keys.make('rates')
    connection.define(scripts)
  }

  async add (index: number, amount: 1 | -1): Promise<Counted> {
    const [count, resetMs] = await this.#connection.run(redis =>
      redis.mcpCount(this.#key, index, amount, RATE_WINDOW_MS)
    )
    return { count, resetMs }
  }
}
