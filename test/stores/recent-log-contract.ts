import type { Test } from 'tap'
import type { LoginStepRecord, RecentLog, RecentLogBounds } from '../../src/stores/attempts.js'
import { atOnce, type Make } from './backend.js'

const step = (at: number): LoginStepRecord => ({
  step: 'token',
  at,
  links: ['a'],
  failure: { code: 'invalid_grant', message: 'stäte "quoted"' }
})
const times = (entries: LoginStepRecord[]) => entries.map(({ at }) => at)

/** What every `RecentLog` keeps to. */
export async function recentLogContract (
  t: Test,
  makeLog: Make<RecentLog<LoginStepRecord>, RecentLogBounds>
): Promise<void> {
  await t.test('what one replica appends, every one reads, the oldest first', async t => {
    const { replicas } = await makeLog(t, { maxEntries: 100, maxAgeSeconds: 60 })
    for (const replica of replicas) t.strictSame(await replica.read(), [], 'it begins empty')
    for (const at of [1, 2, 3]) await replicas[0].append(step(at))
    for (const replica of replicas) t.strictSame(await replica.read(), [1, 2, 3].map(step))
    const [got] = await replicas[0].read()
    got?.links.push('b')
    t.strictSame((await replicas[0].read())[0], step(1), 'who changes what they got changes nothing')
  })

  await t.test('of too many, the oldest go', async t => {
    const { replicas } = await makeLog(t, { maxEntries: 10, maxAgeSeconds: 60 })
    for (let at = 0; at < 50; at++) await replicas[0].append(step(at))
    t.strictSame(times(await replicas[0].read()), [40, 41, 42, 43, 44, 45, 46, 47, 48, 49])
    await atOnce(replicas, 40, (replica, index) => replica.append(step(100 + index)))
    const left = times(await replicas[0].read())
    t.equal(left.length, 10)
    t.ok(left.every(at => at >= 100))
  })

  await t.test('each goes when its time is over', async t => {
    const { replicas: [log], clock } = await makeLog(t, { maxEntries: 10, maxAgeSeconds: 2 })
    await log.append(step(1))
    await clock.pass(1)
    await log.append(step(2))
    await clock.pass(1.5)
    t.strictSame(times(await log.read()), [2], 'the later one does not keep the earlier')
    await log.append(step(3))
    await clock.pass(1)
    t.strictSame(times(await log.read()), [3])
  })
}
