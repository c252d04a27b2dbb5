import type { SessionRecord } from '../../src/stores/sessions.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'

/*
 * A session is begun, and touched, by as many commands of Redis when its person has many sessions as when they have
 * few: no script looks at each of them.
 */

const owner = (clientId: string) => ({ issuer: 'i', subject: 's', clientId })
const seconds = (later = 0) => Math.floor(Date.now() / 1000) + later
const record = (id: string, clientId: string): SessionRecord => ({
  id,
  kind: 'streamable-http',
  owner: owner(clientId),
  initialized: true,
  subscriptions: [],
  lastSeenAt: seconds(),
  expiresAt: seconds(600)
})

const bounds = (size: number) => [
  ['has room', { perOwner: 10_000, perPerson: 10_000 }, 'c'],
  ['may have no more by this client', { perOwner: size, perPerson: 10_000 }, 'c'],
  ['may have no more', { perOwner: 10_000, perPerson: size }, 'other']
] as const

redisTest('commands that begin and touch a session', async (t, server) => {
  const admin = server.admin(t)
  const commandsRun = async () => {
    const stats = await admin.info('commandstats')
    const calls = stats.matchAll(/^cmdstat_(?:z\w+|exists|del|h\w+):calls=(\d+)/gm)
    return [...calls].reduce((sum, [, count]) => sum + Number(count), 0)
  }
  const commandsWith = async (size: number) => {
    const counts: Record<string, number> = {}
    for (const [name, limits, clientId] of bounds(size)) {
      const [store] = await redisReplicas(t, server, {}, 1)
      if (store === undefined) throw new Error('There is no replica.')
      await Promise.all(Array.from({ length: size }, (_, index) =>
        store.sessions.create(record(`s${index}`, 'c'), { perOwner: size, perPerson: size })))
      // what else the replica does now and then only adds to it: the least of a few is what these two take
      const runs: number[] = []
      for (const id of ['one more', 'another', 'and another']) {
        const before = await commandsRun()
        const ended = await store.sessions.create(record(id, clientId), limits)
        t.equal(ended.length, name === 'has room' ? 0 : 1, `${name}: with ${size}`)
        await store.sessions.touch(id, seconds(1))
        runs.push(await commandsRun() - before)
      }
      counts[name] = Math.min(...runs)
    }
    return counts
  }
  const few = await commandsWith(5)
  t.same(await commandsWith(500), few)
  t.ok(Object.values(few).every(count => count > 5), 'they are counted')
})
