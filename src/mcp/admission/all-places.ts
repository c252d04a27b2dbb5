import { anonymousShare, isAnonymousKey } from '../../caller.js'
import { Places, type Holder } from './places.js'
import type { QuotaOptions } from './quota.js'

/** Places of all callers; those who have not logged in have only some of them, and make room for each other there. */
export class AllPlaces {
  readonly #all: Places
  readonly #ofAnonymous: Places
  /** Holders that are anonymous, as both know them: who gives way in one has no place in the other. */
  readonly #anonymous = new Map<Holder, Holder>()

  constructor (options: QuotaOptions) {
    this.#all = new Places(options)
    this.#ofAnonymous = new Places({
      ...options,
      things: `${options.things} of callers who have not logged in`,
      inAll: anonymousShare(options.inAll)
    })
  }

  get size (): number {
    return this.#all.size
  }

  /** Persons who have a place. */
  get persons (): number {
    return this.#all.persons
  }

  /**
   * Takes a place.
   * @throws {TooManyRequestsError} if the person has too many @throws {ServerFullError} if nothing can give way
   */
  take (holder: Holder): void {
    if (!isAnonymousKey(holder.person)) {
      this.#all.take(holder)
      return
    }
    const inBoth = this.#toBoth(holder)
    try {
      this.#ofAnonymous.take(inBoth)
      this.#all.take(inBoth)
    } catch (error) {
      this.free(holder)
      throw error
    }
  }

  /** Takes a place that may not be refused. */
  add (holder: Holder): void {
    const inBoth = isAnonymousKey(holder.person) ? this.#toBoth(holder) : undefined
    if (inBoth !== undefined) this.#ofAnonymous.add(inBoth)
    this.#all.add(inBoth ?? holder)
  }

  /** Notes that a place is used now. */
  used (holder: Holder): void {
    const inBoth = this.#anonymous.get(holder)
    if (inBoth !== undefined) this.#ofAnonymous.used(inBoth)
    this.#all.used(inBoth ?? holder)
  }

  free (holder: Holder): void {
    const inBoth = this.#anonymous.get(holder)
    if (inBoth !== undefined) this.#ofAnonymous.free(inBoth)
    this.#anonymous.delete(holder)
    this.#all.free(inBoth ?? holder)
  }

  #toBoth (holder: Holder): Holder {
    const inBoth = this.#anonymous.get(holder) ?? {
      person: holder.person,
      get state () { return holder.state },
      giveWay: () => {
        this.free(holder)
        holder.giveWay()
      }
    }
    this.#anonymous.set(holder, inBoth)
    return inBoth
  }
}
