import type { Result } from 'ioredis'
import type { RecentLog, RecentLogBounds } from '../attempts.js'
import type { RedisConnection } from './connection/connection.js'
import type { KeyMaker } from './keys.js'
import { parseRecord } from '../../parse-record.js'

declare module 'ioredis' {
  interface RedisCommander<Context> {
    mcpAppendRecent(log: string, json: string, maxEntries: number, maxAgeMs: number): Result<string, Context>
    mcpReadRecent(
      log: string,
      maxAgeMs: number
    ): Result<Array<[id: string, fields: [name: string, json: string]]>, Context>
  }
}

const OLDEST = `
  local time = redis.call('TIME')
  local function oldest (maxAgeMs)
    return string.format('%d', math.max(0, time[1] * 1000 + math.floor(time[2] / 1000) - maxAgeMs))
  end`

const scripts = {
  mcpAppendRecent: {
    numberOfKeys: 1,
    lua: `${OLDEST}
      redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[2], '*', 'json', ARGV[1])
      redis.call('XTRIM', KEYS[1], 'MINID', oldest(ARGV[3]))
      return redis.call('PEXPIRE', KEYS[1], ARGV[3])`
  },
  mcpReadRecent: {
    numberOfKeys: 1,
    lua: `${OLDEST}
      return redis.call('XRANGE', KEYS[1], oldest(ARGV[1]), '+')`
  }
}

/** The last entries of all replicas: a stream of JSON. */
export class RedisRecentLog<T> implements RecentLog<T> {
  readonly #connection: RedisConnection
  readonly #key: string
  readonly #maxEntries: number
  readonly #maxAgeMs: number

  constructor (
    connection: RedisConnection,
    keys: KeyMaker,
    name: 'loginSteps' | 'visits' | 'replicaKeys',
    { maxEntries, maxAgeSeconds }: RecentLogBounds
  ) {
    this.#connection = connection
    this.#key = keys.make(name)
    this.#maxEntries = maxEntries
    this.#maxAgeMs = maxAgeSeconds * 1000
    connection.define(scripts)
  }

  async append (entry: T): Promise<void> {
    await this.#connection.run(redis =>
      redis.mcpAppendRecent(this.#key, JSON.stringify(entry), this.#maxEntries, this.#maxAgeMs)
    )
  }

  async read (): Promise<T[]> {
    const entries = await this.#connection.run(redis => redis.mcpReadRecent(this.#key, this.#maxAgeMs))
    return entries.map(([, [, json]]) => parseRecord(json))
  }
}
