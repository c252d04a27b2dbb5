import { randomUUID } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { isControlTopic, type Bus, type BusMessages, type BusTopic } from '../../bus.js'
import type { RedisConnection } from '../connection/connection.js'
import type { KeyMaker } from '../keys.js'
import type { RedisSubscriber } from '../connection/subscriber.js'
import { BoundedMap } from '../../../collections/bounded-map.js'
import { BusChannel, directMessage, type ChannelKeys, type ReceivedMessage } from './channel.js'
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
/** One loss of the connection is noticed in every channel. */
const GAP_MS = 100
/** What a script has published, and what comes once more. */
const MAX_RECENT = 1000
const GAP = Symbol('gap')
/** Ends the origin of what a script has published too. In a cluster the two come in any order, from different nodes. */
const TWIN = '+'

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
  readonly #recent = new BoundedMap<string, true>(MAX_RECENT)
  #gap: NodeJS.Timeout | undefined

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
    await this.#write(this.#channelOf(topic), topic, message)
  }

  async send<T extends BusTopic> (replicaId: string, topic: T, message: BusMessages[T]): Promise<void> {
    if (this.#own.has(replicaId)) this.#emitter.emit(topic, message)
    else await this.#write(this.#ownKeys(replicaId), topic, message, { forOneReplica: true })
  }

  subscribe<T extends BusTopic> (topic: T, listener: (message: BusMessages[T]) => void): () => void {
    this.#emitter.on(topic, listener)
    this.#shared ??= [this.#listen(this.#control, CONTROL_REREAD_MS), this.#listen(this.#bulk, REREAD_MS)]
    return () => { this.#emitter.off(topic, listener) }
  }

  listenAs (replicaId: string): () => void {
    const keys = this.#ownKeys(replicaId)
    const channel = this.#listen(keys, REREAD_MS, true)
    this.#own.set(replicaId, channel)
    return () => {
      if (!this.#own.delete(replicaId)) return
      channel.close()
      // they expire
      this.#connection.run(redis => redis.del(...keys)).catch(() => {})
    }
  }

  onGap (listener: () => void): () => void {
    this.#emitter.on(GAP, listener)
    return () => { this.#emitter.off(GAP, listener) }
  }

  /**
   * What a script publishes together with the change that it makes: then nobody who listens misses it. It cannot write
   * to the stream, which in a cluster is on another node, and which a full Redis refuses.
   * @returns the channel, and the text in it
   */
  announcement<T extends BusTopic> (topic: T, message: Partial<BusMessages[T]>): [channel: string, text: string] {
    const [channel] = this.#channelOf(topic)
    return [channel, directMessage(this.#origin, topic, JSON.stringify(message))]
  }

  /** Informs this process of what a script has published, and keeps it for those who were not listening. */
  announced<T extends BusTopic> (topic: T, message: BusMessages[T]): void {
    if (this.#isFirst(topic, JSON.stringify(message))) this.#emitter.emit(topic, message)
    // those who listen have it
    this.#write(this.#channelOf(topic), topic, message, { isTwin: true }).catch((error: unknown) => {
      this.#connection.report(error)
    })
  }

  /** Stops receiving messages of other replicas. */
  close (): void {
    clearTimeout(this.#gap)
    for (const channel of [...this.#shared ?? [], ...this.#own.values()]) channel.close()
  }

  #channelOf (topic: BusTopic): ChannelKeys {
    return isControlTopic(topic) ? this.#control : this.#bulk
  }

  #ownKeys (replicaId: string): ChannelKeys {
    return [this.#keys.make('busOfReplica', replicaId), this.#keys.make('busOfReplicaState', replicaId)]
  }

  #listen (keys: ChannelKeys, rereadMs: number, isOwn = false): BusChannel {
    return new BusChannel({
      connection: this.#connection,
      subscriber: this.#subscriber,
      keys,
      rereadMs,
      retentionMs: this.#retentionMs,
      isOwn,
      deliver: message => { this.#deliver(message) },
      // what was sent to this replica alone changes nothing that could be looked up
      onGap: isOwn
        ? () => {}
        : () => {
            this.#gap ??= setTimeout(() => {
              this.#gap = undefined
              this.#emitter.emit(GAP)
            }, GAP_MS).unref()
          }
    })
  }

  #deliver ({ isDirect, origin, topic, json }: ReceivedMessage): void {
    // of its own this process knows; what a script published itself, it may not have seen the reply of
    if (!isDirect && origin.startsWith(this.#origin)) return
    const isTwin = isDirect || origin.endsWith(TWIN)
    if (!isTwin || this.#isFirst(topic, json)) this.#emitter.emit(topic, JSON.parse(json))
  }

  /** Of the two times that a script's message comes, whether this is the first. */
  #isFirst (topic: BusTopic | string, json: string): boolean {
    const key = topic + json
    if (this.#recent.delete(key)) return false
    this.#recent.set(key, true)
    return true
  }

  async #write (
    keys: ChannelKeys,
    topic: BusTopic,
    message: object,
    { forOneReplica = false, isTwin = false } = {}
  ): Promise<void> {
    await this.#connection.run(redis =>
      redis.mcpPublish(
        ...keys,
        this.#maxBytes,
        this.#retentionMs,
        isTwin ? this.#origin + TWIN : this.#origin,
        topic,
        JSON.stringify(message),
        forOneReplica ? 1 : 0
      )
    )
  }
}
