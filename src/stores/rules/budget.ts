/** Bounds of what is kept for strangers. */
export interface BudgetBounds {
  maxOfAddress: number
  maxBytesOfAddress: number
  max: number
  maxBytes: number
}

/** What is kept, of one address or of all. */
export interface Kept {
  entries: number
  bytes: number
}

/** Whether an entry more of so many bytes would be too much: for its address, or for all. */
export function findExceeded (
  { maxOfAddress, maxBytesOfAddress, max, maxBytes }: BudgetBounds,
  own: Kept,
  all: Kept,
  bytes: number
): 'address' | 'all' | undefined {
  if (own.entries >= maxOfAddress || own.bytes + bytes > maxBytesOfAddress) return 'address'
  return all.entries >= max || all.bytes + bytes > maxBytes ? 'all' : undefined
}
