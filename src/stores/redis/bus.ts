import { randomUUID } from 'node:crypto'
import { EventEmitter } from 'node:events'
import type { Result } from 'ioredis'
import type { Bus, BusMessages, BusTopic } from '../bus.js'
import type { RedisConnection } from './connection.js'
import type { RedisSubscriber } from './subscriber.js'

declare module 'ioredis' {
  interface RedisCommander<Context> {
    mcpPublish (key: string, maxMessages: number, retentionSeconds: number, origin: string, topic: string, message: string): Result<string, Context>
  }
}

export interface RedisBusOptions {
  /** Messages kept for replicas that lost their connection for a while. Default: 10,000. */
  maxMessages?: number
  /** Time that they are kept. Default: 3600. */
  retentionSeconds?: number
}

const BATCH = 500

const scripts = {
  mcpPublish: {
    numberOfKeys: 1,
    lua: `
      local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'origin', ARGV[3], 'topic', ARGV[4], 'message', ARGV[5])
      redis.call('EXPIRE', KEYS[1], ARGV[2])
      redis.call('PUBLISH', KEYS[1], id)
      return id`
  }
}

/**
 * The bus between replicas. Messages stand in a stream for a while, and pub/sub only wakes its readers: what is missed
 * while a connection is lost is heard when it is back. This process hears its own messages at once, Redis or not.
 */
export class RedisBus implements Bus {
  readonly #connection: RedisConnection
  readonly #subscriber: RedisSubscriber
  readonly #key: string
  readonly #options: Required<RedisBusOptions>
  readonly #origin = randomUUID()
  readonly #emitter = new EventEmitter().setMaxListeners(0)
  #listening = false
  /** Id of the last message heard. */
  #position: string | undefined
  #reading = false
  #again = false

  constructor (connection: RedisConnection, subscriber: RedisSubscriber, keyPrefix: string, { maxMessages = 10_000, retentionSeconds = 3600 }: RedisBusOptions = {}) {
    this.#connection = connection
    this.#subscriber = subscriber
    this.#key = `${keyPrefix}:bus`
    this.#options = { maxMessages, retentionSeconds }
    connection.define(scripts)
  }

  async publish<T extends BusTopic> (topic: T, message: BusMessages[T]): Promise<void> {
    this.#emitter.emit(topic, message)
    const { maxMessages, retentionSeconds } = this.#options
    await this.#connection.run(redis => redis.mcpPublish(this.#key, maxMessages, retentionSeconds, this.#origin, topic, JSON.stringify(message)))
  }

  subscribe<T extends BusTopic> (topic: T, listener: (message: BusMessages[T]) => void): () => void {
    this.#emitter.on(topic, listener)
    if (!this.#listening) this.#listen()
    return () => { this.#emitter.off(topic, listener) }
  }

  #listen (): void {
    this.#listening = true
    const wake = () => { void this.#read() }
    this.#subscriber.subscribe(this.#key, wake)
    this.#connection.onReady(wake)
    wake()
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
    } catch {
      // the next message, or the connection when it is back, wakes it again
    } finally {
      this.#reading = false
    }
  }

  async #readOnce (): Promise<void> {
    if (this.#position === undefined) {
      const [last] = await this.#connection.run(redis => redis.xrevrange(this.#key, '+', '-', 'COUNT', 1))
      this.#position = last?.[0] ?? '0-0'
      return
    }
    const from = `(${this.#position}`
    const messages = await this.#connection.run(redis => redis.xrange(this.#key, from, '+', 'COUNT', BATCH))
    if (messages.length === BATCH) this.#again = true
    for (const [id, [, origin, , topic, , message]] of messages) {
      this.#position = id
      if (origin !== this.#origin && topic !== undefined && message !== undefined) this.#emitter.emit(topic, JSON.parse(message))
    }
  }
}
