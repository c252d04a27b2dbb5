import { createHash } from 'node:crypto'
import type { Result } from 'ioredis'
import {
  ALL_CALLS,
  DAY_MS,
  MAX_BUCKETS,
  MINUTE_MS,
  OTHER_TOOLS,
  PLACE_RETRY_MS,
  ROUNDING_MS,
  type CallBucket,
  type CallLimitStore,
  type CallRefusal,
  type RunningCalls
} from '../call-limits.js'
import type { CallLimits } from '../../policy/rules.js'
import type { RedisConnection } from './connection/connection.js'
import { keyTail, type KeyMaker } from './keys.js'

/** What `mcpTakeCalls` returns: nothing, or index of the bucket and of the limit, and milliseconds or -1. */
type Taken = [] | [bucket: number, limit: number, waitMs: number]

declare module 'ioredis' {
  interface RedisCommander<Context> {
    mcpTakeCalls (key: string, buckets: string, leaseMs: number): Result<Taken, Context>
    mcpGiveCallsBack (key: string, buckets: string): Result<null, Context>
    mcpRenewCalls (key: string, running: string, leaseMs: number): Result<null, Context>
    mcpReleaseCalls (key: string, running: string): Result<null, Context>
  }
}

const LIMITS = ['callsPerMinute', 'callsPerDay', 'concurrentCalls'] as const satisfies Array<keyof CallLimits>

const parts = `
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local buckets = cjson.decode(ARGV[1])
  local function placesOf (name) return KEYS[1] .. '${keyTail('calls', 'runningCalls')}' .. name end
  local function read (value)
    local fullAt, dayEnd, today = string.match(value or '', '^(%S+) (%S+) (%S+)$')
    local isToday = dayEnd and tonumber(dayEnd) > now
    return {
      fullAt = math.min(math.max(tonumber(fullAt or 0), now), now + ${MINUTE_MS}),
      dayEnd = now - now % ${DAY_MS} + ${DAY_MS},
      today = isToday and tonumber(today) or 0
    }
  end
  local function write (name, used)
    local value = string.format('%.17g %.17g %.17g', used.fullAt, used.dayEnd, used.today)
    redis.call('HSET', KEYS[1], name, value)
    local lasts = math.ceil(used.fullAt - now)
    if used.today > 0 then lasts = math.max(lasts, used.dayEnd - now) end
    if lasts > redis.call('PTTL', KEYS[1]) then redis.call('PEXPIRE', KEYS[1], lasts) end
  end
  local function addPlaces (bucket, leaseMs)
    local places = placesOf(bucket.name)
    for _, call in ipairs(bucket.calls) do redis.call('ZADD', places, now + leaseMs, call) end
    if #bucket.calls > 0 then redis.call('PEXPIRE', places, leaseMs) end
  end
  local function release (bucket)
    if #bucket.calls > 0 then redis.call('ZREM', placesOf(bucket.name), unpack(bucket.calls)) end
  end`

const take = `${parts}
  local used, count = {}, nil
  local function countNames ()
    local size = redis.call('HLEN', KEYS[1])
    if size < ${MAX_BUCKETS} then return size end
    local all = redis.call('HGETALL', KEYS[1])
    for index = 1, #all, 2 do
      local other = read(all[index + 1])
      if other.fullAt <= now and other.today == 0 then size = size - redis.call('HDEL', KEYS[1], all[index]) end
    end
    return size
  end
  local function toKnownName (name)
    if name == '${ALL_CALLS}' or used[name] or redis.call('HEXISTS', KEYS[1], name) == 1 then return name end
    count = count or countNames()
    if count >= ${MAX_BUCKETS} then return '${OTHER_TOOLS}' end
    count = count + 1
    return name
  end

  local refusal
  local function refuse (bucket, limit, waitMs, isPossible)
    if not isPossible then waitMs = math.huge end
    if not refusal or waitMs > refusal[3] then refusal = { bucket - 1, limit, waitMs } end
  end
  for index, bucket in ipairs(buckets) do
    local name, counted, limits = toKnownName(bucket.name), bucket.counted, bucket.limits
    local known = used[name] or read(redis.call('HGET', KEYS[1], name) or nil)
    used[name] = known
    local perMinute, perDay, concurrent = limits.callsPerMinute, limits.callsPerDay, limits.concurrentCalls
    if perMinute and counted > 0 then
      local after = known.fullAt + counted * ${MINUTE_MS} / perMinute
      local waitMs = math.ceil(after - now - ${MINUTE_MS} - ${ROUNDING_MS})
      if waitMs > 0 then refuse(index, 0, waitMs, counted <= perMinute) end
      known.fullAt = after
    end
    if perDay and counted > 0 then
      known.today = known.today + counted
      if known.today > perDay then refuse(index, 1, known.dayEnd - now, counted <= perDay) end
    end
    if concurrent then
      local places = placesOf(bucket.name)
      redis.call('ZREMRANGEBYSCORE', places, '-inf', now)
      local running = redis.call('ZCARD', places) + #bucket.calls
      if running > concurrent then refuse(index, 2, ${PLACE_RETRY_MS}, #bucket.calls <= concurrent) end
    end
  end
  if refusal then
    if refusal[3] == math.huge then refusal[3] = -1 end
    return refusal
  end
  for name, known in pairs(used) do
    if known.fullAt > now or known.today > 0 then write(name, known) end
  end
  for _, bucket in ipairs(buckets) do
    if bucket.limits.concurrentCalls then addPlaces(bucket, tonumber(ARGV[2])) end
  end
  return {}`

const scripts = {
  mcpTakeCalls: { numberOfKeys: 1, lua: take },
  mcpGiveCallsBack: {
    numberOfKeys: 1,
    lua: `${parts}
      for _, bucket in ipairs(buckets) do
        local name, limits = bucket.name, bucket.limits
        if redis.call('HEXISTS', KEYS[1], name) == 0 then name = '${OTHER_TOOLS}' end
        local value = redis.call('HGET', KEYS[1], name)
        if value then
          local known = read(value)
          local perMinute = limits.callsPerMinute or 0
          if perMinute > 0 then known.fullAt = known.fullAt - bucket.counted * ${MINUTE_MS} / perMinute end
          if limits.callsPerDay then known.today = math.max(0, known.today - bucket.counted) end
          write(name, known)
        end
        release(bucket)
      end
      return nil`
  },
  mcpRenewCalls: {
    numberOfKeys: 1,
    lua: `${parts}
      for _, bucket in ipairs(buckets) do addPlaces(bucket, tonumber(ARGV[2])) end
      return nil`
  },
  mcpReleaseCalls: {
    numberOfKeys: 1,
    lua: `${parts}
      for _, bucket in ipairs(buckets) do release(bucket) end
      return nil`
  }
}

/** How much is called, at all replicas. */
export class RedisCallLimitStore implements CallLimitStore {
  readonly #connection: RedisConnection
  readonly #keys: KeyMaker

  constructor (connection: RedisConnection, keys: KeyMaker) {
    this.#connection = connection
    this.#keys = keys
    connection.define(scripts)
  }

  async take (holder: string, buckets: readonly CallBucket[], leaseMs: number): Promise<CallRefusal | undefined> {
    const [bucket, limit = 0, waitMs = 0] = await this.#connection.run(redis =>
      redis.mcpTakeCalls(this.#keyOf(holder), JSON.stringify(buckets), leaseMs)
    )
    if (bucket === undefined) return undefined
    return { bucket, limit: LIMITS[limit] ?? 'callsPerMinute', retryAfterMs: waitMs < 0 ? undefined : waitMs }
  }

  async giveBack (holder: string, buckets: readonly CallBucket[]): Promise<void> {
    await this.#connection.run(redis => redis.mcpGiveCallsBack(this.#keyOf(holder), JSON.stringify(buckets)))
  }

  async renew (holder: string, running: readonly RunningCalls[], leaseMs: number): Promise<void> {
    await this.#connection.run(redis => redis.mcpRenewCalls(this.#keyOf(holder), JSON.stringify(running), leaseMs))
  }

  async release (holder: string, running: readonly RunningCalls[]): Promise<void> {
    await this.#connection.run(redis => redis.mcpReleaseCalls(this.#keyOf(holder), JSON.stringify(running)))
  }

  #keyOf (holder: string): string {
    return this.#keys.make('calls', createHash('sha256').update(holder).digest('base64url').slice(0, 22))
  }
}
