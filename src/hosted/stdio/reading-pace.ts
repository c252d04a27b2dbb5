import type { HostedExtra } from '../piped-server.js'
import type { Channel } from './channel.js'

/** Has a server's output read as fast as its only client reads; one that several use waits for none of them. */
export class ReadingPace {
  readonly #channels: ReadonlySet<Channel>
  readonly #setPaused: (isPaused: boolean) => void
  readonly #unread = new WeakMap<Channel, number>()

  constructor (channels: ReadonlySet<Channel>, setPaused: (isPaused: boolean) => void) {
    this.#channels = channels
    this.#setPaused = setPaused
  }

  /** What goes with a message to a client. */
  of (channel: Channel): Pick<HostedExtra, 'onTaken'> {
    return {
      onTaken: taken => {
        this.#unread.set(channel, (this.#unread.get(channel) ?? 0) + 1)
        if (this.#channels.size === 1) this.#setPaused(true)
        taken.finally(() => {
          const unread = (this.#unread.get(channel) ?? 0) - 1
          this.#unread.set(channel, unread)
          if (unread === 0) this.changed()
        }).catch(() => {})
      }
    }
  }

  /** Somebody has read, come or left. */
  changed (): void {
    const [only, ...others] = this.#channels
    if (only === undefined || others.length > 0 || (this.#unread.get(only) ?? 0) === 0) this.#setPaused(false)
  }
}
