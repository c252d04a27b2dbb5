import type { Result } from 'ioredis'
import { SPARE_SECONDS } from '../keys.js'
import { BUDGET } from './budget.js'

/** Keys, what other keys begin with, and the client id. */
export type RegistrationArguments = [
  unused: string,
  sizes: string,
  sums: string,
  used: string,
  record: string,
  records: string,
  ofAddresses: string,
  clientId: string
]
type Bounds = [maxOfAddress: number, maxBytesOfAddress: number, max: number, maxBytes: number]

declare module 'ioredis' {
  interface RedisCommander<Context> {
    mcpAddRegistration(
      ...args: [
        ...RegistrationArguments,
        json: string,
        bytes: number,
        address: string,
        expiresAt: number,
        ...Bounds,
        maxRegistrations: number
      ]
    ): Result<AddedRegistration | 'full', Context>
    mcpFindRegistration(record: string): Result<StoredRegistration | null, Context>
    mcpReplaceRegistration(record: string, json: string): Result<number, Context>
    mcpKeepRegistration(...args: [...RegistrationArguments, expiresAt: number]): Result<number, Context>
    mcpTakeExpiredRegistrations(...args: [...RegistrationArguments, limit: number]): Result<string[], Context>
  }
}

/** A record as JSON, and when it expires. */
export type StoredRegistration = [json: string, expiresAt: string]

type AddedRegistration = [evicted: string[], ...standing: StoredRegistration | []]

const FIND = `
  local time = redis.call('TIME')
  local now = time[1] + time[2] / 1000000
  local function find (key)
    local record = redis.call('HMGET', key, 'json', 'expiresAt')
    if record[1] and record[2] and tonumber(record[2]) > now then return record end
  end`

// ARGV: what keys of records, and of addresses' sets, begin with (all under the tag of KEYS); client id, …
const REGISTRATIONS = `${BUDGET}${FIND}
  local function addressKey (address) return ARGV[2] .. address end
  local function drop (id)
    local _, address = sizeOf(id)
    if address then redis.call('ZREM', addressKey(address), id) end
    refund(id)
    redis.call('ZREM', KEYS[4], id)
    local json = redis.call('HGET', ARGV[1] .. id, 'json')
    redis.call('DEL', ARGV[1] .. id)
    return json
  end
  local function lasts (key, ends)
    local gone = math.ceil(ends) + ${SPARE_SECONDS}
    if redis.call('TTL', key) < gone - now then redis.call('EXPIREAT', key, gone) end
  end`

/** The steps of `RedisRegistrationStore`, each atomic. */
export const registrationScripts = {
  mcpAddRegistration: {
    numberOfKeys: 5,
    lua: `${REGISTRATIONS}
      local standing = find(KEYS[5])
      if standing then return { {}, standing[1], standing[2] } end
      drop(ARGV[3])
      local bytes, address, ends, evicted = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7]), {}
      while true do
        local bound = exceeded(address, bytes, ARGV[8], ARGV[9], ARGV[10], ARGV[11])
        local number = redis.call('ZCARD', KEYS[1]) + redis.call('ZCARD', KEYS[4])
        if not bound and number >= tonumber(ARGV[12]) then bound = 'all' end
        if not bound then break end
        local oldest = redis.call('ZRANGE', bound == 'address' and addressKey(address) or KEYS[1], 0, 0)[1]
        if not oldest then return 'full' end
        evicted[#evicted + 1] = drop(oldest) or nil
      end
      redis.call('HSET', KEYS[5], 'json', ARGV[4], 'expiresAt', ARGV[7])
      lasts(KEYS[5], ends)
      redis.call('ZADD', addressKey(address), ends, ARGV[3])
      lasts(addressKey(address), ends)
      charge(ARGV[3], address, bytes, ends)
      return { evicted }`
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
    numberOfKeys: 5,
    lua: `${REGISTRATIONS}
      local record = find(KEYS[5])
      if not record then return 0 end
      local _, address = sizeOf(ARGV[3])
      if address then redis.call('ZREM', addressKey(address), ARGV[3]) end
      refund(ARGV[3])
      local ends = math.max(tonumber(ARGV[4]), tonumber(record[2]))
      redis.call('HSET', KEYS[5], 'expiresAt', ends)
      lasts(KEYS[5], ends)
      redis.call('ZADD', KEYS[4], ends, ARGV[3])
      lasts(KEYS[4], ends)
      return 1`
  },
  mcpTakeExpiredRegistrations: {
    numberOfKeys: 5,
    lua: `${REGISTRATIONS}
      local taken, limit, nowText = {}, tonumber(ARGV[4]), string.format('%.6f', now)
      for _, key in ipairs({ KEYS[1], KEYS[4] }) do
        local left = math.max(0, limit - #taken)
        for _, id in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', nowText, 'LIMIT', 0, left)) do
          taken[#taken + 1] = drop(id) or nil
        end
      end
      return taken`
  }
}
