import type { CallerInfo } from '../../caller.js'
import type { Admission } from '../admission/admission.js'
import type { Holder } from '../admission/places.js'
import type { ServerInstance } from './server-instance.js'

/** A session, as far as it decides whether its instance may stay. */
export interface InstanceOwner {
  readonly person: string
  /** Who called last. */
  readonly caller: CallerInfo
  readonly instance: ServerInstance | undefined
  readonly busy: boolean
  /** Milliseconds since the epoch of the last request. */
  readonly usedAt: number
  /** Closes the instance; the session continues without one. */
  dropInstance (): void
}

/** The sessions of this process that have a server instance. */
export class LiveInstances {
  readonly #admission: Admission
  readonly #owners = new Map<InstanceOwner, Holder>()

  constructor (admission: Admission) {
    this.#admission = admission
  }

  get size (): number {
    return this.#owners.size
  }

  /** Whether any of them runs a request. */
  get running (): boolean {
    for (const owner of this.#owners.keys()) if (owner.instance?.running === true) return true
    return false
  }

  /**
   * Makes room for the instance of a session, if need be by dropping one that is not busy.
   * @throws {TooManyRequestsError} if the person has too many @throws {ServerFullError} if all are busy
   */
  reserve (owner: InstanceOwner): void {
    if (this.#owners.has(owner)) return
    const holder: Holder = {
      person: owner.person,
      get state () { return owner.busy || owner.instance === undefined ? 'busy' : 'idle' },
      giveWay: () => { this.#drop(owner) }
    }
    this.#admission.takeInstance(holder)
    this.#owners.set(owner, holder)
  }

  /** Notes that the instance of a session is used now. */
  used (owner: InstanceOwner): void {
    const holder = this.#owners.get(owner)
    if (holder !== undefined) this.#admission.usedInstance(holder)
  }

  /** Takes back the room of a session's instance. */
  release (owner: InstanceOwner): void {
    const holder = this.#owners.get(owner)
    if (holder === undefined) return
    this.#owners.delete(owner)
    this.#admission.freeInstance(holder)
  }

  /**
   * Drops the instance of a session that has not been used since then, unless it is busy.
   * @param since milliseconds since the epoch
   */
  dropIdle (owner: InstanceOwner, since: number): void {
    if (owner.usedAt <= since && !owner.busy && this.#owners.has(owner)) this.#drop(owner)
  }

  /** Cancels what runs under a grant that has ended, and drops the instances that were made for it. */
  endGrant (grantId: string): void {
    for (const owner of this.#owners.keys()) {
      owner.instance?.cancelGrant(grantId)
      if (owner.caller.extra.grantId === grantId && !owner.busy) this.#drop(owner)
    }
  }

  clear (): void {
    for (const owner of this.#owners.keys()) this.release(owner)
  }

  #drop (owner: InstanceOwner): void {
    this.release(owner)
    owner.dropInstance()
  }
}
