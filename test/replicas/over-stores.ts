import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import type { SessionStores } from '../../src/stores/stores.js'
import type { McpService } from '../support/mcp-harness.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'

/** A check of replicas, whose stores these are. */
export type ReplicasCheck = (t: Test, stores: readonly SessionStores[]) => Promise<void>

interface Checks {
  checks: Readonly<Record<string, ReplicasCheck>>
  /** How many run at a time. */
  jobs: number
  /** Has a post handed over. @returns the replica that takes it, and what nobody else may read */
  handOver: (t: Test, stores: readonly SessionStores[]) => Promise<{ holder: McpService, secrets: readonly string[] }>
}

/** Runs checks over stores in memory, and over Redis; there, what is handed over must be sealed. */
export function testOverStores ({ checks, jobs, handOver }: Checks): void {
  const checkAll = (t: Test, makeStores: (t: Test) => Promise<readonly SessionStores[]>) => {
    t.jobs = jobs
    for (const [name, check] of Object.entries(checks)) {
      t.test(name, { buffered: true }, async t => { await check(t, await makeStores(t)) })
    }
  }

  t.test('with stores in memory', async t => {
    checkAll(t, async t => {
      const stores = createMemoryStores({ sessionIdleSeconds: 60 })
      t.teardown(() => stores.close())
      return [stores, stores]
    })
  })

  redisTest('over Redis', async (t, server) => {
    checkAll(t, t => redisReplicas(t, server))
    t.test('what is handed over is sealed', { buffered: true }, async t => {
      const { holder, secrets } = await handOver(t, await redisReplicas(t, server))
      const redis = new Redis(server.url)
      t.teardown(() => { redis.disconnect() })
      const streams = await redis.keys(`*:bus:{${holder.app.mcpReplica.id}}`)
      const kept = JSON.stringify(await Promise.all(streams.map(key => redis.xrange(key, '-', '+'))))
      t.match(kept, /messagePosted/, 'it goes over Redis')
      for (const secret of secrets) t.notOk(kept.includes(secret), `nobody reads ${secret} there`)
    })
  })
}
