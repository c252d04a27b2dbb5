import { ServerFullError, TooManyRequestsError, type LimitName } from '../../errors.js'

export interface QuotaOptions {
  limit: LimitName
  /** What is counted, in the plural, for refusals: `requests in flight`. */
  things: string
  perPerson: number
  /** Of all persons together. */
  inAll: number
  /** Whether it is bytes: one thing may weigh more than half of what there is. */
  isWeight?: boolean
}

/** Milliseconds after which a refused caller tries again: what is held here is mostly given back within seconds. */
export const RETRY_MS = 1000

/**
 * How much of one thing each person holds now, and all of them together. Besides what one person may hold at most, always
 * as much is left free as the person holds who asks for more: one person gets half of everything at most, two get a third
 * each, and whoever holds little gets in while others hold much. (Dynamic thresholds, as switches share their buffers.)
 */
export class Quota {
  readonly #options: QuotaOptions
  readonly #held = new Map<string, number>()
  #total = 0

  constructor (options: QuotaOptions) {
    this.#options = options
  }

  /** What all persons hold. */
  get total (): number {
    return this.#total
  }

  /** Persons who hold something. */
  get persons (): number {
    return this.#held.size
  }

  /** What one person holds. */
  heldBy (person: string): number {
    return this.#held.get(person) ?? 0
  }

  /**
   * Refuses what a person may not have.
   * @throws {TooManyRequestsError} where it is too much for one person @throws {ServerFullError} where there is no room for anybody
   */
  check (person: string, amount: number): void {
    const { limit, things, perPerson, inAll, isWeight = false } = this.#options
    if (amount === 0) return
    const held = this.heldBy(person)
    if (held + amount > perPerson) {
      // what would be too much even for somebody who holds nothing is so for ever
      const retryAfterMs = amount > perPerson ? {} : { retryAfterMs: RETRY_MS }
      throw new TooManyRequestsError(
        `Too many ${things}: one person may have ${perPerson}, has ${held}, and asks for ${amount} more.`,
        { limit, ...retryAfterMs }
      )
    }
    if (this.#total + amount > inAll) {
      throw new ServerFullError(`This server has as many ${things} as it can now.`, { limit, retryAfterMs: RETRY_MS })
    }
    const isFirst = held === 0 && (amount === 1 || isWeight)
    if (!isFirst && held + amount > inAll - this.#total - amount) {
      throw new TooManyRequestsError(`Too many ${things} for one person while others have theirs: you have ${held}.`, {
        limit,
        retryAfterMs: RETRY_MS
      })
    }
  }

  /** Takes what may not be refused, or was checked. */
  add (person: string, amount: number): void {
    if (amount === 0) return
    this.#held.set(person, this.heldBy(person) + amount)
    this.#total += amount
  }

  give (person: string, amount: number): void {
    const left = this.heldBy(person) - amount
    this.#total -= amount
    if (left > 0) this.#held.set(person, left)
    else this.#held.delete(person)
  }
}

/** What one holder has of a quota; given back bit by bit, and never twice. */
export class Lease {
  readonly #quota: Quota
  readonly #person: string
  #amount = 0

  constructor (quota: Quota, person: string) {
    this.#quota = quota
    this.#person = person
  }

  get amount (): number {
    return this.#amount
  }

  /** Takes more. @throws {TooManyRequestsError} @throws {ServerFullError} and takes nothing */
  grow (amount: number): this {
    this.#quota.check(this.#person, amount)
    return this.set(this.#amount + amount)
  }

  /** Makes it this much, which may not be refused. */
  set (amount: number): this {
    if (amount > this.#amount) this.#quota.add(this.#person, amount - this.#amount)
    else if (amount < this.#amount) this.#quota.give(this.#person, this.#amount - amount)
    this.#amount = amount
    return this
  }

  /** Gives back some of it. Default: all. */
  release (amount = this.#amount): void {
    this.set(Math.max(0, this.#amount - amount))
  }
}
