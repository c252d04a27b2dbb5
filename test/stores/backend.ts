import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'

/** The time that a backend goes by. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now (): number
  /** Lets time pass. */
  pass (seconds: number): Promise<void>
}

/** Time that passes when the test says so. */
export class ManualClock implements Clock {
  #nowMs = 1_700_000_000_000

  readonly now = (): number => this.#nowMs

  async pass (seconds: number): Promise<void> {
    this.#nowMs += seconds * 1000
  }
}

/** Time as it passes, for a backend with a clock of its own. */
export const realClock: Clock = { now: Date.now, pass: seconds => delay(seconds * 1000) }

/** A store as several replicas see it; of a backend for one process there is one. */
export interface Replicas<S> {
  replicas: readonly [S, ...S[]]
  clock: Clock
}

/** Makes an empty store, and closes it with the test. */
export type Make<S, O = Record<string, never>> = (t: Test, options: O) => Promise<Replicas<S>>

/** Epoch seconds, `later` seconds from now. */
export function epoch (clock: Clock, later = 0): number {
  return Math.floor(clock.now() / 1000) + later
}

/** Makes `count` calls at once, each at another replica. */
export async function atOnce<S, T> (
  replicas: readonly S[],
  count: number,
  call: (replica: S, index: number) => Promise<T>
): Promise<T[]> {
  const turns = Array.from({ length: Math.ceil(count / replicas.length) }, () => replicas).flat().slice(0, count)
  return await Promise.all(turns.map(call))
}

/** How often each value occurs. */
export function countsOf (values: readonly unknown[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const value of values) counts[String(value)] = (counts[String(value)] ?? 0) + 1
  return counts
}
