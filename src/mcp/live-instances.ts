import { InstancesFullError } from '../errors.js'
import type { LiveSession } from './live-session.js'

/** The sessions of this process that have a server instance, least recently used first. */
export class LiveInstances {
  readonly #max: number
  readonly #drop: (session: LiveSession) => void
  readonly #sessions = new Set<LiveSession>()

  /** @param drop closes the instance of a session, which goes on without one */
  constructor (max: number, drop: (session: LiveSession) => void) {
    this.#max = max
    this.#drop = drop
  }

  get size (): number {
    return this.#sessions.size
  }

  /** Whether one of them runs a request. */
  get running (): boolean {
    for (const session of this.#sessions) if (session.instance?.running === true) return true
    return false
  }

  /**
   * Makes room for the instance of a session, if need be by dropping the least recently used one that is not busy.
   * @throws {InstancesFullError} where all are busy
   */
  reserve (session: LiveSession): void {
    if (this.#sessions.size >= this.#max && !this.#sessions.has(session)) this.#dropLeastUsed()
    this.#sessions.add(session)
  }

  used (session: LiveSession): void {
    this.#sessions.delete(session)
    this.#sessions.add(session)
  }

  release (session: LiveSession): void {
    this.#sessions.delete(session)
  }

  /** Drops those that have not been used since `since` (milliseconds since the epoch), unless they are busy. */
  dropIdle (since: number): void {
    for (const session of this.#sessions) {
      if (session.usedAt > since) break
      if (!session.busy) this.#dropOne(session)
    }
  }

  /** Cancels what runs under a grant that has ended, and drops the instances that were made for it. */
  endGrant (grantId: string): void {
    for (const session of this.#sessions) {
      session.instance?.cancelGrant(grantId)
      if (session.caller.extra.grantId === grantId && !session.busy) this.#dropOne(session)
    }
  }

  clear (): void {
    this.#sessions.clear()
  }

  #dropLeastUsed (): void {
    for (const session of this.#sessions) {
      if (session.busy) continue
      this.#dropOne(session)
      return
    }
    throw new InstancesFullError('This server holds as many server instances as it can now, and all are at work.', { retryAfterSeconds: 1 })
  }

  #dropOne (session: LiveSession): void {
    this.#sessions.delete(session)
    this.#drop(session)
  }
}
