import { randomUUID } from 'node:crypto'
import { EventEmitter } from 'node:events'
import type { Result } from 'ioredis'
import type { Bus, BusMessages, BusTopic } from '../bus.js'
import type { RedisConnection } from './connection.js'
import type { KeyMaker } from './keys.js'
import type { RedisSubscriber } from './subscriber.js'

declare module 'ioredis' {
  interface RedisCommander<Context> {
    mcpPublish(
      messages: string,
      state: string,
      maxBytes: number,
      retentionMs: number,
      origin: string,
      topic: string,
      message: string
    ): Result<string, Context>
  }
}

export interface RedisBusOptions {
  /** Bytes of messages kept for replicas that lose their connection for a while. Default: 16 Mi. */
  maxBytes?: number
  /** Time that a message is kept for them. Default: 300. */
  retentionSeconds?: number
}

const BATCH = 500
// a replica that misses messages learns of the end of a grant after this time at the latest
const REREAD_MS = 500
const START = '0-0'

const scripts = {
  mcpPublish: {
    numberOfKeys: 2,
    lua: `
      local messages, state, maxBytes, retentionMs = KEYS[1], KEYS[2], tonumber(ARGV[1]), ARGV[2]
      local time = redis.call('TIME')
      local oldEnough = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) - retentionMs)
      local last = redis.call('HGET', state, 'last') or '${START}'
      local id = redis.call('XADD', messages, '*', 'origin', ARGV[3], 'topic', ARGV[4], 'message', ARGV[5])
      redis.call('HSET', state, 'last', id)
      local bytes = redis.call('HINCRBY', state, 'bytes', #ARGV[5])
      if redis.call('XLEN', messages) == 1 then redis.call('HSET', state, 'bytes', #ARGV[5]) end
      local function tooOld () return #redis.call('XRANGE', messages, '-', oldEnough, 'COUNT', 1) > 0 end
      while redis.call('XLEN', messages) > 1 and (bytes > maxBytes or tooOld()) do
        local oldest = redis.call('XRANGE', messages, '-', '+', 'COUNT', 1)[1]
        redis.call('XDEL', messages, oldest[1])
        bytes = redis.call('HINCRBY', state, 'bytes', 0 - #oldest[2][6])
      end
      redis.call('PEXPIRE', messages, retentionMs)
      redis.call('PEXPIRE', state, retentionMs)
      redis.call('PUBLISH', messages, last .. ' ' .. id .. ' ' .. ARGV[3] .. ' ' .. ARGV[4] .. ' ' .. ARGV[5])
      return id`
  }
}

/**
 * The bus between replicas: pub/sub, and a stream of what was published lately. A message names the one before it; who
 * does not have that one, or lost the connection for a while, reads the stream, and all do so twice a second. This
 * process receives its own messages at once, even without Redis.
 */
export class RedisBus implements Bus {
  readonly #connection: RedisConnection
  readonly #subscriber: RedisSubscriber
  readonly #keys: [messages: string, state: string]
  readonly #maxBytes: number
  readonly #retentionMs: number
  readonly #origin = randomUUID()
  readonly #emitter = new EventEmitter().setMaxListeners(0)
  #reread: NodeJS.Timeout | undefined
  /** Id of the last message received; absent until it is known where to begin. */
  #position: string | undefined
  #reading = false
  #again = false

  constructor (
    connection: RedisConnection,
    subscriber: RedisSubscriber,
    keys: KeyMaker,
    { maxBytes = 16_777_216, retentionSeconds = 300 }: RedisBusOptions = {}
  ) {
    this.#connection = connection
    this.#subscriber = subscriber
    this.#keys = [keys.make('bus'), keys.make('busState')]
    this.#maxBytes = maxBytes
    this.#retentionMs = Math.ceil(retentionSeconds * 1000)
    connection.define(scripts)
  }

  async publish<T extends BusTopic> (topic: T, message: BusMessages[T]): Promise<void> {
    this.#emitter.emit(topic, message)
    await this.#connection.run(redis =>
      redis.mcpPublish(...this.#keys, this.#maxBytes, this.#retentionMs, this.#origin, topic, JSON.stringify(message))
    )
  }

  subscribe<T extends BusTopic> (topic: T, listener: (message: BusMessages[T]) => void): () => void {
    this.#emitter.on(topic, listener)
    if (this.#reread === undefined) this.#listen()
    return () => { this.#emitter.off(topic, listener) }
  }

  /** Stops receiving messages of other replicas. */
  close (): void {
    clearInterval(this.#reread)
  }

  #listen (): void {
    this.#reread = setInterval(() => { this.#readSoon() }, REREAD_MS).unref()
    this.#subscriber.subscribe(this.#keys[0], message => { this.#receive(message) })
    this.#connection.onReady(() => { this.#readSoon() })
    this.#readSoon()
  }

  /** Takes a message that follows the last one received; otherwise reads. */
  #receive (message = ''): void {
    const [, last, id, origin, topic, json] = /^(\S+) (\S+) (\S+) (\S+) (.*)$/s.exec(message) ?? []
    if (id === undefined || this.#reading || last !== this.#position) this.#readSoon()
    else this.#deliver(id, origin, topic, json)
  }

  #deliver (id: string, origin: string | undefined, topic: string | undefined, json: string | undefined): void {
    this.#position = id
    if (origin !== this.#origin && topic !== undefined && json !== undefined) {
      this.#emitter.emit(topic, JSON.parse(json))
    }
  }

  #readSoon (): void {
    // the next message, or the connection when it is back, makes it read again
    this.#read().catch((error: unknown) => { this.#connection.report(error) })
  }

  async #read (): Promise<void> {
    this.#again = true
    if (this.#reading) return
    this.#reading = true
    try {
      while (this.#again) {
        this.#again = false
        await this.#readOnce()
      }
    } finally {
      this.#reading = false
    }
  }

  async #readOnce (): Promise<void> {
    const [messages] = this.#keys
    if (this.#position === undefined) {
      const [last] = await this.#connection.run(redis => redis.xrevrange(messages, '+', '-', 'COUNT', 1))
      this.#position = last?.[0] ?? START
      return
    }
    const after = `(${this.#position}`
    const found = await this.#connection.run(redis => redis.xrange(messages, after, '+', 'COUNT', BATCH))
    if (found.length === BATCH) this.#again = true
    for (const [id, [, origin, , topic, , json]] of found) this.#deliver(id, origin, topic, json)
  }
}
