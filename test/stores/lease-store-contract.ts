import type { Test } from 'tap'
import type { LeaseStore } from '../../src/stores/leases.js'
import { atOnce, countsOf, type Make } from './backend.js'

/** What every `LeaseStore` keeps to. */
export async function leaseStoreContract (t: Test, makeStore: Make<LeaseStore>): Promise<void> {
  await t.test('one of many has it', async t => {
    const { replicas } = await makeStore(t, {})
    const [store] = replicas
    const acquired = await atOnce(replicas, 50, (replica, index) => replica.acquire('work', `holder-${index}`, 60_000))
    t.same(countsOf(acquired), { true: 1, false: 49 })
    const holder = `holder-${acquired.indexOf(true)}`
    t.equal(await store.acquire('work', holder, 60_000), true, 'who has it may renew it')
    t.equal(await store.acquire('other work', 'somebody', 60_000), true, 'other work is another lease')
    for (const replica of replicas) {
      t.same([await replica.isHeld('work'), await replica.isHeld('no work')], [true, false])
    }

    await store.release('work', 'somebody')
    t.equal(await store.acquire('work', 'somebody', 60_000), false, 'nobody else gives it back')
    await store.release('work', holder)
    t.equal(await store.isHeld('work'), false)
    t.equal(await store.acquire('work', 'somebody', 60_000), true)
    t.equal(await store.isHeld('other work'), true)
  })

  await t.test('it ends by itself, unless it is renewed', async t => {
    const { replicas: [store], clock } = await makeStore(t, {})
    await store.acquire('renewed', 'a', 2000)
    await store.acquire('left', 'a', 2000)
    await clock.pass(1)
    await store.acquire('renewed', 'a', 2000)
    await clock.pass(1.5)
    t.same([await store.isHeld('renewed'), await store.isHeld('left')], [true, false])
    t.equal(await store.acquire('renewed', 'b', 2000), false)
    t.equal(await store.acquire('left', 'b', 2000), true)
    await store.release('left', 'a')
    t.equal(await store.isHeld('left'), true, 'who had it cannot give back what is another\'s by now')
  })
}
