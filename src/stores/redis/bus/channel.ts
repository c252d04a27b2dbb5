import type { RedisConnection } from '../connection/connection.js'
import type { RedisSubscriber } from '../connection/subscriber.js'

export interface BusChannelOptions {
  connection: RedisConnection
  subscriber: RedisSubscriber
  keys: ChannelKeys
  /** How often it is read although nothing was announced: a message that was missed is there after this time. */
  rereadMs: number
  /** How long messages are kept. */
  retentionMs: number
  /** Whether it carries what is sent to this process alone, from its beginning on. */
  isOwn: boolean
  deliver: (message: ReceivedMessage) => void
  /** Called when messages may have been missed for good. */
  onGap: () => void
}

/** The stream of what was published lately, by whose name pub/sub goes, and its state. */
export type ChannelKeys = readonly [messages: string, state: string]

export interface ReceivedMessage {
  /** Whether a script published it together with a change: then it comes once more, as others do. */
  isDirect: boolean
  origin: string
  topic: string
  json: string
}

const BATCH = 500
const START = '0-0'
/** Stands for the ids in what a script publishes that cannot write to the stream. */
const NO_ID = '-'

/** What a script publishes in a channel, besides its own change. */
export function directMessage (origin: string, topic: string, json: string): string {
  return `${NO_ID} ${NO_ID} ${origin} ${topic} ${json}`
}

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
  #wasSubscribed = false
  /** When it was last read, by the clock of the process. */
  #readAt = performance.now()
  #closed = false

  constructor (options: BusChannelOptions) {
    this.#options = options
    const { connection, subscriber, keys: [messages], rereadMs, isOwn } = options
    if (isOwn) this.#position = START
    this.#reread = setInterval(() => { this.#readSoon() }, rereadMs).unref()
    this.#unsubscribe = subscriber.subscribe(messages, message => {
      if (message === undefined) this.#subscribed()
      else this.#receive(message)
    })
    connection.onReady(() => { this.#readSoon() })
    this.#readSoon()
  }

  /** Stops receiving. */
  close (): void {
    this.#closed = true
    clearInterval(this.#reread)
    this.#unsubscribe()
  }

  /** A script's own messages are lost on who has no subscription. */
  #subscribed (): void {
    this.#readSoon()
    if (this.#wasSubscribed) this.#options.onGap()
    this.#wasSubscribed = true
  }

  /** Takes a message that follows the last one received; otherwise reads. */
  #receive (message: string): void {
    const [, last, id, origin = '', topic = '', json = ''] = /^(\S+) (\S+) (\S+) (\S+) (.*)$/s.exec(message) ?? []
    if (id === NO_ID) this.#options.deliver({ isDirect: true, origin, topic, json })
    else if (id === undefined || this.#reading || last !== this.#position) this.#readSoon()
    else this.#deliver(id, origin, topic, json)
  }

  #deliver (id: string, origin = '', topic = '', json = ''): void {
    this.#position = id
    this.#options.deliver({ isDirect: false, origin, topic, json })
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
    const { connection, keys, isOwn, retentionMs } = this.#options
    const position = this.#position
    const [dropped, last, found] = await connection.run(redis =>
      redis.mcpReadBus(...keys, position ?? '', BATCH, isOwn ? retentionMs : 0)
    )
    if (this.#closed) return
    this.#position ??= last === '' ? START : last
    if (position !== undefined) this.#findGap(position, dropped, last)
    this.#readAt = performance.now()
    if (found.length === BATCH) this.#again = true
    for (const [id, [, origin, , topic, , json]] of found) this.#deliver(id, origin, topic, json)
  }

  /** Whether there were messages after the last one received (`position`) that the channel no longer has. */
  #findGap (position: string, dropped: string, last: string): void {
    const hasBegunAgain = last !== '' && isBefore(last, position)
    if (hasBegunAgain) {
      this.#position = START
      this.#again = true
    }
    const hasDropped = dropped !== '' && isBefore(position, dropped)
    // it is noticed once, also if nothing is left
    if (hasDropped && !hasBegunAgain) this.#position = dropped
    const hasExpired = performance.now() - this.#readAt > this.#options.retentionMs / 2
    if (hasBegunAgain || hasExpired || hasDropped) this.#options.onGap()
  }
}

/** Whether an id of a stream is before another. */
function isBefore (id: string, other: string): boolean {
  const [ms = 0, sequence = 0] = id.split('-').map(Number)
  const [otherMs = 0, otherSequence = 0] = other.split('-').map(Number)
  return ms < otherMs || (ms === otherMs && sequence < otherSequence)
}
