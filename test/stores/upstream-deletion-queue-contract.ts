import type { Test } from 'tap'
import { MAX_DELETION_ATTEMPTS, type UpstreamDeletionQueue } from '../../src/stores/upstream-deletions.js'
import { atOnce, type Make } from './backend.js'

const deletionOf = (name: string) => ({ clientId: name, sealed: `sealed ${name}` })

/** What every `UpstreamDeletionQueue` keeps to. */
export async function upstreamDeletionQueueContract (t: Test, makeQueue: Make<UpstreamDeletionQueue>): Promise<void> {
  t.test('each deletion is claimed by one caller, and done once', async t => {
    const { replicas } = await makeQueue(t, {})
    const all = Array.from({ length: 20 }, (_, index) => deletionOf(`client-${index}`))
    t.equal(await replicas[0].add(all), 0)
    const claimed = await atOnce(replicas, 20, replica => replica.claim(2, 60))
    t.ok(claimed.every(some => some.length <= 2))
    t.same(claimed.flat().map(({ clientId }) => clientId).sort(), all.map(({ clientId }) => clientId).sort())
    for (const deletion of all) await replicas[0].done(deletion)
    t.same(await replicas[0].claim(10, 60), [])
  })

  t.test('what is not done is due again, later each time, and given up at last', async t => {
    const { replicas: [queue], clock } = await makeQueue(t, {})
    await queue.add([deletionOf('failing')])
    t.match(await queue.claim(10, 3), [deletionOf('failing')])
    t.same(await queue.claim(10, 3), [])
    await clock.pass(3.1)
    for (let attempt = 1; attempt < MAX_DELETION_ATTEMPTS; attempt++) {
      t.match(await queue.claim(10, 0), [deletionOf('failing')], `attempt ${attempt + 1}`)
    }
    t.same(await queue.claim(10, 0), [], 'it is given up')
  })
}
