import { AsyncLocalStorage } from 'node:async_hooks'
import type { ServerEvent, ServerEventBus } from '@modelcontextprotocol/server'
import type { Log } from '../../log.js'

interface Listener {
  person: string | undefined
  hear: (event: ServerEvent) => void
}

/**
 * The SDK's bus of server events, for which all listeners are alike: this one knows whose each is, as it subscribes while
 * the request of its person is served.
 */
export class PersonalEvents implements ServerEventBus {
  readonly #listeners = new Set<Listener>()
  readonly #serving = new AsyncLocalStorage<string>()
  readonly #log: Log

  constructor (log: Log) {
    this.#log = log
  }

  /** Serves a request: those that listen meanwhile are this person's. */
  serveFor<T> (person: string, serve: () => T): T {
    return this.#serving.run(person, serve)
  }

  /** @param person whose listeners hear of it; undefined: all do */
  publish (event: ServerEvent, person?: string): void {
    for (const listener of [...this.#listeners]) {
      if (person !== undefined && listener.person !== person) continue
      try {
        listener.hear(event)
      } catch (err) {
        this.#log.warn({ err }, 'a listener of server events failed')
      }
    }
  }

  subscribe (hear: (event: ServerEvent) => void): () => void {
    const listener: Listener = { person: this.#serving.getStore(), hear }
    this.#listeners.add(listener)
    return () => { this.#listeners.delete(listener) }
  }
}
