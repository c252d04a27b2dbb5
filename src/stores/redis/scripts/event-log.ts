import type { Result } from 'ioredis'
import { STANDALONE_STREAM } from '../../event-log.js'
import { keyTail } from '../keys.js'
import type { StoredEvents } from '../stream-reader.js'

export type StreamKeys = [index: string, bytes: string, stream: string, events: string]
export type StreamArguments = [
  streamId: string,
  channel: string,
  openMs: number,
  retentionMs: number,
  maxStreams: number
]
type Bounds = [maxEvents: number, maxBytes: number, maxSessionBytes: number]

declare module 'ioredis' {
  interface RedisCommander<Context> {
    mcpOpenStream(
      ...args: [...StreamKeys, ...StreamArguments, resumable: number, requestIds: string]
    ): Result<number, Context>
    mcpAppendEvent(
      ...args: [...StreamKeys, ...StreamArguments, ...Bounds, data: string, final: number, answers: string]
    ): Result<number, Context>
    mcpSettleStream(
      ...args: [...StreamKeys, ...StreamArguments, ...Bounds, ...answers: string[]]
    ): Result<number, Context>
    mcpEndStream(...args: [...StreamKeys, ...StreamArguments]): Result<number, Context>
    mcpFollowStream(
      ...args: [...StreamKeys, ...StreamArguments, token: string, after: string, count: number]
    ): Result<StoredEvents, Context>
    mcpReadStream(
      ...args: [...StreamKeys, ...StreamArguments, token: string, after: string, count: number]
    ): Result<StoredEvents, Context>
    mcpLeaveStream(stream: string, token: string): Result<number, Context>
    mcpDeleteStreams(index: string, bytes: string, channel: string): Result<number, Context>
  }
}

const STREAM_TAIL = keyTail('log', 'logStream')
const EVENTS_TAIL = keyTail('log', 'logEvents')

// KEYS: the session's streams, its bytes, the stream, its events. ARGV: stream id, channel, openMs, retentionMs,
// maxStreams, …
const STREAM = `
  local index, bytes, stream, events = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
  local streamId, channel, openMs, retentionMs = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
  local time = redis.call('TIME')
  local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
  local standalone = streamId == '${STANDALONE_STREAM}'

  local function tell (what) redis.call('PUBLISH', channel, streamId .. ' ' .. what) end

  local function countAll (number)
    redis.call('INCRBY', bytes, number)
    redis.call('PEXPIRE', bytes, openMs)
  end

  local function drop (id)
    local key = index .. '${STREAM_TAIL}' .. id
    countAll(0 - (redis.call('HGET', key, 'bytes') or 0))
    redis.call('DEL', key, index .. '${EVENTS_TAIL}' .. id)
    redis.call('ZREM', index, id)
  end

  -- drops complete streams, the oldest first, as long as it is needed
  local function dropWhile (needed)
    for _, id in ipairs(redis.call('ZRANGE', index, 0, -1)) do
      if not needed() then return end
      local key = index .. '${STREAM_TAIL}' .. id
      if redis.call('EXISTS', key) == 0 then redis.call('ZREM', index, id)
      elseif id ~= streamId and redis.call('HEXISTS', key, 'complete') == 1 then drop(id) end
    end
  end

  -- what expired was not counted off
  local function recount ()
    local sum = 0
    for _, id in ipairs(redis.call('ZRANGE', index, 0, -1)) do
      sum = sum + (redis.call('HGET', index .. '${STREAM_TAIL}' .. id, 'bytes') or 0)
    end
    redis.call('SET', bytes, sum, 'PX', openMs)
  end

  local function create ()
    local max = tonumber(ARGV[5])
    dropWhile(function () return redis.call('ZCARD', index) >= max end)
    redis.call('HSET', stream, 'resumable', 1, 'bytes', 0)
    redis.call('ZADD', index, string.format('%.0f', time[1] * 1000000 + time[2]), streamId)
  end

  -- events of the standalone stream have an age; others wait for the end of their stream
  local function expire ()
    local complete = redis.call('HEXISTS', stream, 'complete') == 1
    redis.call('PEXPIRE', stream, complete and retentionMs or openMs)
    redis.call('PEXPIRE', events, (complete or standalone) and retentionMs or openMs)
    redis.call('PEXPIRE', index, openMs)
    redis.call('PEXPIRE', bytes, openMs)
  end

  local function count (number)
    redis.call('HINCRBY', stream, 'bytes', number)
    countAll(number)
  end

  local function dropOldest ()
    local oldest = redis.call('XRANGE', events, '-', '+', 'COUNT', 1)[1]
    redis.call('XDEL', events, oldest[1])
    count(0 - #oldest[2][2])
  end

  local function dropAged ()
    local oldEnough = string.format('%.0f', nowMs - retentionMs)
    while #redis.call('XRANGE', events, '-', oldEnough, 'COUNT', 1) > 0 do dropOldest() end
  end

  local function complete ()
    redis.call('HSET', stream, 'complete', 1)
    local reader = redis.call('HMGET', stream, 'resumable', 'reader')
    if reader[1] == '0' and not reader[2] then drop(streamId) else expire() end
  end`

// ARGV, after those: maxEvents, maxBytes, maxSessionBytes, …
const APPEND = `
  local maxEvents, maxBytes, maxSessionBytes = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])

  local function append (data)
    local id = redis.call('XADD', events, '*', 'data', data)
    local function length () return redis.call('XLEN', events) end
    -- the events before may have expired
    if length() == 1 then redis.call('HSET', stream, 'bytes', 0) end
    count(#data)
    local function size () return tonumber(redis.call('HGET', stream, 'bytes')) end
    local function tooMany () return length() > maxEvents or size() > maxBytes end
    local function tooMuch () return tonumber(redis.call('GET', bytes)) > maxSessionBytes end
    while length() > 1 and tooMany() do dropOldest() end
    if standalone then dropAged() end
    if tooMuch() then
      recount()
      dropWhile(tooMuch)
      while length() > 1 and tooMuch() do dropOldest() end
    end
    tell(id)
  end`

const READ = `
  local function newer (id, other)
    if not other then return true end
    local ms, seq = string.match(id, '(%d+)-(%d+)')
    local otherMs, otherSeq = string.match(other, '(%d+)-(%d+)')
    ms, otherMs = tonumber(ms), tonumber(otherMs)
    return ms > otherMs or ms == otherMs and tonumber(seq) > tonumber(otherSeq)
  end

  local function read (after, max)
    if standalone then dropAged() end
    local state = redis.call('HMGET', stream, 'complete', 'resumable', 'delivered')
    local found = redis.call('XRANGE', events, '(' .. after, '+', 'COUNT', max)
    local reply = { 'open', after }
    for _, event in ipairs(found) do
      reply[#reply + 1] = event[1]
      reply[#reply + 1] = event[2][2]
      if state[2] == '0' then
        redis.call('XDEL', events, event[1])
        count(0 - #event[2][2])
      end
    end
    local last = found[#found] and found[#found][1]
    if last and newer(last, state[3]) then redis.call('HSET', stream, 'delivered', last) end
    if #found == tonumber(max) then reply[1] = 'more'
    elseif state[1] then reply[1] = 'complete' end
    if reply[1] == 'complete' and state[2] == '0' then drop(streamId)
    elseif not state[1] then expire() end
    return reply
  end`

/** What the event log does in one step each. */
export const eventLogScripts = {
  mcpOpenStream: {
    numberOfKeys: 4,
    lua: `${STREAM}
      if redis.call('EXISTS', stream) == 0 then create() end
      redis.call('HSET', stream, 'resumable', ARGV[6], 'requestIds', ARGV[7])
      expire()
      return 1`
  },
  mcpAppendEvent: {
    numberOfKeys: 4,
    lua: `${STREAM}${APPEND}
      if redis.call('EXISTS', stream) == 0 then
        if not standalone then return 0 end
        create()
      end
      if redis.call('HEXISTS', stream, 'complete') == 1 then return 0 end
      append(ARGV[9])
      if ARGV[10] == '1' then
        complete()
      else
        if ARGV[11] ~= '' then redis.call('HSET', stream, 'answered:' .. ARGV[11], 1) end
        expire()
      end
      return 1`
  },
  mcpSettleStream: {
    numberOfKeys: 4,
    lua: `${STREAM}${APPEND}
      if redis.call('EXISTS', stream) == 0 or redis.call('HEXISTS', stream, 'complete') == 1 then return 0 end
      for index = 9, #ARGV, 2 do
        if redis.call('HEXISTS', stream, 'answered:' .. ARGV[index]) == 0 then append(ARGV[index + 1]) end
      end
      complete()
      tell('!')
      return 1`
  },
  mcpEndStream: {
    numberOfKeys: 4,
    lua: `${STREAM}
      if redis.call('EXISTS', stream) == 0 then
        if not standalone then return 0 end
        create()
      end
      if redis.call('HEXISTS', stream, 'complete') == 1 then return 0 end
      complete()
      tell('!')
      return 1`
  },
  mcpFollowStream: {
    numberOfKeys: 4,
    lua: `${STREAM}${READ}
      if redis.call('EXISTS', stream) == 0 then
        if not standalone then return { 'gone' } end
        create()
      end
      local state = redis.call('HMGET', stream, 'reader', 'delivered')
      redis.call('HSET', stream, 'reader', ARGV[6])
      if state[1] and state[1] ~= ARGV[6] then tell('!') end
      return read(ARGV[7] ~= '' and ARGV[7] or state[2] or '0-0', ARGV[8])`
  },
  mcpReadStream: {
    numberOfKeys: 4,
    lua: `${STREAM}${READ}
      local reader = redis.call('HMGET', stream, 'resumable', 'reader')
      if not reader[1] then return { 'gone' } end
      if reader[2] ~= ARGV[6] then return { 'taken' } end
      return read(ARGV[7], ARGV[8])`
  },
  mcpLeaveStream: {
    numberOfKeys: 1,
    lua: `
      if redis.call('HGET', KEYS[1], 'reader') ~= ARGV[1] then return 0 end
      return redis.call('HDEL', KEYS[1], 'reader')`
  },
  mcpDeleteStreams: {
    numberOfKeys: 2,
    lua: `
      for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
        redis.call('DEL', KEYS[1] .. '${STREAM_TAIL}' .. id, KEYS[1] .. '${EVENTS_TAIL}' .. id)
      end
      redis.call('PUBLISH', ARGV[1], '* !')
      return redis.call('DEL', KEYS[1], KEYS[2])`
  }
}
