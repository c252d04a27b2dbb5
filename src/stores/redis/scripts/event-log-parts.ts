import { STANDALONE_STREAM } from '../../event-log.js'
import { keyTail } from '../keys.js'

const STREAM_TAIL = keyTail('log', 'logStream')
const EVENTS_TAIL = keyTail('log', 'logEvents')

// a reader reads again this often at least; one that has not for so long is dead
const READER_MS = 90_000
const READ_EVENTS = 256
// what one reading hands out, besides the event that crosses it
const READ_BYTES = 1_048_576

/**
 * What all scripts of the event log begin with. Fields of a stream: `bytes`, `keptBytes`; `requestIds`,
 * `answered:<id>`; `last`, `names` (of appends); `reader`, `readAt`, `unread` (bytes), `delivered`; `scan`: the oldest
 * event that may be dropped comes after it; `complete`.
 *
 * KEYS: the session's streams, its bytes, the stream, its events. ARGV: stream id, channel, openMs, retentionMs,
 * maxStreams, …
 */
export const STREAM = `
  local index, bytes, stream, events = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
  local streamId, channel, openMs, retentionMs = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
  local time = redis.call('TIME')
  local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
  local standalone = streamId == '${STANDALONE_STREAM}'

  local function tell (what) redis.pcall('PUBLISH', channel, streamId .. ' ' .. what) end

  local function newer (id, other)
    if not other then return true end
    local ms, seq = string.match(id, '(%d+)-(%d+)')
    local otherMs, otherSeq = string.match(other, '(%d+)-?(%d*)')
    ms, otherMs = tonumber(ms), tonumber(otherMs)
    return ms > otherMs or ms == otherMs and tonumber(seq) > (tonumber(otherSeq) or 0)
  end

  local function isRead (key)
    local state = redis.call('HMGET', key or stream, 'reader', 'readAt')
    return state[1] and state[2] and nowMs - state[2] < ${READER_MS}
  end

  local function unread ()
    return isRead() and tonumber(redis.call('HGET', stream, 'unread') or 0) or -1
  end

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

  -- drops complete streams that nobody reads, the oldest first, as long as it is needed
  local function dropWhile (needed)
    for _, id in ipairs(redis.call('ZRANGE', index, 0, -1)) do
      if not needed() then return end
      local key = index .. '${STREAM_TAIL}' .. id
      if redis.call('EXISTS', key) == 0 then redis.call('ZREM', index, id)
      elseif id ~= streamId and redis.call('HEXISTS', key, 'complete') == 1 and not isRead(key) then drop(id) end
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
    -- events that are left belong to a stream that has expired
    redis.call('DEL', events)
    redis.call('HSET', stream, 'bytes', 0)
    redis.call('ZADD', index, string.format('%.0f', time[1] * 1000000 + time[2]), streamId)
  end

  local function expire ()
    local ms = redis.call('HEXISTS', stream, 'complete') == 1 and retentionMs or openMs
    redis.call('PEXPIRE', stream, ms)
    redis.call('PEXPIRE', events, ms)
    redis.call('PEXPIRE', index, openMs)
    redis.call('PEXPIRE', bytes, openMs)
  end

  local function count (number)
    redis.call('HINCRBY', stream, 'bytes', number)
    countAll(number)
  end

  local function delete (event)
    redis.call('XDEL', events, event[1])
    count(0 - #event[2][2])
    if event[2][3] then redis.call('HINCRBY', stream, 'keptBytes', 0 - #event[2][2]) end
  end

  -- drops the oldest event that may be: not one that a reader has yet to take, nor one that is kept
  local function dropOldest ()
    local state = redis.call('HMGET', stream, 'scan', 'delivered')
    local from = state[1] or '-'
    local event = redis.call('XRANGE', events, from, '+', 'COUNT', 1)[1]
    while event and event[2][3] do
      from = '(' .. event[1]
      event = redis.call('XRANGE', events, from, '+', 'COUNT', 1)[1]
    end
    if from ~= '-' then redis.call('HSET', stream, 'scan', from) end
    if not event or isRead() and newer(event[1], state[2]) then return false end
    delete(event)
    return true
  end

  -- drops the oldest kept event that was read
  local function dropOldestKept ()
    local delivered = redis.call('HGET', stream, 'delivered')
    if not delivered then return false end
    local from = '-'
    while true do
      local event = redis.call('XRANGE', events, from, delivered, 'COUNT', 1)[1]
      if not event then return false end
      if event[2][3] then
        delete(event)
        return true
      end
      from = '(' .. event[1]
    end
  end

  -- events of the standalone stream grow old, but not those that a reader has yet to take, or must
  local function dropAged ()
    local oldEnough = string.format('%.0f', nowMs - retentionMs)
    local delivered, from = redis.call('HGET', stream, 'delivered'), '-'
    while true do
      local event = redis.call('XRANGE', events, from, oldEnough, 'COUNT', 1)[1]
      if not event then return end
      local waits = not delivered or newer(event[1], delivered)
      if waits and (event[2][3] or isRead()) then from = '(' .. event[1] else delete(event) end
    end
  end

  local function complete ()
    redis.call('HSET', stream, 'complete', 1)
    expire()
  end`

/** What scripts that read need besides. */
export const READ = `
  local function sizeAfter (after)
    local size = 0
    for _, event in ipairs(redis.call('XRANGE', events, '(' .. after, '+')) do size = size + #event[2][2] end
    return size
  end

  local function read (after)
    if standalone then dropAged() end
    local state = redis.call('HMGET', stream, 'complete', 'delivered')
    local reply, size, last = { 'open', after }, 0, nil
    while reply[1] == 'open' do
      -- few at a time: each may be large
      local found = redis.call('XRANGE', events, '(' .. (last or after), '+', 'COUNT', 8)
      for _, event in ipairs(found) do
        last = event[1]
        reply[#reply + 1] = last
        reply[#reply + 1] = event[2][2]
        size = size + #event[2][2]
      end
      if #found < 8 then break end
      if size > ${READ_BYTES} or #reply > ${2 * READ_EVENTS} then reply[1] = 'more' end
    end
    redis.call('HSET', stream, 'readAt', nowMs)
    if size > 0 then redis.call('HINCRBY', stream, 'unread', 0 - size) end
    if last and newer(last, state[2]) then redis.call('HSET', stream, 'delivered', last) end
    if reply[1] == 'open' and state[1] then
      reply[1] = 'complete'
      redis.call('HDEL', stream, 'reader', 'readAt', 'unread')
    end
    if not state[1] then expire() end
    return reply
  end`
