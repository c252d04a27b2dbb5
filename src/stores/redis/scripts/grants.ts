import type { Result } from 'ioredis'
import { MAX_ACCESS_TOKENS_OF_GRANT, MAX_ROTATED_TOKENS_OF_GRANT, type Redemption } from '../../grants.js'
import { keyTail } from '../keys.js'

declare module 'ioredis' {
  interface RedisCommander<Context> {
    mcpPutCode(
      code: string,
      json: string,
      grant: string,
      sealedUpstreamTokens: string,
      upstreamVersion: number,
      grantExpiresAtMs: number,
      expiresAtMs: number
    ): Result<number, Context>
    mcpFindCode(code: string): Result<[json: string, used: string | null, ...grant: StoredGrant] | null, Context>
    mcpRedeemCode(
      code: string,
      grant: string,
      access: string,
      refresh: string,
      ...tokens: TokenArguments
    ): Result<[outcome: Redemption, issued: number, dropped: string[] | null], Context>
    mcpFindGrant(grant: string): Result<StoredGrant | null, Context>
    mcpFindAccessToken(grant: string, access: string): Result<[token: string, ...grant: StoredGrant] | null, Context>
    mcpFindRefreshToken(
      grant: string,
      refresh: string
    ): Result<[token: string, rotated: number, ...grant: StoredGrant] | null, Context>
    mcpRotate(
      old: string,
      grant: string,
      access: string,
      refresh: string,
      ...tokens: [
        ...TokenArguments,
        sealedResponse: string,
        repeatMs: number,
        forget: 0 | 1,
        hash: string,
        ...ended: Announcement
      ]
    ): Result<StoredRotation, Context>
    mcpReplaceUpstreamTokens(grant: string, version: number, sealed: string): Result<number, Context>
    mcpReplaceGrant(grant: string, json: string, replacement: string): Result<number, Context>
    mcpListGrant(person: string, grantId: string, expiresAtMs: number): Result<number, Context>
    mcpEndGrant(grant: string, ...ended: Announcement): Result<StoredGrant | null, Context>
  }
}

/** What is published if the grant ends. */
type Announcement = [channel: string, text: string]

/** The grant as JSON, but for what changes. */
export type StoredGrant = [grant: string, sealedUpstreamTokens: string, upstreamVersion: string]

export type TokenArguments = [
  access: string,
  accessExpiresAtMs: number,
  accessHash: string,
  refresh: string,
  refreshExpiresAtMs: number
]

/** `issued`: whether the tokens stand by now, of this or of an earlier call. */
type StoredRotation =
  | [outcome: 'rotated', issued: number, dropped: string[]]
  | [outcome: 'unknown', issued: number]
  | [outcome: 'repeated', issued: number, sealedResponse: string]
  | [outcome: 'replayed', issued: number, ...grant: StoredGrant]

const RESPONSE = keyTail('grantRefresh', 'grantResponse')
// ids kept for one person, those of ended grants included
const MAX_LISTED = 1000

const GRANT = `
  local function grantOf (key)
    local grant = redis.call('HMGET', key, 'json', 'sealedUpstreamTokens', 'upstreamVersion')
    if grant[1] then return grant end
  end`

// KEYS: …, grant, access, refresh. ARGV: access, its end, its hash, refresh or '', its end.
// Returns hashes of access tokens that gave way.
const ISSUE = `
  local function issue ()
    local dropped, issued = {}, KEYS[2] .. '${keyTail('grant', 'grantIssued')}'
    redis.call('SET', KEYS[3], ARGV[1])
    redis.call('PEXPIREAT', KEYS[3], ARGV[2])
    redis.call('RPUSH', issued, ARGV[3])
    redis.call('PEXPIREAT', issued, ARGV[2])
    while redis.call('LLEN', issued) > ${MAX_ACCESS_TOKENS_OF_GRANT} do
      local hash = redis.call('LPOP', issued)
      redis.call('DEL', KEYS[2] .. '${keyTail('grant', 'grantAccess')}' .. hash)
      dropped[#dropped + 1] = hash
    end
    if ARGV[4] ~= '' then
      redis.call('HSET', KEYS[4], 'json', ARGV[4])
      redis.call('PEXPIREAT', KEYS[4], ARGV[5])
    end
    return dropped
  end`

/** The steps of `RedisGrantStore`, each atomic. */
export const grantScripts = {
  mcpPutCode: {
    numberOfKeys: 1,
    lua: `
      redis.call('DEL', KEYS[1])
      redis.call('HSET', KEYS[1], 'code', ARGV[1], 'json', ARGV[2], 'sealedUpstreamTokens', ARGV[3],
        'upstreamVersion', ARGV[4], 'grantExpiresAtMs', ARGV[5])
      return redis.call('PEXPIREAT', KEYS[1], ARGV[6])`
  },
  mcpFindCode: {
    numberOfKeys: 1,
    lua: `
      local code = redis.call('HMGET', KEYS[1], 'code', 'used', 'json', 'sealedUpstreamTokens', 'upstreamVersion')
      return code[1] and code`
  },
  mcpRedeemCode: {
    numberOfKeys: 4,
    lua: `${ISSUE}
      local code = redis.call('HMGET', KEYS[1],
        'used', 'grantExpiresAtMs', 'json', 'sealedUpstreamTokens', 'upstreamVersion')
      if not code[3] then return { 'unknown', 0 } end
      if code[1] then return { 'replayed', redis.call('EXISTS', KEYS[3]) } end
      -- what is remembered of a used code needs no upstream tokens
      redis.call('HSET', KEYS[1], 'used', '1', 'sealedUpstreamTokens', '')
      redis.call('PEXPIREAT', KEYS[1], ARGV[2])
      redis.call('HSET', KEYS[2], 'json', code[3], 'sealedUpstreamTokens', code[4], 'upstreamVersion', code[5])
      redis.call('PEXPIREAT', KEYS[2], code[2])
      return { 'redeemed', 1, issue() }`
  },
  mcpFindGrant: {
    numberOfKeys: 1,
    lua: `${GRANT}
      return grantOf(KEYS[1])`
  },
  mcpFindAccessToken: {
    numberOfKeys: 2,
    lua: `${GRANT}
      local grant, token = grantOf(KEYS[1]), redis.call('GET', KEYS[2])
      return grant and token and { token, unpack(grant) }`
  },
  mcpFindRefreshToken: {
    numberOfKeys: 2,
    lua: `${GRANT}
      local grant, token = grantOf(KEYS[1]), redis.call('HMGET', KEYS[2], 'json', 'rotated')
      return grant and token[1] and { token[1], token[2] and 1 or 0, unpack(grant) }`
  },
  mcpRotate: {
    numberOfKeys: 4,
    lua: `${GRANT}${ISSUE}
      local grant, old = grantOf(KEYS[2]), redis.call('HMGET', KEYS[1], 'json', 'rotated')
      if not grant or not old[1] then return { 'unknown', 0 } end
      local response = KEYS[1] .. '${RESPONSE}'
      if not old[2] then
        redis.call('HSET', KEYS[1], 'rotated', '1')
        redis.call('SET', response, ARGV[6], 'PX', ARGV[7])
        if ARGV[8] == '1' and redis.call('PTTL', KEYS[1]) > tonumber(ARGV[7]) then
          redis.call('PEXPIRE', KEYS[1], ARGV[7])
        end
        local rotated = KEYS[2] .. '${keyTail('grant', 'grantRotated')}'
        redis.call('RPUSH', rotated, ARGV[9])
        redis.call('PEXPIRE', rotated, math.max(redis.call('PTTL', KEYS[1]), redis.call('PTTL', rotated), 1))
        while redis.call('LLEN', rotated) > ${MAX_ROTATED_TOKENS_OF_GRANT} do
          local oldest = KEYS[2] .. '${keyTail('grant', 'grantRefresh')}' .. redis.call('LPOP', rotated)
          redis.call('DEL', oldest, oldest .. '${RESPONSE}')
        end
        return { 'rotated', 1, issue() }
      end
      local issued, given = redis.call('EXISTS', KEYS[3]), redis.call('GET', response)
      if given then return { 'repeated', issued, given } end
      redis.call('DEL', KEYS[2])
      redis.pcall('PUBLISH', ARGV[10], ARGV[11])
      return { 'replayed', issued, unpack(grant) }`
  },
  mcpReplaceUpstreamTokens: {
    numberOfKeys: 1,
    lua: `
      if redis.call('HGET', KEYS[1], 'upstreamVersion') ~= ARGV[1] then return 0 end
      redis.call('HSET', KEYS[1], 'sealedUpstreamTokens', ARGV[2])
      redis.call('HINCRBY', KEYS[1], 'upstreamVersion', 1)
      return 1`
  },
  mcpReplaceGrant: {
    numberOfKeys: 1,
    lua: `
      if redis.call('HGET', KEYS[1], 'json') ~= ARGV[1] then return 0 end
      redis.call('HSET', KEYS[1], 'json', ARGV[2])
      return 1`
  },
  mcpListGrant: {
    numberOfKeys: 1,
    lua: `
      local time = redis.call('TIME')
      redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', time[1] * 1000)
      redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
      redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -${MAX_LISTED + 1})
      return redis.call('PEXPIREAT', KEYS[1], redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2])`
  },
  mcpEndGrant: {
    numberOfKeys: 1,
    lua: `${GRANT}
      local grant = grantOf(KEYS[1])
      redis.call('DEL', KEYS[1])
      if grant then redis.pcall('PUBLISH', ARGV[1], ARGV[2]) end
      return grant`
  }
}
