import { AsyncLocalStorage } from 'node:async_hooks'
import type { ServerEvent, ServerEventBus } from '@modelcontextprotocol/server'
import type { CallerInfo } from '../../caller.js'
import type { Log } from '../../log.js'

/** Who listens. */
export interface ListenerIdentity {
  person: string
  caller: CallerInfo
}

interface Listener {
  identity: ListenerIdentity | undefined
  notify: (event: ServerEvent) => void
}

/**
 * The SDK's bus of server events. To the SDK all listeners are alike; this bus knows the person of each, as a listener
 * subscribes while that person's request is served.
 */
export class PersonalEvents implements ServerEventBus {
  readonly #listeners = new Set<Listener>()
  readonly #serving = new AsyncLocalStorage<ListenerIdentity>()
  readonly #log: Log
  readonly #mayLearnOf: (uri: string, caller: CallerInfo) => boolean

  /** @param mayLearnOf whether a caller may be told that a resource has changed */
  constructor (log: Log, mayLearnOf: (uri: string, caller: CallerInfo) => boolean = () => true) {
    this.#log = log
    this.#mayLearnOf = mayLearnOf
  }

  /** Serves a request: listeners that subscribe meanwhile are this person's. */
  serveFor<T> (identity: ListenerIdentity, serve: () => T): T {
    return this.#serving.run(identity, serve)
  }

  /** @param person the only one whose listeners are notified; undefined: everybody's */
  publish (event: ServerEvent, person?: string): void {
    this.publishTo(event, identity => person === undefined || identity?.person === person)
  }

  /** @param isFor whether a listener is notified */
  publishTo (event: ServerEvent, isFor: (identity: ListenerIdentity | undefined) => boolean): void {
    for (const listener of [...this.#listeners]) {
      const { identity } = listener
      if (!isFor(identity)) continue
      if (event.kind === 'resource_updated' && identity && !this.#mayLearnOf(event.uri, identity.caller)) continue
      try {
        listener.notify(event)
      } catch (err) {
        this.#log.warn({ err }, 'a listener of server events failed')
      }
    }
  }

  subscribe (notify: (event: ServerEvent) => void): () => void {
    const listener: Listener = { identity: this.#serving.getStore(), notify }
    this.#listeners.add(listener)
    return () => { this.#listeners.delete(listener) }
  }
}
