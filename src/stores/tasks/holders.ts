import { BoundedMap } from '../../collections/bounded-map.js'
import type { Bus } from '../bus.js'

const MAX_HOLDERS = 100_000

/**
 * Ends the tasks of a session with it, at the replica that made them; if that is gone, they expire. The others do
 * nothing: most sessions have no tasks.
 */
export class TaskHolders {
  readonly #holders = new BoundedMap<string, true>(MAX_HOLDERS)

  constructor (bus: Bus, forget: (holder: string) => Promise<void>) {
    bus.subscribe('sessionEnded', ({ sessionId }) => {
      if (!this.#holders.delete(sessionId)) return
      // what the store cannot be told expires
      forget(sessionId).catch(() => {})
    })
  }

  /** Notes that a holder has a task. */
  add (holder: string): void {
    this.#holders.set(holder, true)
  }
}
