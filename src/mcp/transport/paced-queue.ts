import { thisTurn } from '../event-loop-turn.js'
import { makeGate, type Gate } from './gate.js'

/** What is delivered in the turn in which it comes, as long as nothing waits. */
const AT_ONCE = 32
const AT_ONCE_CHARACTERS = 262_144
/** What one queue delivers before the next one has its turn, and all together before everybody else has. */
const SLICE = 32
const TURN = 256
const TURN_MS = 3
/** Messages whose senders are let go together. */
const GATE = 64

export interface PacedQueueOptions<Item> {
  deliver: (item: Item) => void
  /** @returns what resolves when there is room for more; undefined if there is room now */
  room: () => Promise<void> | undefined
  count: (item: Item) => number
}

interface SharedGate extends Gate { taken: number, left: number }

/**
 * Passes messages on in order: at once, if they are few; if a server sends more in one go, some in each turn of the
 * event loop, as far as there is room. Meanwhile others are served, and what waits is text and nothing else.
 */
export class PacedQueue<Item> {
  readonly #options: PacedQueueOptions<Item>
  #waiting: Item[] = []
  /** Index of the next one: to shift a long array would copy it each time. */
  #next = 0
  readonly #gates: SharedGate[] = []
  #characters = 0
  #turn = -1
  #sent = 0
  #sentCharacters = 0

  constructor (options: PacedQueueOptions<Item>) {
    this.#options = options
  }

  /** Characters that wait here. */
  get characters (): number {
    return this.#characters
  }

  /** Resolves once the last message is passed on, or there is room for the next; undefined if that is so now. */
  get room (): Promise<void> | undefined {
    return this.#isEmpty ? this.#options.room() : this.#gates.at(-1)?.promise
  }

  add (item: Item): void {
    const characters = this.#options.count(item)
    if (this.#isEmpty && this.#mayPass(characters)) {
      this.#options.deliver(item)
      return
    }
    if (this.#isEmpty) schedule(this)
    this.#waiting.push(item)
    this.#characters += characters
    let gate = this.#gates.at(-1)
    if (gate === undefined || gate.taken === GATE) {
      gate = { taken: 0, left: 0, ...makeGate() }
      this.#gates.push(gate)
    }
    gate.taken++
    gate.left++
  }

  /** Passes on all at once, whether there is room or not. */
  flush (): void {
    while (!this.#isEmpty) this.#deliverNext()
  }

  /** Drops what waits. */
  clear (): void {
    this.#waiting = []
    this.#next = 0
    this.#characters = 0
    for (const { open } of this.#gates.splice(0)) open()
  }

  /** Passes on a few. @returns how many; undefined if no more can be passed on now */
  deliverSome (): number | undefined {
    for (let count = 0; count < SLICE; count++) {
      if (this.#isEmpty) return undefined
      const room = this.#options.room()
      if (room !== undefined) {
        const resume = () => { if (!this.#isEmpty) schedule(this) }
        room.then(resume, resume)
        return undefined
      }
      this.#deliverNext()
    }
    return this.#isEmpty ? undefined : SLICE
  }

  get #isEmpty (): boolean {
    return this.#next === this.#waiting.length
  }

  #mayPass (characters: number): boolean {
    const turn = thisTurn()
    if (this.#turn !== turn) {
      this.#turn = turn
      this.#sent = 0
      this.#sentCharacters = 0
    }
    this.#sentCharacters += characters
    return ++this.#sent <= AT_ONCE && (this.#sent === 1 || this.#sentCharacters <= AT_ONCE_CHARACTERS)
  }

  #deliverNext (): void {
    const item = this.#waiting[this.#next]
    if (item === undefined) return
    this.#next++
    if (this.#isEmpty) {
      this.#waiting = []
      this.#next = 0
    } else if (this.#next >= 1024 && this.#next * 2 >= this.#waiting.length) {
      this.#waiting.splice(0, this.#next)
      this.#next = 0
    }
    this.#characters -= this.#options.count(item)
    const [gate] = this.#gates
    if (gate !== undefined && --gate.left === 0) this.#gates.shift()?.open()
    this.#options.deliver(item)
  }
}

type Deliverer = Pick<PacedQueue<unknown>, 'deliverSome'>

/** Queues of this process that have something to pass on: one after the other has its turn. */
const scheduled = new Set<Deliverer>()
let isScheduled = false

function schedule (queue: Deliverer): void {
  scheduled.add(queue)
  if (isScheduled) return
  isScheduled = true
  setImmediate(run)
}

function run (): void {
  isScheduled = false
  const began = performance.now()
  let delivered = 0
  for (const queue of scheduled) {
    if (delivered >= TURN || performance.now() - began > TURN_MS) break
    scheduled.delete(queue)
    const count = queue.deliverSome()
    delivered += count ?? 1
    // at the end: the others come first
    if (count !== undefined) scheduled.add(queue)
  }
  if (scheduled.size === 0 || isScheduled) return
  isScheduled = true
  setImmediate(run)
}
