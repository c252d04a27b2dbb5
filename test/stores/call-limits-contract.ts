import type { Test } from 'tap'
import {
  ALL_CALLS,
  DAY_MS,
  MAX_BUCKETS,
  MINUTE_MS,
  PLACE_RETRY_MS,
  type CallBucket,
  type CallLimitStore,
  type CallRefusal
} from '../../src/stores/call-limits.js'
import type { CallLimits } from '../../src/policy/rules.js'
import { atOnce, countsOf, ManualClock, type Make } from './backend.js'

const LEASE_MS = 60_000
let calls = 0

function bucket (limits: CallLimits, count = 1, name = ALL_CALLS): CallBucket {
  const ids = Array.from({ length: count }, () => `call-${++calls}`)
  return { name, calls: ids, counted: count, limits }
}

function describe (refusal: CallRefusal | undefined): string {
  return refusal === undefined ? 'let in' : `${refusal.bucket} ${refusal.limit}`
}

/** What every `CallLimitStore` keeps to. */
export async function callLimitsContract (t: Test, make: Make<CallLimitStore>): Promise<void> {
  await t.test('exact, whatever replica a call comes to', async t => {
    for (const limit of ['callsPerMinute', 'callsPerDay', 'concurrentCalls'] as const) {
      const { replicas } = await make(t, {})
      // none comes back while the test lasts
      const limits = { [limit]: 7 }
      const refusals = await atOnce(
        replicas,
        30,
        async replica => await replica.take('a', [bucket(limits)], LEASE_MS)
      )
      t.strictSame(countsOf(refusals.map(describe)), { 'let in': 7, [`0 ${limit}`]: 23 }, limit)
      t.equal(await replicas[0].take('b', [bucket(limits)], LEASE_MS), undefined, `${limit}: of another holder`)
      t.equal(await replicas[0].take('a', [bucket(limits, 1, 'tool x')], LEASE_MS), undefined, 'of another bucket')
    }
  })

  await t.test('all or nothing, of several calls and buckets', async t => {
    const { replicas: [store] } = await make(t, {})
    const few = { callsPerMinute: 2, callsPerDay: 2, concurrentCalls: 2 }
    const many = { callsPerMinute: 5, callsPerDay: 5, concurrentCalls: 5 }
    const both = async (count: number) =>
      await store.take('a', [bucket(many, count), bucket(few, count, 'tool x')], LEASE_MS)
    t.equal(await both(2), undefined)
    t.match(await both(1), { bucket: 1, limit: 'callsPerDay' }, 'which lasts longest')
    t.strictSame(
      await both(3),
      { bucket: 1, limit: 'callsPerMinute', retryAfterMs: undefined },
      'too many at once, for ever'
    )
    t.match(await store.take('a', [bucket(many, 4)], LEASE_MS), { bucket: 0 })
    t.equal(await store.take('a', [bucket(many, 3)], LEASE_MS), undefined, 'what was refused took nothing')
    t.match(await store.take('a', [bucket(many)], LEASE_MS), { bucket: 0 })
  })

  await t.test('no calls at all', async t => {
    const { replicas: [store] } = await make(t, {})
    for (const limit of ['callsPerMinute', 'callsPerDay', 'concurrentCalls'] as const) {
      t.strictSame(
        await store.take('a', [bucket({ [limit]: 0 })], LEASE_MS),
        { bucket: 0, limit, retryAfterMs: undefined }
      )
    }
    t.equal(await store.take('a', [bucket({})], LEASE_MS), undefined, 'no limit')
  })

  await t.test('a bucket fills evenly', async t => {
    const { replicas: [store], clock } = await make(t, {})
    const limits = { callsPerMinute: 60 }
    t.equal(await store.take('a', [bucket(limits, 60)], LEASE_MS), undefined)
    const refusal = await store.take('a', [bucket(limits)], LEASE_MS)
    t.equal(refusal?.limit, 'callsPerMinute')
    const { retryAfterMs = 0 } = refusal ?? {}
    t.ok(retryAfterMs > 0 && retryAfterMs <= MINUTE_MS / 60, `${retryAfterMs} ms`)
    await clock.pass(retryAfterMs / 1000 + (clock instanceof ManualClock ? 0 : 0.01))
    t.equal(await store.take('a', [bucket(limits)], LEASE_MS), undefined, 'in at the time it was told')
  })

  await t.test('a day ends at midnight UTC', async t => {
    const { replicas: [store], clock } = await make(t, {})
    const limits = { callsPerDay: 1 }
    t.equal(await store.take('a', [bucket(limits)], LEASE_MS), undefined)
    const toMidnight = DAY_MS - clock.now() % DAY_MS
    const { retryAfterMs = 0 } = await store.take('a', [bucket(limits)], LEASE_MS) ?? {}
    t.ok(Math.abs(retryAfterMs - toMidnight) < 5000, `${retryAfterMs} ms`)
    if (!(clock instanceof ManualClock)) return
    await clock.pass(toMidnight / 1000 - 1)
    t.match(await store.take('a', [bucket(limits)], LEASE_MS), { retryAfterMs: 1000 })
    await clock.pass(1)
    t.equal(await store.take('a', [bucket(limits)], LEASE_MS), undefined)
  })

  await t.test('places of running calls: released, or free after their lease unless it is renewed', async t => {
    const { replicas, clock } = await make(t, {})
    const [store] = replicas
    const other = replicas.at(-1) ?? store
    const limits = { concurrentCalls: 2 }
    const [over, left, renewed] = [bucket(limits), bucket(limits), bucket(limits)]
    t.equal(await store.take('a', [over], 600), undefined)
    t.equal(await store.take('a', [left], 600), undefined)
    t.strictSame(
      await other.take('a', [renewed], 600),
      { bucket: 0, limit: 'concurrentCalls', retryAfterMs: PLACE_RETRY_MS }
    )
    await store.release('a', [over])
    await store.release('a', [over])
    t.equal(await other.take('a', [renewed], 600), undefined, 'the place of one that is over')
    t.match(await other.take('a', [bucket(limits)], 600), { limit: 'concurrentCalls' }, 'released once only')
    for (let passed = 0; passed < 3; passed++) {
      await clock.pass(0.3)
      await other.renew('a', [renewed], 600)
    }
    t.equal(await store.take('a', [bucket(limits)], 600), undefined, 'of one whose process has died')
    t.match(await store.take('a', [bucket(limits)], 600), { limit: 'concurrentCalls' }, 'not of the one that runs')
  })

  await t.test('what did not run is given back', async t => {
    const { replicas: [store] } = await make(t, {})
    const limits = { callsPerMinute: 2, callsPerDay: 2, concurrentCalls: 2 }
    for (let times = 0; times < 3; times++) {
      const taken = [bucket(limits, 2)]
      t.equal(await store.take('a', taken, LEASE_MS), undefined)
      await store.giveBack('a', taken)
    }
    t.equal(await store.take('a', [bucket(limits, 2)], LEASE_MS), undefined)
    t.match(await store.take('a', [bucket(limits)], LEASE_MS), { limit: 'callsPerDay' }, 'no more than that')
  })

  await t.test('what continues a call has a place, and counts no more', async t => {
    const { replicas: [store] } = await make(t, {})
    const limits = { callsPerMinute: 1, callsPerDay: 1, concurrentCalls: 1 }
    const first = bucket(limits)
    t.equal(await store.take('a', [first], LEASE_MS), undefined)
    await store.release('a', [first])
    t.equal(await store.take('a', [{ ...bucket(limits), counted: 0 }], LEASE_MS), undefined)
    t.match(await store.take('a', [{ ...bucket(limits), counted: 0 }], LEASE_MS), { limit: 'concurrentCalls' })
  })

  await t.test('tools that a caller makes up share a bucket in the end', async t => {
    const { replicas: [store] } = await make(t, {})
    const limits = { callsPerMinute: 1 }
    const outcomes: string[] = []
    for (let tool = 0; tool < MAX_BUCKETS + 5; tool++) {
      outcomes.push(describe(await store.take('a', [bucket(limits, 1, `tool ${tool}`)], LEASE_MS)))
    }
    t.strictSame(countsOf(outcomes), { 'let in': MAX_BUCKETS + 1, '0 callsPerMinute': 4 })
    t.equal(await store.take('a', [bucket(limits)], LEASE_MS), undefined, 'not that of all calls')
    t.match(await store.take('a', [bucket(limits, 1, 'tool 0')], LEASE_MS), { limit: 'callsPerMinute' })
  })
}
