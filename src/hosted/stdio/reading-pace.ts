import type { HostedExtra } from '../piped-server.js'
import type { Channel } from './channel.js'
import type { RunningCalls } from './running-calls.js'

type Calls = Pick<RunningCalls, 'channels'>

/**
 * Has a server's output read as fast as its clients read: it waits while each of them is behind that has a call, or, if
 * none has, each that there is. So nobody's call waits for somebody else who reads slowly.
 */
export class ReadingPace {
  readonly #channels: ReadonlySet<Channel>
  readonly #calls: Calls | undefined
  readonly #setPaused: (isPaused: boolean) => void
  readonly #unread = new WeakMap<Channel, number>()
  #isPaused = false

  /**
   * @param channels those who share the server
   * @param calls undefined: they are several people, of whom none waits for another, with calls or without
   */
  constructor (
    channels: ReadonlySet<Channel>,
    calls: Calls | undefined,
    setPaused: (isPaused: boolean) => void
  ) {
    this.#channels = channels
    this.#calls = calls
    this.#setPaused = setPaused
  }

  /** What goes with a message to a client. */
  of (channel: Channel): Pick<HostedExtra, 'onTaken'> {
    return {
      onTaken: taken => {
        this.#unread.set(channel, (this.#unread.get(channel) ?? 0) + 1)
        if (!this.#isPaused) this.#adjust()
        taken.finally(() => {
          const unread = (this.#unread.get(channel) ?? 0) - 1
          this.#unread.set(channel, unread)
          if (unread === 0) this.changed()
        }).catch(() => {})
      }
    }
  }

  /** Somebody has read, called, come or left. */
  changed (): void {
    if (this.#isPaused) this.#adjust()
  }

  #adjust (): void {
    const calling = this.#calls?.channels ?? this.#channels
    const users = calling.size > 0 ? calling : this.#channels
    this.#isPaused = users.size > 0 && [...users].every(channel => (this.#unread.get(channel) ?? 0) > 0)
    this.#setPaused(this.#isPaused)
  }
}
