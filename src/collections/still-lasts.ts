/**
 * Whether something lasts that ends at `until`, and lasts no longer than `atMost` from when it began. If that says
 * otherwise, the clock was set back meanwhile, and nobody knows how long it has lasted: it is over.
 * All in the same unit.
 */
export function stillLasts (now: number, until: number, atMost: number): boolean {
  return now < until && until - now <= atMost
}
