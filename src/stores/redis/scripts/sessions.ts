import type { Result } from 'ioredis'
import { keyTail } from '../keys.js'

/** How a record is changed; `move` only if it is where the change says. */
export type SessionOperation = 'set' | 'subscribe' | 'unsubscribe' | 'move'

declare module 'ioredis' {
  interface RedisCommander<Context> {
    mcpCreateSession(
      sessions: string,
      record: string,
      member: string,
      perOwner: number,
      perPerson: number,
      idleSeconds: number,
      channel: string,
      text: string,
      share: number,
      ...fields: string[]
    ): Result<string[] | null, Context>
    mcpChangeSession(
      record: string,
      channel: string,
      text: string,
      operation: SessionOperation,
      ...rest: string[]
    ): Result<number | null, Context>
    mcpTouchSession(
      sessions: string,
      record: string,
      member: string,
      idleSeconds: number,
      seenAt: number
    ): Result<number, Context>
    mcpDeleteSession(
      sessions: string,
      record: string,
      member: string,
      channel: string,
      text: string
    ): Result<number, Context>
    mcpExtendSessionPointer(pointer: string, untilMs: number): Result<string | null, Context>
  }
}

const SESSION_TAIL = keyTail('sessions', 'session')

/** A member of a person's sets is this long a hash of the client, and the session's id. */
export const CLIENT_LENGTH = 22

// some milliseconds
const MAX_FORGOTTEN = 1000

// the sets that a member is in: the person's and the owner's sessions in the order of use, and all by their end. Those
// of callers who have not logged in are one person's, and an owner's are an address's: then the owners are known by the
// number of their sessions
const SETS = `
  local ends = KEYS[1] .. '${keyTail('sessions', 'sessionEnds')}'
  local function ofOwner (member)
    return KEYS[1] .. '${keyTail('sessions', 'sessionsOfClient')}' .. string.sub(member, 1, ${CLIENT_LENGTH})
  end
  local addresses = KEYS[1] .. '${keyTail('sessions', 'sessionsOfAddresses')}'
  local function count (member)
    local address, sessions = string.sub(member, 1, ${CLIENT_LENGTH}), redis.call('ZCARD', ofOwner(member))
    if sessions == 0 then redis.call('ZREM', addresses, address)
    else redis.call('ZADD', addresses, sessions, address) end
  end
  local function forget (member)
    for _, set in ipairs({ KEYS[1], ofOwner(member), ends }) do redis.call('ZREM', set, member) end
    if redis.call('EXISTS', addresses) == 1 then count(member) end
  end`

// KEYS: the person's sessions, the record. ARGV: the session's member of the sets, …
const SEEN = `${SETS}
  local time = redis.call('TIME')
  local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
  local function seen (idleSeconds, isAnonymous)
    local fields = redis.call('HMGET', KEYS[2], 'lastSeenAt', 'expiresAt')
    local untilMs = math.ceil(math.min(fields[1] + idleSeconds, fields[2]) * 1000)
    redis.call('PEXPIREAT', KEYS[2], untilMs)
    local order = string.format('%.0f', time[1] * 1000000 + time[2])
    for set, score in pairs({ [KEYS[1]] = order, [ofOwner(ARGV[1])] = order, [ends] = untilMs }) do
      redis.call('ZADD', set, score, ARGV[1])
      if redis.call('PTTL', set) < untilMs - nowMs then redis.call('PEXPIREAT', set, untilMs) end
    end
    if isAnonymous then count(ARGV[1]) end
    if redis.call('PTTL', addresses) < untilMs - nowMs then redis.call('PEXPIREAT', addresses, untilMs) end
  end`

/** The steps of `RedisSessionStore`, each atomic. */
export const sessionScripts = {
  mcpCreateSession: {
    numberOfKeys: 2,
    lua: `${SEEN}
      local ended, text = {}, string.sub(ARGV[6], 1, -2) .. '"sessionId":'
      -- each is met once, when it has ended: what is left need not be looked through
      local over = redis.call('ZRANGEBYSCORE', ends, '-inf', nowMs, 'LIMIT', 0, ${MAX_FORGOTTEN})
      for _, member in ipairs(over) do forget(member) end
      local function endBeyond (set, most)
        local beyond = redis.call('ZCARD', set) - most
        if beyond <= 0 then return end
        for _, member in ipairs(redis.call('ZRANGE', set, 0, beyond - 1)) do
          ended[#ended + 1] = string.sub(member, ${CLIENT_LENGTH + 1})
          redis.call('DEL', KEYS[1] .. '${SESSION_TAIL}' .. ended[#ended])
          forget(member)
          redis.pcall('PUBLISH', ARGV[5], text .. cjson.encode(ended[#ended]) .. '}')
        end
      end
      local own, share = ofOwner(ARGV[1]), tonumber(ARGV[7])
      endBeyond(own, ARGV[2] - 1)
      if share == 0 then
        endBeyond(KEYS[1], ARGV[3] - 1)
      elseif #ended == 0 and redis.call('ZCARD', KEYS[1]) >= share then
        local largest = redis.call('ZREVRANGE', addresses, 0, 0, 'WITHSCORES')
        if tonumber(largest[2] or 0) <= redis.call('ZCARD', own) + 1 then return false end
        endBeyond(ofOwner(largest[1]), largest[2] - 1)
      end
      redis.call('DEL', KEYS[2])
      redis.call('HSET', KEYS[2], unpack(ARGV, 8))
      seen(ARGV[4], share > 0)
      return ended`
  },
  mcpChangeSession: {
    numberOfKeys: 1,
    lua: `
      if redis.call('EXISTS', KEYS[1]) == 0 then return nil end
      local uri = 'uri:' .. ARGV[4]
      if ARGV[3] == 'set' then
        redis.call('HSET', KEYS[1], unpack(ARGV, 4))
      elseif ARGV[3] == 'move' then
        if (redis.call('HGET', KEYS[1], 'replicaId') or '') == ARGV[5] then
          redis.call('HSET', KEYS[1], 'replicaId', ARGV[4])
        end
      elseif ARGV[3] == 'unsubscribe' then
        redis.call('HDEL', KEYS[1], uri)
      elseif redis.call('HEXISTS', KEYS[1], uri) == 0 then
        redis.call('HSET', KEYS[1], uri, redis.call('HINCRBY', KEYS[1], 'subscribed', 1))
      end
      local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
      redis.pcall('PUBLISH', ARGV[1], string.sub(ARGV[2], 1, -2) .. ',"version":' .. version .. '}')
      return version`
  },
  mcpTouchSession: {
    numberOfKeys: 2,
    lua: `${SEEN}
      local last = redis.call('HGET', KEYS[2], 'lastSeenAt')
      if not last then
        forget(ARGV[1])
        return 0
      end
      if tonumber(ARGV[3]) > tonumber(last) then redis.call('HSET', KEYS[2], 'lastSeenAt', ARGV[3]) end
      seen(ARGV[2])
      return 1`
  },
  mcpDeleteSession: {
    numberOfKeys: 2,
    lua: `${SETS}
      forget(ARGV[1])
      local deleted = redis.call('DEL', KEYS[2])
      if deleted == 1 then redis.pcall('PUBLISH', ARGV[2], ARGV[3]) end
      return deleted`
  },
  mcpExtendSessionPointer: {
    numberOfKeys: 1,
    lua: `
      local time = redis.call('TIME')
      local leftMs = ARGV[1] - time[1] * 1000 - math.floor(time[2] / 1000)
      if redis.call('PTTL', KEYS[1]) < leftMs then redis.call('PEXPIREAT', KEYS[1], ARGV[1]) end
      return redis.call('GET', KEYS[1])`
  }
}
