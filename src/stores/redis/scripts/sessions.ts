import type { Result } from 'ioredis'
import { keyTail } from '../keys.js'

declare module 'ioredis' {
  interface RedisCommander<Context> {
    mcpCreateSession(
      sessions: string,
      record: string,
      member: string,
      perOwner: number,
      perPerson: number,
      idleSeconds: number,
      ...fields: string[]
    ): Result<string[], Context>
    mcpChangeSession(
      record: string,
      operation: 'set' | 'subscribe' | 'unsubscribe',
      ...rest: string[]
    ): Result<number, Context>
    mcpTouchSession(
      sessions: string,
      record: string,
      member: string,
      idleSeconds: number,
      seenAt: number
    ): Result<number, Context>
    mcpDeleteSession(sessions: string, record: string, member: string): Result<number, Context>
    mcpExtendSessionPointer(pointer: string, untilMs: number): Result<string | null, Context>
  }
}

const SESSION_TAIL = keyTail('sessions', 'session')

// KEYS: the person's sessions, the record. ARGV: the session's member of the set, …
const SEEN = `
  local time = redis.call('TIME')
  local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
  local function seen (idleSeconds)
    local fields = redis.call('HMGET', KEYS[2], 'lastSeenAt', 'expiresAt')
    local untilMs = math.ceil(math.min(fields[1] + idleSeconds, fields[2]) * 1000)
    redis.call('PEXPIREAT', KEYS[2], untilMs)
    redis.call('ZADD', KEYS[1], string.format('%.0f', time[1] * 1000000 + time[2]), ARGV[1])
    if redis.call('PTTL', KEYS[1]) < untilMs - nowMs then redis.call('PEXPIREAT', KEYS[1], untilMs) end
  end`

/** A member of a person's set is this long a hash of the client, and the session's id. */
export const CLIENT_LENGTH = 22

/** The steps of `RedisSessionStore`, each atomic. */
export const sessionScripts = {
  mcpCreateSession: {
    numberOfKeys: 2,
    lua: `${SEEN}
      local ended, perOwner, perPerson = {}, tonumber(ARGV[2]), tonumber(ARGV[3])
      if redis.call('ZCARD', KEYS[1]) >= math.min(perOwner, perPerson) then
        local own = string.sub(ARGV[1], 1, ${CLIENT_LENGTH})
        local live, owned, kept, gone = {}, {}, {}, {}
        for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
          if redis.call('EXISTS', KEYS[1] .. '${SESSION_TAIL}' .. string.sub(member, ${CLIENT_LENGTH + 1})) == 1 then
            live[#live + 1] = member
            if string.sub(member, 1, ${CLIENT_LENGTH}) == own then owned[#owned + 1] = member end
          else redis.call('ZREM', KEYS[1], member) end
        end
        local function finish (member)
          gone[member] = true
          ended[#ended + 1] = string.sub(member, ${CLIENT_LENGTH + 1})
          redis.call('DEL', KEYS[1] .. '${SESSION_TAIL}' .. ended[#ended])
          redis.call('ZREM', KEYS[1], member)
        end
        for index = 1, #owned - perOwner + 1 do finish(owned[index]) end
        for _, member in ipairs(live) do
          if not gone[member] then kept[#kept + 1] = member end
        end
        for index = 1, #kept - perPerson + 1 do finish(kept[index]) end
      end
      redis.call('DEL', KEYS[2])
      redis.call('HSET', KEYS[2], unpack(ARGV, 5))
      seen(ARGV[4])
      return ended`
  },
  mcpChangeSession: {
    numberOfKeys: 1,
    lua: `
      if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
      if ARGV[1] == 'set' then
        redis.call('HSET', KEYS[1], unpack(ARGV, 2))
      elseif ARGV[1] == 'unsubscribe' then
        redis.call('HDEL', KEYS[1], 'uri:' .. ARGV[2])
      elseif redis.call('HEXISTS', KEYS[1], 'uri:' .. ARGV[2]) == 0 then
        redis.call('HSET', KEYS[1], 'uri:' .. ARGV[2], redis.call('HINCRBY', KEYS[1], 'subscribed', 1))
      end
      return 1`
  },
  mcpTouchSession: {
    numberOfKeys: 2,
    lua: `${SEEN}
      local last = redis.call('HGET', KEYS[2], 'lastSeenAt')
      if not last then
        redis.call('ZREM', KEYS[1], ARGV[1])
        return 0
      end
      if tonumber(ARGV[3]) > tonumber(last) then redis.call('HSET', KEYS[2], 'lastSeenAt', ARGV[3]) end
      seen(ARGV[2])
      return 1`
  },
  mcpDeleteSession: {
    numberOfKeys: 2,
    lua: `
      redis.call('ZREM', KEYS[1], ARGV[1])
      return redis.call('DEL', KEYS[2])`
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
