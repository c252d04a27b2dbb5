import { RedisConnection, type RedisConnectionOptions } from './connection.js'

/** Receives the messages of a channel; `undefined` if some may have been missed. */
export type ChannelListener = (message: string | undefined) => void

const PING_MS = 10_000
const BATCH = 500

/**
 * The one connection of a process that listens. A channel is subscribed to as long as it has listeners. In a cluster,
 * where
 * every node forwards what is published at any other, it moves to another node when its own has gone.
 */
export class RedisSubscriber {
  readonly #options: RedisConnectionOptions
  readonly #nodeUrls: () => readonly string[]
  #connection: RedisConnection
  readonly #channels = new Map<string, Set<ChannelListener>>()
  readonly #ping: NodeJS.Timeout

  /** @param nodeUrls says where else one can listen: the nodes of a cluster, as far as they are known */
  constructor (options: RedisConnectionOptions, nodeUrls: () => readonly string[]) {
    this.#options = options
    this.#nodeUrls = nodeUrls
    this.#connection = this.#connect(options.url)
    // who only listens does not notice that the other side is gone; an unanswered ping ends the connection
    this.#ping = setInterval(() => { this.check().catch(() => {}) }, PING_MS).unref()
  }

  /**
   * Listens to a channel. The listener is called with `undefined` once messages come, and whenever they come again.
   * @returns a function that ends it
   */
  subscribe (channel: string, listener: ChannelListener): () => void {
    const listeners = this.#channels.get(channel)
    if (listeners === undefined) {
      this.#channels.set(channel, new Set([listener]))
      this.#subscribe([channel])
    } else {
      listeners.add(listener)
    }
    return () => { this.#unsubscribe(channel, listener) }
  }

  /** @throws {TemporarilyUnavailableError} (rejects with it) if nothing can be received */
  async check (): Promise<void> {
    await this.#connection.run(redis => redis.ping())
  }

  async close (): Promise<void> {
    clearInterval(this.#ping)
    this.#channels.clear()
    await this.#connection.close()
  }

  #connect (url: string): RedisConnection {
    const connection = new RedisConnection({
      ...this.#options,
      url,
      cluster: false,
      onDown: () => {
        this.#leave(url)
      }
    })
    connection.onReady(() => {
      this.#subscribeAll()
    })
    connection.onMessage((channel, message) => {
      this.#tell(channel, message)
    })
    return connection
  }

  #leave (url: string): void {
    const others = this.#nodeUrls().filter(other => other !== url)
    const next = others[Math.floor(Math.random() * others.length)]
    if (next === undefined) return
    const left = this.#connection
    this.#connection = this.#connect(next)
    left.close().catch((error: unknown) => { this.#connection.report(error) })
  }

  #subscribeAll (): void {
    const channels = [...this.#channels.keys()]
    while (channels.length > 0) this.#subscribe(channels.splice(0, BATCH))
  }

  #subscribe (channels: string[]): void {
    // without a connection now, all are subscribed to when it comes
    if (!this.#connection.isOpen) return
    this.#connection.run(redis => redis.subscribe(...channels)).then(
      () => { for (const channel of channels) this.#tell(channel, undefined) },
      (error: unknown) => { this.#connection.report(error) }
    )
  }

  #unsubscribe (channel: string, listener: ChannelListener): void {
    const listeners = this.#channels.get(channel)
    if (listeners === undefined || !listeners.delete(listener) || listeners.size > 0) return
    this.#channels.delete(channel)
    if (this.#connection.isOpen) this.#connection.run(redis => redis.unsubscribe(channel)).catch(() => {})
  }

  #tell (channel: string, message: string | undefined): void {
    for (const listener of this.#channels.get(channel) ?? []) listener(message)
  }
}
