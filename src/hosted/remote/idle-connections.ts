import { RecencyMap } from '../../collections/recency-map.js'
import type { RemoteConnection } from './connection.js'
import type { RemoteLimits } from './options.js'

type Params = Record<string, unknown>

/** Of one person and client: so many calls at once have each found one. */
const MAX_PER_KEY = 16

interface Idle {
  key: string
  timer: NodeJS.Timeout
}

/**
 * Connections that nobody uses at the moment, by whom they are for: a session whose instance was dropped finds its own
 * again, and who calls without a session one of their own.
 */
export class IdleConnections {
  readonly #limits: RemoteLimits
  readonly #onEnd: (connection: RemoteConnection) => void
  readonly #byKey = new Map<string, Set<RemoteConnection>>()
  readonly #idle = new RecencyMap<RemoteConnection, Idle>()

  /** @param onEnd ends a connection */
  constructor (limits: RemoteLimits, onEnd: (connection: RemoteConnection) => void) {
    this.#limits = limits
    this.#onEnd = onEnd
  }

  /** A connection that was begun with the same parameters; undefined if there is none. */
  take (key: string, params: Params): RemoteConnection | undefined {
    for (const connection of this.#byKey.get(key) ?? []) {
      if (!connection.isFor(params)) continue
      this.remove(connection)
      return connection
    }
    return undefined
  }

  /** Keeps a connection until it has been idle for long; ends one that is kept already if there are too many. */
  put (key: string, connection: RemoteConnection): void {
    const timer = setTimeout(() => { this.#endFirst([connection]) }, this.#limits.idleSeconds * 1000)
    timer.unref()
    const ofKey = this.#byKey.get(key) ?? new Set()
    this.#byKey.set(key, ofKey.add(connection))
    this.#idle.set(connection, { key, timer })
    if (ofKey.size > MAX_PER_KEY) this.#endFirst(ofKey)
    const oldest = this.#idle.size > this.#limits.maxIdleConnections ? this.#idle.first : undefined
    if (oldest !== undefined) this.#endFirst([oldest[0]])
  }

  #endFirst (connections: Iterable<RemoteConnection>): void {
    const [first] = connections
    if (first !== undefined) this.#end(first)
  }

  remove (connection: RemoteConnection): void {
    const idle = this.#idle.get(connection)
    if (idle === undefined) return
    this.#idle.delete(connection)
    clearTimeout(idle.timer)
    const ofKey = this.#byKey.get(idle.key)
    ofKey?.delete(connection)
    if (ofKey?.size === 0) this.#byKey.delete(idle.key)
  }

  /** Ends those of a key. */
  end (key: string): void {
    for (const connection of this.#byKey.get(key) ?? []) this.#end(connection)
  }

  close (): void {
    for (const [connection] of [...this.#idle]) this.#end(connection)
  }

  #end (connection: RemoteConnection): void {
    this.remove(connection)
    this.#onEnd(connection)
  }
}
