import type { Result } from 'ioredis'

declare module 'ioredis' {
  interface RedisCommander<Context> {
    mcpPublish(
      messages: string,
      state: string,
      maxBytes: number,
      retentionMs: number,
      origin: string,
      topic: string,
      message: string,
      forOneReplica: 0 | 1
    ): Result<string, Context>
    mcpReadBus(
      messages: string,
      state: string,
      after: string,
      count: number,
      listenForMs: number
    ): Result<[dropped: string, last: string, found: Array<[id: string, fields: string[]]>], Context>
  }
}

/** Larger messages are not sent with the news of them: what a slow subscriber has not taken, Redis holds in memory. */
const MAX_SENT_BYTES = 8192

// KEYS: the channel's stream, its state
export const busScripts = {
  mcpPublish: {
    numberOfKeys: 2,
    lua: `
      local messages, state, maxBytes, retentionMs = KEYS[1], KEYS[2], tonumber(ARGV[1]), ARGV[2]
      -- nothing is kept for a replica that does not exist
      if ARGV[6] == '1' and redis.call('HEXISTS', state, 'listening') == 0 then return '' end
      local time = redis.call('TIME')
      local oldEnough = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) - retentionMs)
      local last = redis.call('HGET', state, 'last') or '0-0'
      local id = redis.call('XADD', messages, '*', 'origin', ARGV[3], 'topic', ARGV[4], 'message', ARGV[5])
      redis.call('HSET', state, 'last', id)
      local bytes = redis.call('HINCRBY', state, 'bytes', #ARGV[5])
      if redis.call('XLEN', messages) == 1 then redis.call('HSET', state, 'bytes', #ARGV[5]) end
      local function tooOld () return #redis.call('XRANGE', messages, '-', oldEnough, 'COUNT', 1) > 0 end
      while redis.call('XLEN', messages) > 1 and (bytes > maxBytes or tooOld()) do
        local oldest = redis.call('XRANGE', messages, '-', '+', 'COUNT', 1)[1]
        redis.call('XDEL', messages, oldest[1])
        redis.call('HSET', state, 'dropped', oldest[1])
        bytes = redis.call('HINCRBY', state, 'bytes', 0 - #oldest[2][6])
      end
      redis.call('PEXPIRE', messages, retentionMs)
      redis.call('PEXPIRE', state, retentionMs)
      local news = last .. ' ' .. id
      if #ARGV[5] <= ${MAX_SENT_BYTES} then
        news = news .. ' ' .. ARGV[3] .. ' ' .. ARGV[4] .. ' ' .. ARGV[5]
      end
      redis.pcall('PUBLISH', messages, news)
      return id`
  },
  mcpReadBus: {
    numberOfKeys: 2,
    lua: `
      if ARGV[3] ~= '0' and (redis.call('HEXISTS', KEYS[2], 'listening') == 0 or
        redis.call('PTTL', KEYS[2]) < ARGV[3] / 2) then
        -- a full Redis refuses it, and can be read from still
        redis.pcall('HSET', KEYS[2], 'listening', '1')
        redis.pcall('PEXPIRE', KEYS[2], ARGV[3])
      end
      local state, found = redis.call('HMGET', KEYS[2], 'dropped', 'last'), {}
      if ARGV[1] ~= '' then found = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2]) end
      return { state[1] or '', state[2] or '', found }`
  }
}
