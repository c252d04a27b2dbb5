import { setImmediate } from 'node:timers/promises'

/** Done in one turn of the event loop: some milliseconds at most, if each takes some microseconds. */
const SLICE = 250

/**
 * Does something for each of many, a slice at a time: between the slices, the process serves others.
 * @param items may change meanwhile, as far as their iterator bears it
 */
export async function inSlices<T> (items: Iterable<T>, act: (item: T) => void, slice = SLICE): Promise<void> {
  let done = 0
  for (const item of items) {
    act(item)
    if (++done % slice === 0) await setImmediate()
  }
}
