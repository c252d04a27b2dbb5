import { randomInt } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'

/** What a service is doing when it is killed. */
export const KINDS = ['logins', 'rotations', 'refreshes'] as const
export type Counts = Record<typeof KINDS[number], number>

const WORKERS: Counts = { logins: 3, rotations: 2, refreshes: 2 }
const MS = { most: 900, step: 15, patience: 20_000 }

/** From one of many addresses: those who log in from one have a limit together, which outlives the process. */
export const fetchFromAnywhere: typeof fetch = async (url, init) => {
  const headers = new Headers(init?.headers)
  headers.set('x-forwarded-for', ['198.18', randomInt(256), randomInt(256)].join('.'))
  return await fetch(url, { ...init, headers })
}

/** Work of every kind at once, and what of it a service has to answer at a moment. */
export class Load {
  readonly #underWay: Counts = { logins: 0, rotations: 0, refreshes: 0 }
  readonly #answered: Counts = { logins: 0, rotations: 0, refreshes: 0 }
  #isOver = true

  /** @param origin of the service; requests elsewhere do not count */
  fetchFor (kind: keyof Counts, origin: string): typeof fetch {
    return async (url, init) => {
      const counts = new URL(url instanceof Request ? url.url : url).origin === origin
      if (!counts) return await fetchFromAnywhere(url, init)
      this.#underWay[kind]++
      try {
        return await fetchFromAnywhere(url, init)
      } finally {
        this.#underWay[kind]--
      }
    }
  }

  /** @returns a promise for each worker, which ends with the load */
  begin (work: Readonly<Record<keyof Counts, () => Promise<void>>>, onFailure: () => void): Array<Promise<void>> {
    this.#isOver = false
    for (const kind of KINDS) this.#answered[kind] = 0
    return KINDS.flatMap(kind => Array.from({ length: WORKERS[kind] }, async () => {
      while (!this.#isOver) {
        await work[kind]().then(() => { this.#answered[kind]++ }, onFailure)
      }
    }))
  }

  /**
   * Waits until work of each kind was done, then for some time, and until requests of each kind are under way.
   * @returns how many; of a kind that did not come in time, 0
   */
  async waitUntilUnderWay (): Promise<Counts> {
    const latest = Date.now() + MS.patience
    while (KINDS.some(kind => this.#answered[kind] === 0) && Date.now() < latest) await delay(MS.step)
    await delay(randomInt(MS.most))
    // looked at after a while by chance, so that it is anywhere in its work
    while (KINDS.some(kind => this.#underWay[kind] === 0) && Date.now() < latest) await delay(randomInt(1, MS.step))
    return { ...this.#underWay }
  }

  end (): void {
    this.#isOver = true
  }
}
