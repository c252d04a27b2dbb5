import { createHash } from 'node:crypto'
import type { Result } from 'ioredis'
import { personKey } from '../../caller.js'
import type { SessionBounds, SessionChange, SessionRecord, SessionStore } from '../sessions.js'
import type { RedisConnection } from './connection.js'
import { parseRecord } from '../../parse-record.js'

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

export interface RedisSessionStoreOptions {
  /** Life of a session that nobody touches. */
  idleSeconds: number
}

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
const CLIENT_LENGTH = 22

const scripts = {
  mcpCreateSession: {
    numberOfKeys: 2,
    lua: `${SEEN}
      local ended, perOwner, perPerson = {}, tonumber(ARGV[2]), tonumber(ARGV[3])
      if redis.call('ZCARD', KEYS[1]) >= math.min(perOwner, perPerson) then
        local own = string.sub(ARGV[1], 1, ${CLIENT_LENGTH})
        local live, owned, kept, gone = {}, {}, {}, {}
        for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
          if redis.call('EXISTS', KEYS[1] .. ':session:' .. string.sub(member, ${CLIENT_LENGTH + 1})) == 1 then
            live[#live + 1] = member
            if string.sub(member, 1, ${CLIENT_LENGTH}) == own then owned[#owned + 1] = member end
          else redis.call('ZREM', KEYS[1], member) end
        end
        local function finish (member)
          gone[member] = true
          ended[#ended + 1] = string.sub(member, ${CLIENT_LENGTH + 1})
          redis.call('DEL', KEYS[1] .. ':session:' .. ended[#ended])
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
      if redis.call('PTTL', KEYS[1]) < ARGV[1] - time[1] * 1000 - math.floor(time[2] / 1000) then redis.call('PEXPIREAT', KEYS[1], ARGV[1]) end
      return redis.call('GET', KEYS[1])`
  }
}

/**
 * Session records of all replicas. A person's sessions have the person as hash tag, so that one script counts and
 * ends them; a session is found by a pointer from its id to its person and client.
 */
export class RedisSessionStore implements SessionStore {
  readonly #connection: RedisConnection
  readonly #prefix: string
  readonly #idleSeconds: number

  constructor (connection: RedisConnection, keyPrefix: string, { idleSeconds }: RedisSessionStoreOptions) {
    this.#connection = connection
    this.#prefix = keyPrefix
    this.#idleSeconds = idleSeconds
    connection.define(scripts)
  }

  async create (record: SessionRecord, { perOwner, perPerson }: SessionBounds): Promise<string[]> {
    const { id, lastSeenAt, owner } = record
    const place = { person: shortHash(personKey(owner)), client: shortHash(owner.clientId) }
    const [sessions, key] = this.#keysOf(place, id)
    const untilMs = Math.max(1, Math.ceil((lastSeenAt + this.#idleSeconds) * 1000))
    const [, ended] = await Promise.all([
      this.#connection.run(redis => redis.set(this.#pointer(id), place.person + place.client, 'PXAT', untilMs)),
      this.#connection.run(redis => redis.mcpCreateSession(
        sessions, key, place.client + id, perOwner, perPerson, this.#idleSeconds, ...toFields(record)
      ))
    ])
    return ended
  }

  async get (id: string): Promise<SessionRecord | undefined> {
    const place = await this.#find(id)
    return place && toRecord(await this.#connection.run(redis => redis.hgetall(this.#keysOf(place, id)[1])))
  }

  async change (id: string, change: SessionChange): Promise<boolean> {
    const place = await this.#find(id)
    if (place === undefined) return false
    return await this.#connection.run(redis =>
      redis.mcpChangeSession(this.#keysOf(place, id)[1], ...toOperation(change))
    ) === 1
  }

  async touch (id: string, seenAt: number): Promise<boolean> {
    const untilMs = Math.ceil((seenAt + this.#idleSeconds) * 1000)
    const place = toPlace(
      await this.#connection.run(redis => redis.mcpExtendSessionPointer(this.#pointer(id), untilMs))
    )
    if (place === undefined) return false
    const [sessions, record] = this.#keysOf(place, id)
    return await this.#connection.run(redis =>
      redis.mcpTouchSession(sessions, record, place.client + id, this.#idleSeconds, seenAt)
    ) === 1
  }

  async delete (id: string): Promise<boolean> {
    const place = await this.#find(id)
    if (place === undefined) return false
    const [sessions, record] = this.#keysOf(place, id)
    const deleted = await this.#connection.run(redis => redis.mcpDeleteSession(sessions, record, place.client + id))
    await this.#connection.run(redis => redis.del(this.#pointer(id)))
    return deleted === 1
  }

  #pointer (id: string): string {
    return `${this.#prefix}:session:${id}`
  }

  async #find (id: string): Promise<Place | undefined> {
    return toPlace(await this.#connection.run(redis => redis.get(this.#pointer(id))))
  }

  /** The person's sessions, and this one's record. */
  #keysOf ({ person }: Place, id: string): [string, string] {
    const sessions = `${this.#prefix}:sessions:{${person}}`
    return [sessions, `${sessions}:session:${id}`]
  }
}

/** Hashes of whose a session is. */
interface Place {
  person: string
  client: string
}

function toPlace (pointer: string | null): Place | undefined {
  return pointer === null
    ? undefined
    : { person: pointer.slice(0, -CLIENT_LENGTH), client: pointer.slice(-CLIENT_LENGTH) }
}

function shortHash (text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, CLIENT_LENGTH)
}

// what changes has a field of its own; subscriptions are counted, which keeps their order
function toFields ({ subscriptions, lastSeenAt, ...record }: SessionRecord): string[] {
  return [
    'record', JSON.stringify(record), 'lastSeenAt', String(lastSeenAt), 'expiresAt', String(record.expiresAt),
    ...subscriptions.length === 0 ? [] : ['subscribed', String(subscriptions.length)],
    ...subscriptions.flatMap((uri, index) => [`uri:${uri}`, String(index + 1)])
  ]
}

function toOperation (change: SessionChange): ['set' | 'subscribe' | 'unsubscribe', ...string[]] {
  if ('subscribe' in change) return ['subscribe', change.subscribe]
  if ('unsubscribe' in change) return ['unsubscribe', change.unsubscribe]
  if ('logLevel' in change) return ['set', 'logLevel', change.logLevel]
  if ('initialized' in change) return ['set', 'initialized', '1']
  return ['set', 'initialize', JSON.stringify(change)]
}

function toRecord (fields: Record<string, string>): SessionRecord | undefined {
  if (fields.record === undefined) return undefined
  const { initialize = '{}', initialized, logLevel } = fields
  return {
    ...parseRecord<SessionRecord>(fields.record),
    ...parseRecord<Pick<SessionRecord, 'initializeParams' | 'protocolVersion'>>(initialize),
    ...initialized !== undefined && { initialized: true },
    ...logLevel !== undefined && { logLevel },
    subscriptions: Object.entries(fields).filter(([field]) => field.startsWith('uri:')).sort(([, a], [, b]) =>
      Number(a) - Number(b)
    ).map(([field]) => field.slice(4)),
    lastSeenAt: Number(fields.lastSeenAt)
  }
}
