import { inSlices } from './in-slices.js'

export interface RoundsOptions<T> {
  /** A map's values, or a set; may change at any time. */
  items: { readonly size: number, values (): IterableIterator<T> }
  /** Must not throw. */
  act: (item: T) => void
  /** Time in which each has one turn, in milliseconds. */
  intervalMs: number
}

// so many turns an interval has, but they are not closer than this
const MOST_TURNS = 300
const LEAST_TURN_MS = 50
// where all come soon: so many at once, and the pause after them
const AT_ONCE = 100
const PAUSE_MS = 20

/** Does something for each of many, again and again, evenly spread over an interval. */
export class Rounds<T> {
  readonly #options: RoundsOptions<T>
  readonly #timer: NodeJS.Timeout
  readonly #turns: number
  #rest: IterableIterator<T>
  /** How many are due, with a fraction. */
  #due = 0
  #isAsked = false
  #isHurrying = false
  #isOver = false

  constructor (options: RoundsOptions<T>) {
    this.#options = options
    this.#rest = options.items.values()
    this.#turns = Math.max(1, Math.min(MOST_TURNS, Math.floor(options.intervalMs / LEAST_TURN_MS)))
    this.#timer = setInterval(() => { this.#take() }, options.intervalMs / this.#turns).unref()
  }

  /** Does it for all now, a few at a time, besides; once more if it is asked for meanwhile, but never twice at once. */
  async hurry (): Promise<void> {
    this.#isAsked = true
    if (this.#isHurrying) return
    this.#isHurrying = true
    while (this.#isAsked && !this.#isOver) {
      this.#isAsked = false
      await inSlices(this.#options.items.values(), item => {
        if (!this.#isOver) this.#options.act(item)
      }, { size: AT_ONCE, pauseMs: PAUSE_MS })
    }
    this.#isHurrying = false
  }

  stop (): void {
    this.#isOver = true
    clearInterval(this.#timer)
  }

  #take (): void {
    const { items, act } = this.#options
    for (this.#due += items.size / this.#turns; this.#due >= 1; this.#due--) {
      let next = this.#rest.next()
      if (next.done === true) {
        this.#rest = items.values()
        next = this.#rest.next()
      }
      if (next.done === true) {
        this.#due = 0
        return
      }
      act(next.value)
    }
  }
}
