import { AsyncLocalStorage } from 'node:async_hooks'
import type { ServerEvent, ServerEventBus } from '@modelcontextprotocol/server'
import type { Log } from '../../log.js'

interface Listener {
  person: string | undefined
  notify: (event: ServerEvent) => void
}

/**
 * The SDK's bus of server events. To the SDK all listeners are alike; this bus knows the person of each, as a listener
 * subscribes while that person's request is served.
 */
export class PersonalEvents implements ServerEventBus {
  readonly #listeners = new Set<Listener>()
  readonly #serving = new AsyncLocalStorage<string>()
  readonly #log: Log

  constructor (log: Log) {
    this.#log = log
  }

  /** Serves a request: listeners that subscribe meanwhile are this person's. */
  serveFor<T> (person: string, serve: () => T): T {
    return this.#serving.run(person, serve)
  }

  /** @param person the only one whose listeners are notified; undefined: everybody's */
  publish (event: ServerEvent, person?: string): void {
    for (const listener of [...this.#listeners]) {
      if (person !== undefined && listener.person !== person) continue
      try {
        listener.notify(event)
      } catch (err) {
        this.#log.warn({ err }, 'a listener of server events failed')
      }
    }
  }

  subscribe (notify: (event: ServerEvent) => void): () => void {
    const listener: Listener = { person: this.#serving.getStore(), notify }
    this.#listeners.add(listener)
    return () => { this.#listeners.delete(listener) }
  }
}
