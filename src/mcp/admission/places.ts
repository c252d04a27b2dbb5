import { LinkedList, ListNode } from '../../collections/linked-list.js'
import { PriorityQueue } from '../../collections/priority-queue.js'
import { RecencyMap } from '../../collections/recency-map.js'
import { limitKey } from '../../caller.js'
import { ServerFullError, TooManyRequestsError } from '../../errors.js'
import { RETRY_MS, type QuotaOptions } from './quota.js'

type State = 'idle' | 'lasting' | 'busy'

/** Something that takes up room while it exists, and may have to give way to another person's. */
export interface Holder {
  readonly person: string
  /** Whether it gives way: at once, as nothing is lost (`idle`); to persons who have less (`lasting`); no (`busy`). */
  readonly state: State
  /** Ends it. Its place is free by then, or soon. */
  giveWay (): void
}

/** Where a holder is filed. */
class Place extends ListNode<Holder> {
  filedAs: State | undefined
}

/** What one person has, by state; of each, the least recently used first. */
class PersonPlaces {
  readonly idle = new LinkedList<Holder>()
  readonly lasting = new LinkedList<Holder>()
  readonly busy = new LinkedList<Holder>()

  get size (): number {
    return this.idle.size + this.lasting.size + this.busy.size
  }
}

// still busy ones that one request meets, at most, as it looks for what has become idle
const MAX_BUSY_MET = 64

/**
 * Room for things that last; each person may have so many. If all is taken, idle ones make room; then the person with
 * the most gives way to a person who has less. The least recently used goes first.
 *
 * No request walks over all of them. A holder does not tell when its state changes: it stays filed under the last one
 * that was seen, and as busy when it is used. An idle one is looked at again before it gives way; busy ones are looked
 * at in turn, when there is need, so many at a time.
 */
export class Places {
  readonly #options: QuotaOptions
  readonly #places = new Map<Holder, Place>()
  readonly #persons = new Map<string, PersonPlaces>()
  /** Persons who have idle or lasting ones, those with the most places first. */
  readonly #heaviest = { idle: new PriorityQueue<string>(), lasting: new PriorityQueue<string>() }
  /** Those filed as busy, whose state was seen longest ago first. */
  readonly #busy = new RecencyMap<Holder, Place>()

  constructor (options: QuotaOptions) {
    this.#options = options
  }

  get size (): number {
    return this.#places.size
  }

  /** Persons who have a place. */
  get persons (): number {
    return this.#persons.size
  }

  /**
   * Takes a place.
   * @throws {TooManyRequestsError} if the person has too many @throws {ServerFullError} if nothing can give way
   */
  take (holder: Holder): void {
    if (this.has(holder)) return
    this.makeRoom(limitKey(holder.person), holder.state === 'busy')
    this.add(holder)
  }

  /** Takes a place that may not be refused. */
  add (holder: Holder): void {
    if (this.has(holder)) return
    const place = new Place(holder)
    this.#places.set(holder, place)
    this.#file(place, holder.state)
  }

  has (holder: Holder): boolean {
    return this.#places.has(holder)
  }

  /** Notes that a place is used now: an idle one is about to be busy. */
  used (holder: Holder): void {
    const place = this.#places.get(holder)
    if (place !== undefined) this.#file(place, holder.state === 'idle' ? 'busy' : holder.state)
  }

  free (holder: Holder): void {
    const place = this.#places.get(holder)
    if (place === undefined) return
    this.#places.delete(holder)
    this.#file(place, undefined)
  }

  /**
   * Makes room for one more of a person's.
   * @param person by `limitKey`
   * @param isBusy whether it will be at work: one person's work may take half of all places at most
   */
  makeRoom (person: string, isBusy = false): void {
    const { limit, things, perPerson, inAll } = this.#options
    const own = this.#persons.get(person)?.size ?? 0
    if (own >= perPerson && !this.#ownGivesWay(person)) {
      throw new TooManyRequestsError(`Too many ${things}: one person may have ${perPerson}.`, {
        limit,
        retryAfterMs: RETRY_MS
      })
    }
    if (isBusy) this.#checkShare(person)
    if (this.size < inAll || this.#anyIdleGivesWay() || this.#anyGivesWay('lasting', own + 1)) return
    throw new ServerFullError(`This server has no room for more ${things} now.`, { limit, retryAfterMs: RETRY_MS })
  }

  /** The rule of `Quota`, for places at work: as many must stay free as the person has. */
  #checkShare (person: string): void {
    const { limit, things, inAll } = this.#options
    const own = this.#persons.get(person)
    // usually there is so much room that it does not matter which of them are at work
    if (own === undefined || own.size + 1 <= inAll - this.size - 1) return
    const isTooMuch = () => own.busy.size > 0 && own.busy.size + 1 > inAll - this.#busy.size - 1
    if (isTooMuch()) this.#lookAtOwn(own)
    if (isTooMuch()) this.#lookAtBusy()
    if (!isTooMuch()) return
    throw this.#busy.size < inAll
      ? new TooManyRequestsError(
        `Too many ${things} for one person while others use theirs: you have ${own.busy.size} at work.`,
        { limit, retryAfterMs: RETRY_MS }
      )
      : new ServerFullError(`This server has no room for more ${things} now: all are at work.`, {
        limit,
        retryAfterMs: RETRY_MS
      })
  }

  #ownGivesWay (person: string): boolean {
    const own = this.#persons.get(person)
    if (own === undefined) return false
    if (this.#givesWay(own, 'idle')) return true
    this.#lookAtOwn(own)
    return this.#givesWay(own, 'idle')
  }

  #anyIdleGivesWay (): boolean {
    if (this.#anyGivesWay('idle', 0)) return true
    this.#lookAtBusy()
    return this.#anyGivesWay('idle', 0)
  }

  /** Makes one place of this state free: that of the person with the most, who must have more than `atLeast`. */
  #anyGivesWay (state: 'idle' | 'lasting', atLeast: number): boolean {
    for (;;) {
      const heaviest = this.#heaviest[state].first
      const places = heaviest === undefined ? undefined : this.#persons.get(heaviest.key)
      if (places === undefined || places.size <= atLeast) return false
      if (this.#givesWay(places, state)) return true
    }
  }

  /** Makes one place of a person's free; those whose state has changed are filed again. */
  #givesWay (places: PersonPlaces, state: 'idle' | 'lasting'): boolean {
    for (let first = places[state].first; first !== undefined; first = places[state].first) {
      const holder = first.item
      if (holder.state === state) {
        this.free(holder)
        holder.giveWay()
        return true
      }
      this.#look(holder)
    }
    return false
  }

  #lookAtBusy (): void {
    this.#lookAt(() => this.#busy.first?.[0], this.#busy.size)
  }

  #lookAtOwn (own: PersonPlaces): void {
    this.#lookAt(() => own.busy.first?.item, own.busy.size)
  }

  /** Looks at busy holders in turn until it has met so many that are still busy; the others are filed again. */
  #lookAt (first: () => Holder | undefined, size: number): void {
    let met = 0
    for (let index = 0; index < size && met < MAX_BUSY_MET; index++) {
      const holder = first()
      if (holder === undefined) return
      if (this.#look(holder) === 'busy') met++
    }
  }

  /** Files a holder under the state that it has now. */
  #look (holder: Holder): State {
    const { state } = holder
    const place = this.#places.get(holder)
    if (place !== undefined) this.#file(place, state)
    return state
  }

  /** Files a place under a state, last among the person's. @param state undefined: it is free */
  #file (place: Place, state: State | undefined): void {
    const { item: holder, filedAs } = place
    const person = limitKey(holder.person)
    const places = this.#persons.get(person) ?? new PersonPlaces()
    if (filedAs !== undefined) places[filedAs].remove(place)
    if (state !== undefined) places[state].append(place)
    place.filedAs = state
    if (state === 'busy') this.#busy.set(holder, place)
    else if (filedAs === 'busy') this.#busy.delete(holder)
    if (places.size > 0) this.#persons.set(person, places)
    else this.#persons.delete(person)
    for (const state of ['idle', 'lasting'] as const) {
      if (places[state].size > 0) this.#heaviest[state].set(person, -places.size)
      else this.#heaviest[state].delete(person)
    }
  }
}
