import { ServerFullError, TooManyRequestsError } from '../../errors.js'
import { RETRY_MS, type QuotaOptions } from './quota.js'

/** Something that takes up room while it exists, and may have to give way to another person's. */
export interface Holder {
  readonly person: string
  /** Whether it gives way: at once, as nothing is lost (`idle`); to persons who have less (`lasting`); no (`busy`). */
  readonly state: 'idle' | 'lasting' | 'busy'
  /** Ends it. Its place is free by then, or soon. */
  giveWay (): void
}

/**
 * Room for things that last; each person may have so many. If all is taken, idle ones make room; then the person with
 * the most gives way to a person who has less. The least recently used goes first.
 */
export class Places {
  readonly #options: QuotaOptions
  /** By person; the most recently used last. */
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
   * @throws {TooManyRequestsError} if the person has too many @throws {ServerFullError} if nothing can give way
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

  /** Notes that a place is used now. */
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

  /**
   * Makes room for one more of a person's.
   * @param isBusy whether it will be at work: one person's work may take half of all places at most
   */
  makeRoom (person: string, isBusy = false): void {
    const { limit, things, perPerson, inAll } = this.#options
    const own = this.#holders.get(person)
    if (own !== undefined && own.size >= perPerson && !this.#giveWay(own, 'idle')) {
      throw new TooManyRequestsError(`Too many ${things}: one person may have ${perPerson}.`, {
        limit,
        retryAfterMs: RETRY_MS
      })
    }
    if (isBusy) this.#checkShare(own)
    if (this.#size < inAll || this.#anyGivesWay('idle', 0) || this.#anyGivesWay('lasting', (own?.size ?? 0) + 1)) return
    throw new ServerFullError(`This server has no room for more ${things} now.`, { limit, retryAfterMs: RETRY_MS })
  }

  /** The rule of `Quota`, for places at work: as many must stay free as the person has. */
  #checkShare (own: ReadonlySet<Holder> | undefined): void {
    const { limit, things, inAll } = this.#options
    // usually there is so much room that nothing needs to be counted
    if (own === undefined || own.size + 1 <= inAll - this.#size - 1) return
    const mine = countBusy(own)
    if (mine === 0) return
    let all = 0
    for (const holders of this.#holders.values()) all += countBusy(holders)
    if (mine + 1 > inAll - all - 1) {
      throw all < inAll
        ? new TooManyRequestsError(
          `Too many ${things} for one person while others use theirs: you have ${mine} at work.`,
          { limit, retryAfterMs: RETRY_MS }
        )
        : new ServerFullError(`This server has no room for more ${things} now: all are at work.`, {
          limit,
          retryAfterMs: RETRY_MS
        })
    }
  }

  /** Makes one place of this state free: that of the person with the most, who must have more than `atLeast`. */
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
