/** Bounds of what is kept for strangers. */
export interface BudgetBounds {
  maxOfAddress: number
  maxBytesOfAddress: number
  max: number
  maxBytes: number
}

/** Counts entries and bytes, by address and in all. */
export class Budget {
  readonly #bounds: BudgetBounds
  readonly #addresses = new Map<string, { count: number, bytes: number }>()
  #count = 0
  #bytes = 0

  constructor (bounds: BudgetBounds) {
    this.#bounds = bounds
  }

  /** Whether an entry more of so many bytes would be too much: for its address, or for all. */
  exceeded (address: string, bytes: number): 'address' | 'all' | undefined {
    const { maxOfAddress, maxBytesOfAddress, max, maxBytes } = this.#bounds
    const own = this.#addresses.get(address) ?? { count: 0, bytes: 0 }
    if (own.count >= maxOfAddress || own.bytes + bytes > maxBytesOfAddress) return 'address'
    return this.#count >= max || this.#bytes + bytes > maxBytes ? 'all' : undefined
  }

  /** Counts an entry (1), no longer (-1), or a change of its size (0). */
  count (address: string, entries: 1 | 0 | -1, bytes: number): void {
    const own = this.#addresses.get(address) ?? { count: 0, bytes: 0 }
    own.count += entries
    own.bytes += bytes
    this.#count += entries
    this.#bytes += bytes
    if (own.count > 0) this.#addresses.set(address, own)
    else this.#addresses.delete(address)
  }
}
