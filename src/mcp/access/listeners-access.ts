import { ownerKey, toOwner, type CallerInfo } from '../../caller.js'
import { BoundedMap } from '../../collections/bounded-map.js'
import type { Log } from '../../log.js'
import type { Bus } from '../../stores/bus.js'
import type { ListenerIdentity, PersonalEvents } from '../server-events/personal-events.js'
import type { Guard } from './guard.js'

const MAX_OWNERS = 10_000
/** Messages to all replicas; what is more is dropped. */
const MAX_TOLD_PER_SECOND = 100

/**
 * Notifies listeners of 2026-07-28 that their lists have changed: with new rules all, and after a step-up those of the
 * same person and client, on every replica.
 */
export class ListenersAccess {
  readonly #guard: Guard
  readonly #events: PersonalEvents
  readonly #bus: Bus
  readonly #log: Log
  /** What each owner has used last, on any replica. */
  readonly #seen = new BoundedMap<string, string>(MAX_OWNERS)
  /** The access of which listeners were last told; absent: the one that they have begun with. */
  #known = new WeakMap<ListenerIdentity, string>()
  readonly #unsubscribe: Array<() => void>
  #told = { second: 0, count: 0 }

  constructor (guard: Guard, events: PersonalEvents, bus: Bus, log: Log) {
    this.#guard = guard
    this.#events = events
    this.#bus = bus
    this.#log = log
    this.#unsubscribe = [
      guard.policy.onReplaced(() => {
        this.#known = new WeakMap()
        this.#tell(() => true)
      }),
      bus.subscribe('accessSeen', ({ owner, access }) => {
        this.#seen.set(owner, access)
        this.#tell(identity => identity !== undefined && this.#isNews(identity, owner, access))
      })
    ]
  }

  /** Notes a request. */
  called (caller: CallerInfo): void {
    const owner = ownerKey(toOwner(caller))
    const access = this.#guard.fingerprintAccess(caller)
    if (this.#seen.get(owner) === access || !this.#mayTell()) return
    this.#seen.set(owner, access)
    this.#bus.publish('accessSeen', { owner, access }).catch((err: unknown) => {
      this.#log.error({ err }, 'the other replicas could not be told that an access has changed')
    })
  }

  close (): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
  }

  /** Notifies listeners, each of the lists that it has asked for. */
  #tell (isFor: (identity: ListenerIdentity | undefined) => boolean): void {
    const told = new Set<ListenerIdentity>()
    const isToBeTold = (identity: ListenerIdentity | undefined) => {
      if (identity === undefined || (!told.has(identity) && !isFor(identity))) return false
      told.add(identity)
      return true
    }
    for (const event of this.#guard.listEvents) this.#events.publishTo(event, isToBeTold)
  }

  #isNews (identity: ListenerIdentity, owner: string, access: string): boolean {
    const { caller } = identity
    if (ownerKey(toOwner(caller)) !== owner) return false
    const known = this.#known.get(identity) ?? this.#guard.fingerprintAccess(caller)
    this.#known.set(identity, access)
    return known !== access
  }

  #mayTell (): boolean {
    const second = Math.floor(performance.now() / 1000)
    if (this.#told.second !== second) this.#told = { second, count: 0 }
    return this.#told.count++ < MAX_TOLD_PER_SECOND
  }
}
