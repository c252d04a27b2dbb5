import { ServerFullError, TooManyRequestsError } from '../../errors.js'
import { RETRY_MS, type QuotaOptions } from './quota.js'

/** Something that takes up room for as long as it is there, and may have to give way to somebody else's. */
export interface Holder {
  readonly person: string
  /** Whether it gives way: at once as nothing is lost by it (`idle`), only to a person who has less (`lasting`), or not at all. */
  readonly state: 'idle' | 'lasting' | 'busy'
  /** Ends it. Its place is free by then, or soon. */
  giveWay (): void
}

/**
 * Room for things that last. A person has so many at most. Where all is taken, those make room that nobody misses; then
 * the person with the most gives way to whoever has less. Least recently used goes first.
 */
export class Places {
  readonly #options: QuotaOptions
  /** Of each person, the one that was used last, last. */
  readonly #holders = new Map<string, Set<Holder>>()
  #size = 0

  constructor (options: QuotaOptions) {
    this.#options = options
  }

  get size (): number {
    return this.#size
  }

  /** Persons who have a place. */
  get persons (): number {
    return this.#holders.size
  }

  /**
   * Takes a place.
   * @throws {TooManyRequestsError} where the person has too many @throws {ServerFullError} where nobody can give way
   */
  take (holder: Holder): void {
    if (this.has(holder)) return
    this.makeRoom(holder.person, holder.state === 'busy')
    this.add(holder)
  }

  /** Takes a place that may not be refused. */
  add (holder: Holder): void {
    if (this.has(holder)) return
    let own = this.#holders.get(holder.person)
    if (own === undefined) this.#holders.set(holder.person, own = new Set())
    own.add(holder)
    this.#size++
  }

  has (holder: Holder): boolean {
    return this.#holders.get(holder.person)?.has(holder) === true
  }

  /** Notes that it was used just now. */
  used (holder: Holder): void {
    const own = this.#holders.get(holder.person)
    if (own?.delete(holder) === true) own.add(holder)
  }

  free (holder: Holder): void {
    const own = this.#holders.get(holder.person)
    if (own?.delete(holder) !== true) return
    this.#size--
    if (own.size === 0) this.#holders.delete(holder.person)
  }

  /** Makes room for one more of a person's. @param isBusy whether it will be at work, so that half must stay free of one person's work */
  makeRoom (person: string, isBusy = false): void {
    const { limit, things, perPerson, inAll } = this.#options
    const own = this.#holders.get(person)
    if (own !== undefined && own.size >= perPerson && !this.#giveWay(own, 'idle')) {
      throw new TooManyRequestsError(`Too many ${things}: one person may have ${perPerson}, and has them.`, {
        limit,
        retryAfterMs: RETRY_MS
      })
    }
    if (isBusy) this.#checkShare(own)
    if (this.#size < inAll || this.#anyGivesWay('idle', 0) || this.#anyGivesWay('lasting', (own?.size ?? 0) + 1)) return
    throw new ServerFullError(`This server has as many ${things} as it can now.`, { limit, retryAfterMs: RETRY_MS })
  }

  /** As with a `Quota`, of what is at work: as much stays free as the person has. */
  #checkShare (own: ReadonlySet<Holder> | undefined): void {
    const { limit, things, inAll } = this.#options
    // mostly there is so much room that nobody needs to be counted
    if (own === undefined || own.size + 1 <= inAll - this.#size - 1) return
    const mine = countBusy(own)
    if (mine === 0) return
    let all = 0
    for (const holders of this.#holders.values()) all += countBusy(holders)
    if (mine + 1 > inAll - all - 1) {
      throw all < inAll
        ? new TooManyRequestsError(
          `Too many ${things} for one person while others have theirs: you have ${mine} at work.`,
          { limit, retryAfterMs: RETRY_MS }
        )
        : new ServerFullError(`This server has as many ${things} as it can now, and all are at work.`, {
          limit,
          retryAfterMs: RETRY_MS
        })
    }
  }

  /** Lets one go of the person who has the most, more than `atLeast`, of those who have one that can. */
  #anyGivesWay (state: Holder['state'], atLeast: number): boolean {
    const heaviestFirst = [...this.#holders.values()].filter(({ size }) => size > atLeast).sort((a, b) =>
      b.size - a.size
    )
    return heaviestFirst.some(holders => this.#giveWay(holders, state))
  }

  #giveWay (holders: ReadonlySet<Holder>, state: Holder['state']): boolean {
    for (const holder of holders) {
      if (holder.state !== state) continue
      this.free(holder)
      holder.giveWay()
      return true
    }
    return false
  }
}

function countBusy (holders: ReadonlySet<Holder>): number {
  let busy = 0
  for (const { state } of holders) if (state === 'busy') busy++
  return busy
}
