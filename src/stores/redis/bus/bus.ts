import { randomUUID } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { isControlTopic, type Bus, type BusMessages, type BusTopic } from '../../bus.js'
import type { RedisConnection } from '../connection.js'
import type { KeyMaker } from '../keys.js'
import type { RedisSubscriber } from '../subscriber.js'
import { BusChannel, type ChannelKeys, type ReceivedMessage } from './channel.js'
import { busScripts } from './scripts.js'

export interface RedisBusOptions {
  /** Bytes of messages kept, in each channel, for replicas that lose their connection for a while. Default: 16 Mi. */
  maxBytes?: number
  /** Time that a message is kept for them. Default: 300. */
  retentionSeconds?: number
}

// a replica that misses messages learns of the end of a grant after this time at the latest
const CONTROL_REREAD_MS = 500
const REREAD_MS = 1000

/**
 * The bus between replicas. What ends grants and sessions has a channel of its own, which nothing else can push it out
 * of; so has each replica, for what is sent to it alone. This process receives its own messages at once, even without
 * Redis.
 */
export class RedisBus implements Bus {
  readonly #connection: RedisConnection
  readonly #subscriber: RedisSubscriber
  readonly #keys: KeyMaker
  readonly #control: ChannelKeys
  readonly #bulk: ChannelKeys
  readonly #maxBytes: number
  readonly #retentionMs: number
  readonly #origin = randomUUID()
  readonly #emitter = new EventEmitter().setMaxListeners(0)
  /** Those that all replicas share, once somebody has subscribed. */
  #shared: BusChannel[] | undefined
  readonly #own = new Map<string, BusChannel>()

  constructor (
    connection: RedisConnection,
    subscriber: RedisSubscriber,
    keys: KeyMaker,
    { maxBytes = 16_777_216, retentionSeconds = 300 }: RedisBusOptions = {}
  ) {
    this.#connection = connection
    this.#subscriber = subscriber
    this.#keys = keys
    this.#control = [keys.make('busControl'), keys.make('busControlState')]
    this.#bulk = [keys.make('bus'), keys.make('busState')]
    this.#maxBytes = maxBytes
    this.#retentionMs = Math.ceil(retentionSeconds * 1000)
    connection.define(busScripts)
  }

  async publish<T extends BusTopic> (topic: T, message: BusMessages[T]): Promise<void> {
    this.#emitter.emit(topic, message)
    await this.#write(isControlTopic(topic) ? this.#control : this.#bulk, topic, message)
  }

  async send<T extends BusTopic> (replicaId: string, topic: T, message: BusMessages[T]): Promise<void> {
    if (this.#own.has(replicaId)) this.#emitter.emit(topic, message)
    else await this.#write(this.#ownKeys(replicaId), topic, message, 1)
  }

  subscribe<T extends BusTopic> (topic: T, listener: (message: BusMessages[T]) => void): () => void {
    this.#emitter.on(topic, listener)
    this.#shared ??= [this.#listen(this.#control, CONTROL_REREAD_MS), this.#listen(this.#bulk, REREAD_MS)]
    return () => { this.#emitter.off(topic, listener) }
  }

  listenAs (replicaId: string): () => void {
    const keys = this.#ownKeys(replicaId)
    const channel = this.#listen(keys, REREAD_MS, this.#retentionMs)
    this.#own.set(replicaId, channel)
    return () => {
      if (!this.#own.delete(replicaId)) return
      channel.close()
      // they expire
      this.#connection.run(redis => redis.del(...keys)).catch(() => {})
    }
  }

  /** Stops receiving messages of other replicas. */
  close (): void {
    for (const channel of [...this.#shared ?? [], ...this.#own.values()]) channel.close()
  }

  #ownKeys (replicaId: string): ChannelKeys {
    return [this.#keys.make('busOfReplica', replicaId), this.#keys.make('busOfReplicaState', replicaId)]
  }

  #listen (keys: ChannelKeys, rereadMs: number, listenForMs?: number): BusChannel {
    return new BusChannel({
      connection: this.#connection,
      subscriber: this.#subscriber,
      keys,
      rereadMs,
      ...listenForMs !== undefined && { listenForMs },
      deliver: message => { this.#deliver(message) }
    })
  }

  #deliver ({ origin, topic, json }: ReceivedMessage): void {
    if (origin !== this.#origin) this.#emitter.emit(topic, JSON.parse(json))
  }

  async #write (keys: ChannelKeys, topic: BusTopic, message: object, forOneReplica: 0 | 1 = 0): Promise<void> {
    await this.#connection.run(redis =>
      redis.mcpPublish(
        ...keys,
        this.#maxBytes,
        this.#retentionMs,
        this.#origin,
        topic,
        JSON.stringify(message),
        forOneReplica
      )
    )
  }
}
