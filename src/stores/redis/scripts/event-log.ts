import type { Result } from 'ioredis'
import { MAX_KEPT_CHARACTERS } from '../../event-log.js'
import { keyTail } from '../keys.js'
import type { StoredEvents } from '../stream-reader.js'
import { READ, STREAM } from './event-log-parts.js'

export type StreamKeys = [index: string, bytes: string, stream: string, events: string]
export type StreamArguments = [
  streamId: string,
  channel: string,
  openMs: number,
  retentionMs: number,
  maxStreams: number
]
type Bounds = [maxEvents: number, maxBytes: number, maxSessionBytes: number]
/**
 * An event: its text, empty if there is none; what is special; JSON of the id of the request that it answers, or empty;
 * its position, or 0 if the log gives it.
 */
export type EventArguments = [data: string, kind: '' | 'kept' | 'final' | 'end', answers: string, position: number]

declare module 'ioredis' {
  interface RedisCommander<Context> {
    mcpOpenStream(...args: [...StreamKeys, ...StreamArguments, requestIds: string]): Result<number, Context>
    mcpAppendEvents(
      ...args: [
        ...StreamKeys,
        ...StreamArguments,
        ...Bounds,
        name: string,
        isSent: number,
        ...events: Array<EventArguments[number]>
      ]
    ): Result<[taken: number, refusal: '' | 'over' | 'full', unread: number], Context>
    mcpUnread(...args: [...StreamKeys, ...StreamArguments]): Result<number, Context>
    mcpSettleStream(
      ...args: [...StreamKeys, ...StreamArguments, ...Bounds, ...answers: string[]]
    ): Result<number, Context>
    mcpFollowStream(
      ...args: [...StreamKeys, ...StreamArguments, token: string, after: string]
    ): Result<StoredEvents, Context>
    mcpReadStream(
      ...args: [...StreamKeys, ...StreamArguments, token: string, after: string]
    ): Result<StoredEvents, Context>
    mcpLeaveStream(stream: string, token: string): Result<number, Context>
    mcpDeleteStreams(index: string, bytes: string, channel: string): Result<number, Context>
  }
}

const STREAM_TAIL = keyTail('log', 'logStream')
const EVENTS_TAIL = keyTail('log', 'logEvents')

// ARGV, after those of STREAM: maxEvents, maxBytes, maxSessionBytes, …
const APPEND = `
  local maxEvents, maxBytes, maxSessionBytes = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])

  local function append (position, data, kept, sent)
    local id = kept and redis.call('XADD', events, position, 'data', data, 'kept', '1')
      or redis.call('XADD', events, position, 'data', data)
    count(#data)
    if kept then redis.call('HINCRBY', stream, 'keptBytes', #data) end
    if isRead() then redis.call('HINCRBY', stream, 'unread', #data)
    elseif sent then redis.call('HSET', stream, 'delivered', id) end
    return id
  end

  local function trim ()
    local function length () return redis.call('XLEN', events) end
    local function size () return tonumber(redis.call('HGET', stream, 'bytes')) end
    local function tooLarge () return length() > maxEvents or length() > 1 and size() > maxBytes end
    local function tooMuch () return tonumber(redis.call('GET', bytes)) > maxSessionBytes end
    if standalone then dropAged() end
    while tooLarge() and dropOldest() do end
    if tooMuch() then
      recount()
      dropWhile(tooMuch)
      while length() > 1 and tooMuch() and dropOldest() do end
    end
  end

  -- room for one more request to the client: those that were read go first
  local function makeRoomForKept (characters)
    local function tooMuch ()
      return (tonumber(redis.call('HGET', stream, 'keptBytes')) or 0) + characters > ${MAX_KEPT_CHARACTERS}
    end
    while tooMuch() do
      if not dropOldestKept() then return false end
    end
    return true
  end`

/** What the event log does in one step each. */
export const eventLogScripts = {
  mcpOpenStream: {
    numberOfKeys: 4,
    lua: `${STREAM}
      if redis.call('EXISTS', stream) == 0 then create() end
      redis.call('HSET', stream, 'requestIds', ARGV[6])
      expire()
      return 1`
  },
  // ARGV, after the bounds: name, sent; data, kind, answers, position of each event
  mcpAppendEvents: {
    numberOfKeys: 4,
    lua: `${STREAM}${APPEND}
      if redis.call('EXISTS', stream) == 0 then
        if not standalone then return { 0, 'over', -1 } end
        create()
      end
      if redis.call('HEXISTS', stream, 'complete') == 1 then return { 0, 'over', -1 } end
      local name, sent = ARGV[9], ARGV[10] == '1'
      if name ~= '' then
        local names = redis.call('HGET', stream, 'names') or ''
        if string.find(' ' .. names .. ' ', ' ' .. name .. ' ', 1, true) then
          return { (#ARGV - 10) / 4, '', unread() }
        end
        redis.call('HSET', stream, 'names', string.sub(name .. ' ' .. names, 1, 1024))
      end
      local last = tonumber(redis.call('HGET', stream, 'last') or 0)
      local taken, refusal, lastId, over = 0, '', nil, false
      for index = 11, #ARGV, 4 do
        local data, kind, answers = ARGV[index], ARGV[index + 1], ARGV[index + 2]
        local position = tonumber(ARGV[index + 3])
        -- an append that is repeated
        if position == 0 or position > last then
          if kind == 'kept' and answers == '' and not makeRoomForKept(#data) then
            refusal = 'full'
            break
          end
          if answers ~= '' then redis.call('HSET', stream, 'answered:' .. answers, 1) end
          if kind ~= 'end' then lastId = append(position == 0 and '*' or position, data, kind ~= '', sent) end
          if position > 0 then redis.call('HSET', stream, 'last', position) end
          if kind == 'final' or kind == 'end' then over = true end
        end
        taken = taken + 1
      end
      trim()
      if over then complete() else expire() end
      if lastId then tell(lastId) end
      if over then tell('!') end
      return { taken, refusal, unread() }`
  },
  mcpUnread: {
    numberOfKeys: 4,
    lua: `${STREAM}
      return unread()`
  },
  mcpSettleStream: {
    numberOfKeys: 4,
    lua: `${STREAM}${APPEND}
      if redis.call('EXISTS', stream) == 0 or redis.call('HEXISTS', stream, 'complete') == 1 then return 0 end
      for index = 9, #ARGV, 2 do
        if redis.call('HEXISTS', stream, 'answered:' .. ARGV[index]) == 0 then
          append('*', ARGV[index + 1], true, false)
        end
      end
      trim()
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
      local after = ARGV[7] ~= '' and ARGV[7] or redis.call('HGET', stream, 'delivered') or '0-0'
      redis.call('HSET', stream, 'reader', ARGV[6], 'unread', sizeAfter(after), 'delivered', after)
      -- another may read it, or write it to a client directly
      tell('!' .. ARGV[6])
      return read(after)`
  },
  mcpReadStream: {
    numberOfKeys: 4,
    lua: `${STREAM}${READ}
      local reader = redis.call('HGET', stream, 'reader')
      if redis.call('EXISTS', stream) == 0 then return { 'gone' } end
      -- who has read to the end gives the place up, also if the reply is lost: then it reads once more
      local over = not reader and redis.call('HEXISTS', stream, 'complete') == 1
      if reader ~= ARGV[6] and not over then return { 'taken' } end
      return read(ARGV[7])`
  },
  mcpLeaveStream: {
    numberOfKeys: 1,
    lua: `
      if redis.call('HGET', KEYS[1], 'reader') ~= ARGV[1] then return 0 end
      return redis.call('HDEL', KEYS[1], 'reader', 'readAt', 'unread')`
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
