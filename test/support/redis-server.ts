import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { createRedisStores } from '../../src/stores/redis/stores.js'
import type { RedisStoresOptions } from '../../src/stores/options.js'
import type { Stores } from '../../src/stores/stores.js'
import { freePort } from './free-port.js'
import { find, lacking } from './programs.js'
import { realClock, type Replicas } from '../stores/backend.js'
import { RedisServer } from './redis-process.js'

export { RedisServer }

/**
 * A test with a Redis of its own. Skipped where there is none to start, or something else is `missing`; in CI, that
 * fails.
 */
export function redisTest (
  name: string,
  check: (t: Test, server: RedisServer) => Promise<void>,
  settings: readonly string[] = [],
  missing?: string
): void {
  testWithRedis(name, async (t, command) => {
    const server = new RedisServer(command, await freePort(), settings)
    t.teardown(() => server.end())
    await server.start()
    await check(t, server)
  }, missing)
}

/** A test with a Redis Cluster of three nodes, and one that has joined without slots; skipped like `redisTest`. */
export function redisClusterTest (name: string, check: (t: Test, servers: RedisServer[]) => Promise<void>): void {
  testWithRedis(name, async (t, command) => {
    const servers = await Promise.all(SLOTS.map(async () => new RedisServer(command, await freePort(), [
      '--cluster-enabled', 'yes', '--cluster-port', String(await freePort()), '--cluster-node-timeout', '10000'
    ])))
    t.teardown(() => Promise.all(servers.map(server => server.end())))
    await Promise.all(servers.map(server => server.start()))
    await joinNodes(servers)
    await check(t, servers)
  })
}

const SLOTS = [[0, 5460], [5461, 10922], [10923, 16383], undefined] as const

async function joinNodes (servers: readonly RedisServer[]): Promise<void> {
  const nodes = servers.map(({ url }) => new Redis(url))
  for (const [index, node] of nodes.entries()) {
    const slots = SLOTS[index]
    if (slots !== undefined) await node.call('CLUSTER', 'ADDSLOTSRANGE', ...slots)
    const { port, busPort } = servers[0] ?? { port: 0, busPort: 0 }
    if (index > 0) await node.call('CLUSTER', 'MEET', '127.0.0.1', port, busPort)
  }
  for (const node of nodes) {
    while (!String(await node.call('CLUSTER', 'INFO')).includes('cluster_state:ok')) await delay(50)
  }
  for (const node of nodes) node.disconnect()
}

function testWithRedis (name: string, check: (t: Test, command: string) => Promise<void>, missing?: string): void {
  const command = find('redis-server')
  const lacks = command === undefined ? lacking('redis-server') : missing
  const skip = process.env.CI === 'true' ? false : lacks ?? false
  t.test(name, { skip }, async t => {
    if (command === undefined || lacks !== undefined) throw new Error(lacks)
    await check(t, command)
  })
}

let prefixes = 0
// a machine that runs tests may well be overloaded
const PATIENCE_MS = 20_000

/** The stores of some replicas, which share a key prefix of their own. */
export async function redisReplicas (
  t: Test,
  server: RedisServer,
  options: Partial<RedisStoresOptions> = {},
  count = 2
): Promise<Stores[]> {
  const keyPrefix = `test-${++prefixes}`
  const replicas = Array.from(
    { length: count },
    () =>
      createRedisStores({
        url: server.url,
        keyPrefix,
        sessionIdleSeconds: 60,
        commandTimeoutMs: PATIENCE_MS,
        ...options
      })
  )
  t.teardown(() => Promise.all(replicas.map(stores => stores.close())))
  await Promise.all(replicas.map(reachable))
  return replicas
}

/** One store of some replicas, for its contract. */
export async function replicasOf<S> (
  t: Test,
  server: RedisServer,
  pick: (stores: Stores) => S,
  options: Partial<RedisStoresOptions> = {}
): Promise<Replicas<S>> {
  const [first, ...rest] = (await redisReplicas(t, server, options)).map(pick)
  if (first === undefined) throw new Error('There is no replica.')
  return { replicas: [first, ...rest], clock: realClock }
}

/** Waits until a replica reaches its Redis (again). */
export async function reachable (stores: Stores): Promise<void> {
  while (!await stores.check().then(() => true, () => false)) await delay(20)
}
