/** Counters there are. Keys are spread over them: what is counted takes the same room, however many keys come. */
export const RATE_COUNTERS = 131_072
/** How long is counted before all counters begin again. */
export const RATE_WINDOW_MS = 60_000

/** What was counted so far in this window of time, and how long the window lasts. */
export interface Counted {
  count: number
  resetMs: number
}

/**
 * Counts what callers do, in `RATE_COUNTERS` counters that all begin again every `RATE_WINDOW_MS`. Each method is one
 * atomic step.
 */
export interface RateCounters {
  /** Adds one to a counter, or takes one back; no counter is less than 0. @param index from 0 to `RATE_COUNTERS` - 1 */
  add (index: number, amount: 1 | -1): Promise<Counted>
}
