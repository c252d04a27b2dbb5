import { parseRecord } from '../../parse-record.js'
import { createHash } from 'node:crypto'
import type { Result } from 'ioredis'
import { MAX_CONSENTS_OF_ONE, type ConsentKey, type ConsentRecord, type ConsentStore } from '../consents.js'
import type { RedisConnection } from './connection/connection.js'
import type { KeyMaker } from './keys.js'

declare module 'ioredis' {
  interface RedisCommander<Context> {
    mcpRememberConsent(
      consents: string,
      field: string,
      expiresAt: number,
      json: string,
      max: number
    ): Result<number, Context>
    mcpForgetConsents(consents: string, client: string): Result<number, Context>
  }
}

const scripts = {
  mcpRememberConsent: {
    numberOfKeys: 1,
    lua: `
      redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
      local now, all, standing = tonumber(redis.call('TIME')[1]), redis.call('HGETALL', KEYS[1]), {}
      for index = 1, #all, 2 do
        local ends = tonumber(string.match(all[index + 1], '^%d+'))
        if ends <= now then redis.call('HDEL', KEYS[1], all[index])
        else standing[#standing + 1] = { ends, all[index] } end
      end
      table.sort(standing, function (a, b)
        return a[1] < b[1] or a[1] == b[1] and b[2] == ARGV[1] and a[2] ~= ARGV[1]
      end)
      for index = 1, #standing - tonumber(ARGV[4]) do redis.call('HDEL', KEYS[1], standing[index][2]) end
      if #standing == 0 then return 0 end
      return redis.call('EXPIREAT', KEYS[1], standing[#standing][1])`
  },
  mcpForgetConsents: {
    numberOfKeys: 1,
    lua: `
      for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
        if string.sub(field, 1, #ARGV[1]) == ARGV[1] then redis.call('HDEL', KEYS[1], field) end
      end
      return 1`
  }
}

/** Standing consents of all replicas: one hash a person. */
export class RedisConsentStore implements ConsentStore {
  readonly #connection: RedisConnection
  readonly #keys: KeyMaker

  constructor (connection: RedisConnection, keys: KeyMaker) {
    this.#connection = connection
    this.#keys = keys
    connection.define(scripts)
  }

  async remember (person: string, consent: ConsentRecord): Promise<void> {
    const { expiresAt } = consent
    const [key, json] = [this.#keys.make('consents', person), JSON.stringify(consent)]
    await this.#connection.run(redis =>
      redis.mcpRememberConsent(key, toField(consent), Math.floor(expiresAt), json, MAX_CONSENTS_OF_ONE)
    )
  }

  async find (person: string, key: ConsentKey): Promise<ConsentRecord | undefined> {
    const found = await this.#connection.run(redis => redis.hget(this.#keys.make('consents', person), toField(key)))
    if (found === null) return undefined
    const record: ConsentRecord = parseRecord(found.slice(found.indexOf(' ') + 1))
    return record.expiresAt > Date.now() / 1000 ? record : undefined
  }

  async forget (person: string, clientId?: string): Promise<void> {
    await this.#connection.run(redis =>
      redis.mcpForgetConsents(this.#keys.make('consents', person), clientId === undefined ? '' : toTag(clientId))
    )
  }
}

/** The client's tag first: all of one client go together. */
function toField ({ clientId, redirectUri, resource }: ConsentKey): string {
  return toTag(clientId) + toTag(JSON.stringify([redirectUri, resource]))
}

function toTag (text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 22)
}
