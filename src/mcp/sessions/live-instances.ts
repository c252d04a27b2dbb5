import type { Admission } from '../admission/admission.js'
import type { Holder } from '../admission/places.js'
import type { LiveSession } from './live-session.js'

/** The sessions of this process that have a server instance, least recently used first. */
export class LiveInstances {
  readonly #admission: Admission
  readonly #drop: (session: LiveSession) => void
  readonly #sessions = new Map<LiveSession, Holder>()

  /** @param drop closes the instance of a session, which goes on without one */
  constructor (admission: Admission, drop: (session: LiveSession) => void) {
    this.#admission = admission
    this.#drop = drop
  }

  get size (): number {
    return this.#sessions.size
  }

  /** Whether one of them runs a request. */
  get running (): boolean {
    for (const session of this.#sessions.keys()) if (session.instance?.running === true) return true
    return false
  }

  /**
   * Makes room for the instance of a session, if need be by dropping one that is not busy.
   * @throws {TooManyRequestsError} where the person has too many @throws {ServerFullError} where all are busy
   */
  reserve (session: LiveSession): void {
    if (this.#sessions.has(session)) return
    const holder: Holder = {
      person: session.person,
      get state () { return session.busy || session.instance === undefined ? 'busy' : 'idle' },
      giveWay: () => { this.#dropOne(session) }
    }
    this.#admission.takeInstance(holder)
    this.#sessions.set(session, holder)
  }

  used (session: LiveSession): void {
    const holder = this.#sessions.get(session)
    if (holder === undefined) return
    this.#sessions.delete(session)
    this.#sessions.set(session, holder)
    this.#admission.usedInstance(holder)
  }

  release (session: LiveSession): void {
    const holder = this.#sessions.get(session)
    if (holder === undefined) return
    this.#sessions.delete(session)
    this.#admission.freeInstance(holder)
  }

  /** Drops those that have not been used since `since` (milliseconds since the epoch), unless they are busy. */
  dropIdle (since: number): void {
    for (const session of this.#sessions.keys()) {
      if (session.usedAt > since) break
      if (!session.busy) this.#dropOne(session)
    }
  }

  /** Cancels what runs under a grant that has ended, and drops the instances that were made for it. */
  endGrant (grantId: string): void {
    for (const session of this.#sessions.keys()) {
      session.instance?.cancelGrant(grantId)
      if (session.caller.extra.grantId === grantId && !session.busy) this.#dropOne(session)
    }
  }

  clear (): void {
    for (const session of this.#sessions.keys()) this.release(session)
  }

  #dropOne (session: LiveSession): void {
    this.release(session)
    this.#drop(session)
  }
}
