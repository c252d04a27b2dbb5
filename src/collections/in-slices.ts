import { setImmediate, setTimeout as delay } from 'node:timers/promises'

export interface Slices {
  /** Done in one turn of the event loop. Default: 250, some milliseconds at most if each takes some microseconds. */
  size?: number
  /** Milliseconds until the next slice. Default: none, it comes in the next turn. */
  pauseMs?: number
}

/**
 * Does something for each of many, a slice at a time: between the slices, the process serves others.
 * @param items may change meanwhile, as far as their iterator bears it
 */
export async function inSlices<T> (
  items: Iterable<T>,
  act: (item: T) => void,
  { size = 250, pauseMs = 0 }: Slices = {}
): Promise<void> {
  let done = 0
  for (const item of items) {
    act(item)
    if (++done % size > 0) continue
    if (pauseMs > 0) await delay(pauseMs, undefined, { ref: false })
    else await setImmediate()
  }
}
