import t, { type Test } from 'tap'
import type { Stores } from '../../src/stores/stores.js'
import { newEncryptionKeys } from '../attacks/eras.js'
import { RawClient } from '../support/mcp-harness.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'
import { keptStores } from './kept-stores.js'
import { startTwo } from './two-servers.js'

/* What one server has for an address that nobody has logged in from, another leaves alone. */
async function check (t: Test, stores: Stores): Promise<void> {
  const { at } = await startTwo(t, stores, {
    encryptionKeys: newEncryptionKeys(),
    policy: { public: { tools: ['state'] } },
    limits: { maxSessionsPerPerson: 2 }
  })
  const begin = async (name: 'notes' | 'files') => await new RawClient(at(name), '').connect()
  const notes = [await begin('notes'), await begin('notes')]
  const files = [await begin('files'), await begin('files'), await begin('files')]
  const statuses = async (clients: readonly RawClient[]) =>
    await Promise.all(clients.map(async client => (await client.request('ping')).status))
  t.strictSame(await statuses(notes), [200, 200], 'sessions of one server do not end those of another')
  t.strictSame(await statuses(files), [404, 200, 200], 'their own number is bounded')
}

for (const [kind, make] of Object.entries(keptStores)) t.test(kind, async t => { await check(t, make(t)) })
redisTest('Redis', async (t, server) => {
  const [stores] = await redisReplicas(t, server, {}, 1)
  if (stores !== undefined) await check(t, stores)
})
