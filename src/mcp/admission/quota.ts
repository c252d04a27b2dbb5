import { anonymousShare, isAnonymousKey, limitKey } from '../../caller.js'
import { ServerFullError, TooManyRequestsError, type LimitName } from '../../errors.js'

export interface QuotaOptions {
  limit: LimitName
  /** What is counted, in the plural, for error messages: `requests in flight`. */
  things: string
  perPerson: number
  /** Of all persons together. */
  inAll: number
  /** Whether bytes are counted: then one thing may take more than half of all. */
  isWeight?: boolean
}

/** Milliseconds after which a refused caller may try again: most of what is held is released within seconds. */
export const RETRY_MS = 1000

/**
 * How much of one thing each person holds now, and all of them together. One person may hold so much at most. Besides,
 * as much must stay free as the person holds who asks for more: one person gets half of everything at most, two get a
 * third each, and a person who holds little is admitted while others hold much. (Network switches share their buffers
 * by such dynamic thresholds.)
 */
export class Quota {
  readonly #options: QuotaOptions
  readonly #held = new Map<string, number>()
  #total = 0
  /** What callers hold who have not logged in. */
  #anonymous = 0

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
    return this.#held.get(limitKey(person)) ?? 0
  }

  /**
   * Checks whether a person may have more.
   * @throws {TooManyRequestsError} if it is too much for one person
   * @throws {ServerFullError} if there is no room for anybody
   */
  check (person: string, amount: number): void {
    const { limit, things, perPerson, inAll, isWeight = false } = this.#options
    if (amount === 0) return
    const held = this.heldBy(person)
    if (held + amount > perPerson) {
      // too much even for a person who holds nothing: trying again is useless
      const retryAfterMs = amount > perPerson ? {} : { retryAfterMs: RETRY_MS }
      throw new TooManyRequestsError(
        `Too many ${things}: one person may have ${perPerson}; you have ${held} and ask for ${amount} more.`,
        { limit, ...retryAfterMs }
      )
    }
    this.#checkPossible(amount)
    if (isAnonymousKey(person)) this.#checkAnonymous(amount)
    if (this.#total + amount > inAll) {
      throw new ServerFullError(`This server has no room for more ${things} now.`, { limit, retryAfterMs: RETRY_MS })
    }
    const isFirst = held === 0 && (amount === 1 || isWeight)
    if (!isFirst && held + amount > inAll - this.#total - amount) {
      throw new TooManyRequestsError(`Too many ${things} for one person while others use theirs: you have ${held}.`, {
        limit,
        retryAfterMs: RETRY_MS
      })
    }
  }

  #checkAnonymous (amount: number): void {
    const { limit, things, inAll } = this.#options
    if (this.#anonymous + amount <= anonymousShare(inAll)) return
    throw new ServerFullError(
      `This server has no room for more ${things} of callers who have not logged in.`,
      { limit, retryAfterMs: RETRY_MS }
    )
  }

  /** Refuses what nobody could have, even alone: trying again is useless. */
  #checkPossible (amount: number): void {
    const { limit, things, inAll, isWeight = false } = this.#options
    const most = isWeight || amount === 1 ? inAll : Math.max(1, Math.floor(inAll / 2))
    if (amount > most) {
      throw new TooManyRequestsError(`Too many ${things} at once: ask for ${most} at most.`, { limit })
    }
  }

  /** Adds what was checked, or cannot be refused. */
  add (person: string, amount: number): void {
    if (amount === 0) return
    this.#held.set(limitKey(person), this.heldBy(person) + amount)
    this.#total += amount
    if (isAnonymousKey(person)) this.#anonymous += amount
  }

  give (person: string, amount: number): void {
    const left = this.heldBy(person) - amount
    this.#total -= amount
    if (isAnonymousKey(person)) this.#anonymous -= amount
    if (left > 0) this.#held.set(limitKey(person), left)
    else this.#held.delete(limitKey(person))
  }
}

/** What one holder has of a quota. It can be released in parts, and never twice. */
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

  /** Sets the amount, which cannot be refused. */
  set (amount: number): this {
    if (amount > this.#amount) this.#quota.add(this.#person, amount - this.#amount)
    else if (amount < this.#amount) this.#quota.give(this.#person, this.#amount - amount)
    this.#amount = amount
    return this
  }

  /** Releases some of it. Default: all. */
  release (amount = this.#amount): void {
    this.set(Math.max(0, this.#amount - amount))
  }
}
