import { SPARE_SECONDS } from '../keys.js'

/**
 * Counts what is kept for unknown clients: entries and bytes, by address and in all. For scripts whose KEYS[1] to
 * KEYS[3]
 * are a sorted set of ids by their end, a hash of each one's size and address, and a hash of the sums.
 */
export const BUDGET = `
  local time = redis.call('TIME')
  local now = time[1] + time[2] / 1000000
  local function count (address, entries, bytes)
    redis.call('HINCRBY', KEYS[3], 'bytes', bytes)
    redis.call('HINCRBY', KEYS[3], 'bytes:' .. address, bytes)
    if redis.call('HINCRBY', KEYS[3], 'count:' .. address, entries) <= 0 then
      redis.call('HDEL', KEYS[3], 'count:' .. address, 'bytes:' .. address)
    end
  end
  local function sizeOf (id)
    local bytes, address = string.match(redis.call('HGET', KEYS[2], id) or '', '^(%d+) (.*)$')
    return tonumber(bytes), address
  end
  local function charge (id, address, bytes, ends)
    redis.call('ZADD', KEYS[1], ends, id)
    redis.call('HSET', KEYS[2], id, bytes .. ' ' .. address)
    count(address, 1, bytes)
    for key = 1, 3 do
      if redis.call('TTL', KEYS[key]) < ends - now then
        redis.call('EXPIREAT', KEYS[key], math.ceil(ends) + ${SPARE_SECONDS})
      end
    end
  end
  local function resize (id, bytes)
    local before, address = sizeOf(id)
    if not before then return end
    redis.call('HSET', KEYS[2], id, bytes .. ' ' .. address)
    count(address, 0, bytes - before)
  end
  local function refund (id)
    local bytes, address = sizeOf(id)
    redis.call('ZREM', KEYS[1], id)
    redis.call('HDEL', KEYS[2], id)
    if bytes then count(address, -1, -bytes) end
  end
  local function exceeded (address, bytes, maxOfAddress, maxBytesOfAddress, max, maxBytes)
    local sums = redis.call('HMGET', KEYS[3], 'count:' .. address, 'bytes:' .. address, 'bytes')
    local count, ofAddress, all = (sums[1] or 0) + 1, (sums[2] or 0) + bytes, (sums[3] or 0) + bytes
    if count > tonumber(maxOfAddress) or ofAddress > tonumber(maxBytesOfAddress) then return 'address' end
    if redis.call('ZCARD', KEYS[1]) + 1 > tonumber(max) or all > tonumber(maxBytes) then return 'all' end
  end`
