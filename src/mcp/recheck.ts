import { setTimeout as delay } from 'node:timers/promises'
import type { Bus } from '../stores/bus.js'

/** What is looked up at once, and the pause after it: the store and this process serve others meanwhile. */
const BATCH = 50
const PAUSE_MS = 10
const RETRY_MS = 1000
// a client that can make messages be missed again and again must not keep the store busy
const REST_MS = 1000

/**
 * Checks everything there is again, some at a time, each time that it is asked to; what it is asked meanwhile it does
 * after. If the store cannot be reached, it begins again in a second.
 */
export class Recheck<T> {
  readonly #all: () => Iterable<T>
  readonly #check: (batch: T[]) => Promise<void>
  #isDue = false
  #isRunning = false
  #isOver = false

  constructor (all: () => Iterable<T>, check: (batch: T[]) => Promise<void>) {
    this.#all = all
    this.#check = check
  }

  /** Asks for it. */
  begin (): void {
    this.#isDue = true
    // what fails is done again
    if (!this.#isRunning) this.#run().catch(() => {})
  }

  close (): void {
    this.#isOver = true
  }

  async #run (): Promise<void> {
    this.#isRunning = true
    while (this.#isDue && !this.#isOver) {
      this.#isDue = false
      try {
        await this.#checkAll()
        await delay(REST_MS, undefined, { ref: false })
      } catch {
        this.#isDue = true
        await delay(RETRY_MS, undefined, { ref: false })
      }
    }
    this.#isRunning = false
  }

  async #checkAll (): Promise<void> {
    const all = [...this.#all()]
    while (all.length > 0 && !this.#isOver) {
      await this.#check(all.splice(-BATCH))
      if (all.length > 0) await delay(PAUSE_MS, undefined, { ref: false })
    }
  }
}

export interface GrantRecheckOptions {
  bus: Bus
  /** Finds which of some grants have ended. */
  findEndedGrants?: (grantIds: readonly string[]) => Promise<string[]>
}

/**
 * Looks up every grant in use after messages of the bus may have been missed; the end of one that has ended is
 * announced again.
 * @param inUse the grants under which something runs or is open in this process; one may come several times
 * @returns a function that ends it
 */
export function recheckGrants (
  { bus, findEndedGrants }: GrantRecheckOptions,
  inUse: () => Iterable<string | undefined>
): () => Promise<void> {
  if (findEndedGrants === undefined) return async () => {}
  const recheck = new Recheck(() => new Set(inUse()), async grantIds => {
    for (const grantId of await findEndedGrants(grantIds.filter(grantId => grantId !== undefined))) {
      // whether or not others can be reached: here it is known at once
      bus.publish('grantEnded', { grantId }).catch(() => {})
    }
  })
  const unsubscribe = bus.onGap(() => { recheck.begin() })
  return async () => {
    unsubscribe()
    recheck.close()
  }
}
