import type { Test } from 'tap'
import { RATE_COUNTERS, RATE_WINDOW_MS, type RateCounters } from '../../src/stores/rate-counters.js'
import { atOnce, ManualClock, type Make, type Replicas } from './backend.js'

/** What every `RateCounters` keeps. */
export async function rateCountersContract (t: Test, make: Make<RateCounters>): Promise<void> {
  let made: Replicas<RateCounters> = await make(t, {})
  t.beforeEach(async t => { made = await make(t, {}) })

  await t.test('every request counts once, whatever replica it comes to', async t => {
    const counted = await atOnce(made.replicas, 20, replica => replica.add(7, 1))
    t.strictSame(
      counted.map(({ count }) => count).sort((a, b) => a - b),
      Array.from({ length: 20 }, (_, index) => index + 1)
    )
    for (const { resetMs } of counted) t.ok(resetMs > 0 && resetMs <= RATE_WINDOW_MS, `${resetMs} ms to go`)
  })

  await t.test('counters are apart, from the first to the last', async t => {
    const [replica] = made.replicas
    for (const index of [0, 1, RATE_COUNTERS - 1]) t.equal((await replica.add(index, 1)).count, 1)
    t.equal((await replica.add(1, 1)).count, 2)
  })

  await t.test('one is taken back, and none is less than 0', async t => {
    const [replica] = made.replicas
    await replica.add(5, 1)
    await replica.add(5, 1)
    t.equal((await replica.add(5, -1)).count, 1)
    for (let taken = 0; taken < 3; taken++) t.equal((await replica.add(5, -1)).count, 0)
    t.equal((await replica.add(5, 1)).count, 1)
  })

  await t.test('all begin again when the window is over', async t => {
    const { replicas: [replica], clock } = made
    const first = await replica.add(5, 1)
    if (!(clock instanceof ManualClock)) {
      t.ok(first.resetMs > RATE_WINDOW_MS - 5000, 'the store itself ends it')
      return
    }
    await clock.pass(59)
    t.strictSame(await replica.add(5, 1), { count: 2, resetMs: 1000 })
    await clock.pass(1)
    t.strictSame(await replica.add(5, 1), { count: 1, resetMs: RATE_WINDOW_MS })
    await clock.pass(-3600)
    t.strictSame(
      await replica.add(5, 1),
      { count: 1, resetMs: RATE_WINDOW_MS },
      'a clock that is set back holds nobody up'
    )
  })
}
