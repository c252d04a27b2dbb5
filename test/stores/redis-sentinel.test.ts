import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { TemporarilyUnavailableError } from '../../src/errors.js'
import { STANDALONE_STREAM, type StreamEvent } from '../../src/stores/event-log.js'
import type { Stores } from '../../src/stores/stores.js'
import { parseRedisUrl } from '../../src/validation/redis-url.js'
import { end, start } from '../replicas/processes.js'
import { freePort } from '../support/free-port.js'
import { find } from '../support/programs.js'
import { reachable, redisReplicas, redisTest, RedisServer } from '../support/redis-server.js'

const PASSWORD = 'p@ss/wörd'
const WITH_PASSWORD = ['--requirepass', PASSWORD, '--masterauth', PASSWORD]

t.test('the URL of Sentinels', async t => {
  for (const [url, expected] of [
    ['redis+sentinel://one/main', { sentinels: [{ host: 'one', port: 26379 }], name: 'main', db: 0, isTls: false }],
    ['rediss+sentinel://one:1,two:2/main/3', {
      sentinels: [{ host: 'one', port: 1 }, { host: 'two', port: 2 }], name: 'main', db: 3, isTls: true
    }],
    ['redis+sentinel://:p%40ss@[::1]:1/main', { sentinels: [{ host: '::1', port: 1 }], password: 'p@ss' }],
    ['redis+sentinel://me:pass:word@one/main', { username: 'me', password: 'pass:word' }],
    ['redis+sentinel://one/main?sentinelUsername=a&sentinelPassword=b', { sentinelUsername: 'a', sentinelPassword: 'b' }]
  ] as const) t.match(parseRedisUrl(url), { kind: 'sentinel', ...expected }, url)
  for (const url of [
    'redis+sentinel://one', 'redis+sentinel://one/', 'redis+sentinel:///main', 'redis+sentinel://one,/main',
    'redis+sentinel://one:port/main', 'redis+sentinel://one/main/db', 'redis+sentinel://one/main?other=1',
    'redis+sentinel://:%zz@one/main', 'sentinel://one/main', 'redis+sentinel://one two/main'
  ]) t.equal(parseRedisUrl(url), undefined, url)
})

redisTest('the primary is killed under load: nothing that was replicated is lost', async (t, primary) => {
  const { replica, url } = await withSentinels(t, primary)
  const [one, other] = await redisReplicas(t, primary, { url, commandTimeoutMs: 1000 })
  if (one === undefined || other === undefined) throw new Error('There are no replicas.')
  const heard: string[] = []
  other.bus.subscribe('grantEnded', ({ grantId }) => { heard.push(grantId) })
  await reachable(other)

  const load = new Load(one)
  while (load.kept.length < 200) await delay(5)
  const before = [...load.kept]
  await load.pause(async () => {
    t.equal(await connect(t, primary.port, PASSWORD).wait(1, 10_000), 1, 'the replica has everything')
  })
  await primary.stop('SIGKILL')
  while (!await isPrimary(t, replica)) await delay(20)
  await reachable(one)
  await reachable(other)
  const count = load.kept.length
  while (load.kept.length < count + 200) await delay(5)
  await load.end()
  t.same(load.unexpected, [], 'calls fail with one kind of error')
  for (const id of before) t.equal(await readFirst(other, id), id)
  await one.bus.publish('grantEnded', { grantId: 'after' })
  while (!heard.includes('after')) await delay(20)
}, WITH_PASSWORD)

/** The first message of a session's standalone stream. */
async function readFirst ({ eventLog }: Stores, sessionId: string): Promise<string> {
  let first = ''
  const reader = { onEvent: ({ data }: StreamEvent) => { first ||= data }, onEnd () {} }
  const following = await eventLog.follow(sessionId, STANDALONE_STREAM, undefined, reader)
  following?.stop()
  return first
}

/** Writes to session after session. */
class Load {
  readonly kept: string[] = []
  readonly unexpected: unknown[] = []
  readonly #ended: Promise<void>
  #isOver = false
  #paused: Promise<void> | undefined

  constructor (stores: Stores) {
    this.#ended = this.#run(stores)
  }

  /** Runs something while nothing is under way. */
  async pause (run: () => Promise<void>): Promise<void> {
    this.#paused = run()
    await this.#paused
    this.#paused = undefined
  }

  async end (): Promise<void> {
    this.#isOver = true
    await this.#ended
  }

  async #run (stores: Stores): Promise<void> {
    for (let index = 0; !this.#isOver; index++) {
      await this.#paused
      const id = `session-${index}`
      try {
        await stores.eventLog.append(id, STANDALONE_STREAM, [{ data: id }])
        this.kept.push(id)
      } catch (error) {
        if (!(error instanceof TemporarilyUnavailableError)) this.unexpected.push(error)
        await delay(10)
      }
    }
  }
}

/** A replica of a primary, and Sentinels that watch over both. */
async function withSentinels (t: Test, primary: RedisServer): Promise<{ replica: RedisServer, url: string }> {
  const program = find('redis-server') ?? ''
  const replica = new RedisServer(program, await freePort(), [
    ...WITH_PASSWORD, '--replicaof', '127.0.0.1', String(primary.port)
  ])
  t.teardown(() => replica.end())
  await replica.start()
  const directory = mkdtempSync(join(tmpdir(), 'sentinels-'))
  const ports = [await freePort(), await freePort(), await freePort()]
  const sentinels = ports.map(port => {
    const file = join(directory, `${port}.conf`)
    writeFileSync(file, [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${directory}`,
      `sentinel monitor main 127.0.0.1 ${primary.port} 2`,
      `sentinel auth-pass main "${PASSWORD}"`,
      'sentinel down-after-milliseconds main 500',
      'sentinel failover-timeout main 4000',
      ''
    ].join('\n'))
    return start(program, [file, '--sentinel'], { stdio: 'ignore' })
  })
  t.teardown(async () => {
    for (const sentinel of sentinels) await end(sentinel, 'SIGKILL')
    rmSync(directory, { recursive: true })
  })
  for (const port of ports) await untilAllAreKnown(t, port)
  const hosts = ports.map(port => `127.0.0.1:${port}`).join(',')
  return { replica, url: `redis+sentinel://:${encodeURIComponent(PASSWORD)}@${hosts}/main` }
}

/** Waits until a Sentinel knows the others, and the replica. */
async function untilAllAreKnown (t: Test, port: number): Promise<void> {
  const sentinel = connect(t, port)
  const count = async (list: string) => {
    const found = await sentinel.call('SENTINEL', list, 'main')
    return Array.isArray(found) ? found.length : 0
  }
  while (await count('SENTINELS') < 2 || await count('REPLICAS') < 1) await delay(50)
}

async function isPrimary (t: Test, { port }: RedisServer): Promise<boolean> {
  const role = await connect(t, port, PASSWORD).call('ROLE')
  return Array.isArray(role) && role[0] === 'master'
}

const connections = new Map<number, Redis>()

/** A connection that lasts as long as the test. */
function connect (t: Test, port: number, password?: string): Redis {
  const known = connections.get(port)
  if (known !== undefined) return known
  const redis = new Redis({ port, ...password !== undefined && { password } })
  redis.on('error', () => {})
  connections.set(port, redis)
  t.teardown(() => { redis.disconnect() })
  return redis
}
