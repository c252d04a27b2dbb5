import type { RedisConnection } from '../connection.js'
import type { RedisSubscriber } from '../subscriber.js'

export interface BusChannelOptions {
  connection: RedisConnection
  subscriber: RedisSubscriber
  keys: ChannelKeys
  /** How often it is read although nothing was announced: a message that was missed is there after this time. */
  rereadMs: number
  /** If it carries what is sent to this process alone, from its beginning on: for how long senders keep that. */
  listenForMs?: number
  deliver: (message: ReceivedMessage) => void
}

/** The stream of what was published lately, by whose name pub/sub goes, and its state. */
export type ChannelKeys = readonly [messages: string, state: string]

export interface ReceivedMessage {
  origin: string
  topic: string
  json: string
}

const BATCH = 500
const START = '0-0'

/**
 * Receives what is published in one channel: by pub/sub, and from the stream of what was published lately. A message
 * names the one before it; who does not have that one, or lost the connection for a while, reads the stream, and all do
 * so now and then.
 */
export class BusChannel {
  readonly #options: BusChannelOptions
  readonly #reread: NodeJS.Timeout
  readonly #unsubscribe: () => void
  /** Id of the last message received; absent until it is known where to begin. */
  #position: string | undefined
  #reading = false
  #again = false
  #closed = false

  constructor (options: BusChannelOptions) {
    this.#options = options
    const { connection, subscriber, keys: [messages], rereadMs, listenForMs } = options
    if (listenForMs !== undefined) this.#position = START
    this.#reread = setInterval(() => { this.#readSoon() }, rereadMs).unref()
    this.#unsubscribe = subscriber.subscribe(messages, message => { this.#receive(message) })
    connection.onReady(() => { this.#readSoon() })
    this.#readSoon()
  }

  /** Stops receiving. */
  close (): void {
    this.#closed = true
    clearInterval(this.#reread)
    this.#unsubscribe()
  }

  /** Takes a message that follows the last one received; otherwise reads. */
  #receive (message = ''): void {
    const [, last, id, origin = '', topic = '', json = ''] = /^(\S+) (\S+) (\S+) (\S+) (.*)$/s.exec(message) ?? []
    if (id === undefined || this.#reading || last !== this.#position) this.#readSoon()
    else this.#deliver(id, { origin, topic, json })
  }

  #deliver (id: string, message: ReceivedMessage): void {
    this.#position = id
    this.#options.deliver(message)
  }

  #readSoon (): void {
    if (this.#closed) return
    // the next message, or the connection when it is back, makes it read again
    this.#read().catch((error: unknown) => { this.#options.connection.report(error) })
  }

  async #read (): Promise<void> {
    this.#again = true
    if (this.#reading) return
    this.#reading = true
    try {
      while (this.#again && !this.#closed) {
        this.#again = false
        await this.#readOnce()
      }
    } finally {
      this.#reading = false
    }
  }

  async #readOnce (): Promise<void> {
    const { connection, keys, listenForMs = 0 } = this.#options
    const [, last, found] = await connection.run(redis =>
      redis.mcpReadBus(...keys, this.#position ?? '', BATCH, listenForMs)
    )
    if (this.#closed) return
    this.#position ??= last === '' ? START : last
    if (found.length === BATCH) this.#again = true
    for (const [id, [, origin = '', , topic = '', , json = '']] of found) this.#deliver(id, { origin, topic, json })
  }
}
