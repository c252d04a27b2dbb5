import type { Result } from 'ioredis'
import type { LeaseStore } from '../leases.js'
import type { RedisConnection } from './connection/connection.js'
import type { KeyMaker } from './keys.js'

declare module 'ioredis' {
  interface RedisCommander<Context> {
    mcpAcquireLease (key: string, holder: string, ttlMs: number): Result<number, Context>
    mcpReleaseLease (key: string, holder: string): Result<number, Context>
  }
}

const scripts = {
  mcpAcquireLease: {
    numberOfKeys: 1,
    lua: `
      local holder = redis.call('GET', KEYS[1])
      if holder and holder ~= ARGV[1] then return 0 end
      redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
      return 1`
  },
  mcpReleaseLease: {
    numberOfKeys: 1,
    lua: `
      if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
      return redis.call('DEL', KEYS[1])`
  }
}

/** Leases across replicas. */
export class RedisLeaseStore implements LeaseStore {
  readonly #connection: RedisConnection
  readonly #keys: KeyMaker

  constructor (connection: RedisConnection, keys: KeyMaker) {
    this.#connection = connection
    this.#keys = keys
    connection.define(scripts)
  }

  async acquire (name: string, holder: string, ttlMs: number): Promise<boolean> {
    return await this.#connection.run(redis =>
      redis.mcpAcquireLease(this.#keys.make('lease', name), holder, Math.max(1, Math.ceil(ttlMs)))
    ) === 1
  }

  async isHeld (name: string): Promise<boolean> {
    return await this.#connection.run(redis => redis.exists(this.#keys.make('lease', name))) === 1
  }

  async release (name: string, holder: string): Promise<void> {
    await this.#connection.run(redis => redis.mcpReleaseLease(this.#keys.make('lease', name), holder))
  }
}
