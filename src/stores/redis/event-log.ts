import { randomUUID } from 'node:crypto'
import type { Result } from 'ioredis'
import { STANDALONE_STREAM, type EventLog, type EventReader, type Following, type StreamOptions } from '../event-log.js'
import type { RedisConnection } from './connection.js'
import { isPosition, StreamReader, type StoredEvents } from './stream-reader.js'
import type { RedisSubscriber } from './subscriber.js'

type StreamKeys = [index: string, bytes: string, stream: string, events: string]
type StreamArguments = [streamId: string, channel: string, openMs: number, retentionMs: number, maxStreams: number]

declare module 'ioredis' {
  interface RedisCommander<Context> {
    mcpOpenStream (...args: [...StreamKeys, ...StreamArguments, resumable: number, requestIds: string]): Result<number, Context>
    mcpAppendEvent (...args: [...StreamKeys, ...StreamArguments, data: string, final: number, maxEvents: number, maxBytes: number, maxSessionBytes: number]): Result<number, Context>
    mcpEndStream (...args: [...StreamKeys, ...StreamArguments]): Result<number, Context>
    mcpFollowStream (...args: [...StreamKeys, ...StreamArguments, token: string, after: string, count: number]): Result<StoredEvents, Context>
    mcpReadStream (...args: [...StreamKeys, ...StreamArguments, token: string, after: string, count: number]): Result<StoredEvents, Context>
    mcpLeaveStream (stream: string, token: string): Result<number, Context>
    mcpDeleteStreams (index: string, bytes: string, channel: string): Result<number, Context>
  }
}

export interface RedisEventLogOptions {
  /** Events kept of one stream. Default: 256. */
  maxEventsPerStream?: number
  /** Bytes kept of one stream, besides its newest event. Default: 1 Mi. */
  maxBytesPerStream?: number
  /** Bytes kept of one session; beyond, its oldest complete streams go first. Default: 8 Mi. */
  maxBytesPerSession?: number
  /** Streams kept of one session; beyond, the oldest complete ones go first. Default: 128. */
  maxStreamsPerSession?: number
  /** Time that a complete stream, or an event of the standalone stream, is kept. Default: 300. */
  retentionSeconds?: number
  /** Time that a stream is kept without an event and without a reader. Default: 3600. */
  openSeconds?: number
  /** Readers look for themselves this often, woken or not; with it their streams are kept. Default: 30, or a third of `openSeconds` where that is less. */
  rereadSeconds?: number
}

const BATCH = 256

// KEYS: the session's streams, its bytes, the stream, its events. ARGV: stream id, channel, openMs, retentionMs, maxStreams, …
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
    local key = index .. ':stream:' .. id
    countAll(0 - (redis.call('HGET', key, 'bytes') or 0))
    redis.call('DEL', key, index .. ':events:' .. id)
    redis.call('ZREM', index, id)
  end

  -- drops complete streams, the oldest first, as long as it is needed
  local function dropWhile (needed)
    for _, id in ipairs(redis.call('ZRANGE', index, 0, -1)) do
      if not needed() then return end
      local key = index .. ':stream:' .. id
      if redis.call('EXISTS', key) == 0 then redis.call('ZREM', index, id)
      elseif id ~= streamId and redis.call('HEXISTS', key, 'complete') == 1 then drop(id) end
    end
  end

  -- what expired was not counted off
  local function recount ()
    local sum = 0
    for _, id in ipairs(redis.call('ZRANGE', index, 0, -1)) do
      sum = sum + (redis.call('HGET', index .. ':stream:' .. id, 'bytes') or 0)
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

const scripts = {
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
    lua: `${STREAM}
      local data, maxEvents, maxBytes, maxSessionBytes = ARGV[6], tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
      if redis.call('EXISTS', stream) == 0 then
        if not standalone then return 0 end
        create()
      end
      if redis.call('HEXISTS', stream, 'complete') == 1 then return 0 end

      local id = redis.call('XADD', events, '*', 'data', data)
      local function length () return redis.call('XLEN', events) end
      -- the events before may have expired
      if length() == 1 then redis.call('HSET', stream, 'bytes', 0) end
      count(#data)
      local function tooMany () return length() > maxEvents or tonumber(redis.call('HGET', stream, 'bytes')) > maxBytes end
      local function tooMuch () return tonumber(redis.call('GET', bytes)) > maxSessionBytes end
      while length() > 1 and tooMany() do dropOldest() end
      if standalone then dropAged() end
      if tooMuch() then
        recount()
        dropWhile(tooMuch)
        while length() > 1 and tooMuch() do dropOldest() end
      end

      if ARGV[7] == '1' then complete() else expire() end
      tell(id)
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
        redis.call('DEL', KEYS[1] .. ':stream:' .. id, KEYS[1] .. ':events:' .. id)
      end
      redis.call('PUBLISH', ARGV[1], '* !')
      return redis.call('DEL', KEYS[1], KEYS[2])`
  }
}

interface SessionReaders {
  readonly readers: Set<StreamReader>
  readonly unsubscribe: () => void
}

/**
 * The event log of all replicas: a Redis stream for each stream. Pub/sub, on one channel for each session, only wakes
 * readers; what they are told stands in the stream. All of a session stands under its id as hash tag.
 */
export class RedisEventLog implements EventLog {
  readonly #connection: RedisConnection
  readonly #subscriber: RedisSubscriber
  readonly #prefix: string
  readonly #limits: Required<RedisEventLogOptions>
  readonly #sessions = new Map<string, SessionReaders>()
  readonly #reread: NodeJS.Timeout

  constructor (connection: RedisConnection, subscriber: RedisSubscriber, keyPrefix: string, options: RedisEventLogOptions = {}) {
    this.#connection = connection
    this.#subscriber = subscriber
    this.#prefix = keyPrefix
    const limits = {
      maxEventsPerStream: 256,
      maxBytesPerStream: 1_048_576,
      maxBytesPerSession: 8_388_608,
      maxStreamsPerSession: 128,
      retentionSeconds: 300,
      openSeconds: 3600,
      rereadSeconds: 30,
      ...options
    }
    const openSeconds = Math.max(limits.openSeconds, limits.retentionSeconds)
    this.#limits = { ...limits, openSeconds, rereadSeconds: Math.min(limits.rereadSeconds, openSeconds / 3) }
    connection.define(scripts)
    connection.onReady(() => { this.#wakeAll() })
    this.#reread = setInterval(() => { this.#wakeAll() }, this.#limits.rereadSeconds * 1000).unref()
  }

  /** Stops the housekeeping; readers hear no more. */
  close (): void {
    clearInterval(this.#reread)
    for (const { readers } of this.#sessions.values()) for (const reader of readers) reader.stop()
  }

  async open (sessionId: string, streamId: string, { requestIds = [], resumable = true }: StreamOptions): Promise<void> {
    await this.#connection.run(redis => redis.mcpOpenStream(
      ...this.#stream(sessionId, streamId), resumable ? 1 : 0, JSON.stringify(requestIds)))
  }

  async append (sessionId: string, streamId: string, data: string, final = false): Promise<void> {
    const { maxEventsPerStream, maxBytesPerStream, maxBytesPerSession } = this.#limits
    await this.#connection.run(redis => redis.mcpAppendEvent(
      ...this.#stream(sessionId, streamId), data, final ? 1 : 0, maxEventsPerStream, maxBytesPerStream, maxBytesPerSession))
  }

  async end (sessionId: string, streamId: string): Promise<void> {
    await this.#connection.run(redis => redis.mcpEndStream(...this.#stream(sessionId, streamId)))
  }

  async follow (sessionId: string, streamId: string, after: string | undefined, reader: EventReader): Promise<Following | undefined> {
    const from = after?.slice(streamId.length + 1)
    if (from !== undefined && !isPosition(from)) return undefined
    const token = randomUUID()
    const stream = this.#stream(sessionId, streamId)
    const following = new StreamReader(streamId, reader, {
      first: () => this.#connection.run(redis => redis.mcpFollowStream(...stream, token, from ?? '', BATCH)),
      next: position => this.#connection.run(redis => redis.mcpReadStream(...stream, token, position, BATCH)),
      failed: error => { this.#connection.report(error) },
      stopped: taken => {
        this.#remove(sessionId, following)
        if (!taken) this.#connection.run(redis => redis.mcpLeaveStream(stream[2], token)).catch(() => {})
      }
    })
    this.#add(sessionId, following)
    if (!await following.begin()) return undefined
    return { position: after ?? `${streamId}:${following.position}`, stop () { following.stop() } }
  }

  async pendingRequests (sessionId: string, streamId: string): Promise<ReadonlyArray<string | number> | undefined> {
    const [,, stream] = this.#stream(sessionId, streamId)
    const [resumable, complete, requestIds] = await this.#connection.run(redis => redis.hmget(stream, 'resumable', 'complete', 'requestIds'))
    return typeof resumable !== 'string' || typeof complete === 'string' ? undefined : JSON.parse(requestIds ?? '[]')
  }

  async deleteSession (sessionId: string): Promise<void> {
    const index = this.#index(sessionId)
    await this.#connection.run(redis => redis.mcpDeleteStreams(index, `${index}:bytes`, index))
  }

  #add (sessionId: string, reader: StreamReader): void {
    const session = this.#sessions.get(sessionId)
    if (session !== undefined) {
      session.readers.add(reader)
      return
    }
    const readers = new Set([reader])
    const unsubscribe = this.#subscriber.subscribe(this.#index(sessionId), message => { tell(readers, message) })
    this.#sessions.set(sessionId, { readers, unsubscribe })
  }

  #remove (sessionId: string, reader: StreamReader): void {
    const session = this.#sessions.get(sessionId)
    if (session === undefined || !session.readers.delete(reader) || session.readers.size > 0) return
    this.#sessions.delete(sessionId)
    session.unsubscribe()
  }

  #wakeAll (): void {
    for (const { readers } of this.#sessions.values()) tell(readers, undefined)
  }

  /** Key of the session's list of streams, and name of its channel. */
  #index (sessionId: string): string {
    return `${this.#prefix}:log:{${sessionId}}`
  }

  /** Keys and first arguments of a script that handles a stream. */
  #stream (sessionId: string, streamId: string): [...StreamKeys, ...StreamArguments] {
    const index = this.#index(sessionId)
    const { openSeconds, retentionSeconds, maxStreamsPerSession } = this.#limits
    return [
      index, `${index}:bytes`, `${index}:stream:${streamId}`, `${index}:events:${streamId}`,
      streamId, index, Math.ceil(openSeconds * 1000), Math.ceil(retentionSeconds * 1000), maxStreamsPerSession
    ]
  }
}

/** Hands a message of a session's channel to the readers it is for: `<stream id> <event id>`, or `!` where something else has changed. */
function tell (readers: ReadonlySet<StreamReader>, message = '* !'): void {
  const split = message.lastIndexOf(' ')
  const [streamId, position] = [message.slice(0, split), message.slice(split + 1)]
  for (const reader of readers) {
    if (streamId === '*' || streamId === reader.streamId) reader.wake(position === '!' ? undefined : position)
  }
}
