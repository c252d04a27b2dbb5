import type { Test } from 'tap'

/** A clock for the whole process that a test can put forward. */
export function clock (t: Test): { forward (seconds: number): void } {
  const now = Date.now
  let ms = 0
  t.intercept(Date, 'now', { value: () => now() + ms })
  return { forward: seconds => { ms += seconds * 1000 } }
}
