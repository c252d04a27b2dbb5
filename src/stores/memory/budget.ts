import { findExceeded, type BudgetBounds, type Kept } from '../rules/budget.js'

/** Counts entries and bytes, by address and in all. */
export class Budget {
  readonly #bounds: BudgetBounds
  readonly #addresses = new Map<string, Kept>()
  readonly #all: Kept = { entries: 0, bytes: 0 }

  constructor (bounds: BudgetBounds) {
    this.#bounds = bounds
  }

  /** Whether an entry more of so many bytes would be too much: for its address, or for all. */
  exceeded (address: string, bytes: number): 'address' | 'all' | undefined {
    return findExceeded(this.#bounds, this.#addresses.get(address) ?? { entries: 0, bytes: 0 }, this.#all, bytes)
  }

  /** Counts an entry (1), no longer (-1), or a change of its size (0). */
  count (address: string, entries: 1 | 0 | -1, bytes: number): void {
    const own = this.#addresses.get(address) ?? { entries: 0, bytes: 0 }
    for (const kept of [own, this.#all]) {
      kept.entries += entries
      kept.bytes += bytes
    }
    if (own.entries > 0) this.#addresses.set(address, own)
    else this.#addresses.delete(address)
  }
}
