import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { scriptArguments } from '../support/script-arguments.js'
import { freePort } from '../support/free-port.js'
import { startCluster } from './cluster.js'
import { RedisProxy, type Fault } from './redis-proxy.js'
import { logInAt, RawSession, type Login } from '../support/raw-session.js'
import { revoke } from '../support/oauth-flow.js'
import { percentiles, Report } from '../support/report.js'

/*
 * A login is revoked while something is wrong: a replica pauses and is flooded, Redis is full, or its reply is late or
 * never comes. Its streams end at every replica all the same. Then sessions are opened over three replicas.
 */
const { number } = scriptArguments('npx tsx test/replicas/revocation-faults.ts [--times 10] [--sessions 600]')
const times = number('times')
const count = number('sessions')
const WITHIN_MS = 1000
const PAUSE_MS = 2500
const POSTS = 24
const SETTLED_MS = 4000
const LARGE = 'x'.repeat(4_000_000)

const [redisPort, proxyPort] = [await freePort(), await freePort()]
const proxy = new RedisProxy(redisPort)
await proxy.listen(proxyPort)
const cluster = await startCluster({
  replicas: 3,
  entry: 'test/replicas/counting-replica',
  redisPort,
  environment: {
    REDIS_URL: `redis://127.0.0.1:${proxyPort}`,
    OAUTH_REQUESTS_PER_MINUTE: '10000',
    SESSIONS_PER_OWNER: String(count + 100),
    SESSIONS_PER_PERSON: String(count + 100),
    INSTANCES_PER_PERSON: String(count * 2),
    MAX_LIVE_INSTANCES: String(count * 2)
  },
  logs: 'ignore'
})
// clients that have not logged in before are let in a few a minute
const { client } = await logInAt(cluster.url)
const redis = new Redis(cluster.redis.port, '127.0.0.1')
const [one, other] = cluster.replicas
if (one === undefined || other === undefined) throw new Error('There are no two replicas.')

try {
  await duringAPause()
  await whileFull()
  await withFault('late')
  await withFault('cut')
  await initialized()
} finally {
  redis.disconnect()
  proxy.close()
  await cluster.close()
}

interface Listening {
  login: Login
  /** Resolves once its streams at every replica have ended. */
  ended: Promise<void>
}

/** Streams of a new login's session, one at each replica. */
async function listen (): Promise<Listening> {
  const login = await logInAt(cluster.url, 'alice', client)
  const streams = await Promise.all(cluster.replicas.map(async ({ url }) => {
    const stream = await (await RawSession.open(url, login)).get(url)
    if (stream.status !== 200) throw new Error(`stream: ${stream.status}`)
    return stream
  }))
  const ended = Promise.all(streams.map(stream => stream.text())).then(() => {})
  return { login, ended }
}

/** Revokes the login at the first replica. @returns the statuses, and how long the streams took to end */
async function end ({ login, ended }: Listening, retries = 0): Promise<{ statuses: number[], ms: number }> {
  const begun = performance.now()
  const statuses = []
  for (let attempt = 0; attempt <= retries; attempt++) {
    statuses.push((await revoke({ url: one?.url ?? '', fetch }, login.client, login.accessToken)).status)
  }
  const isOver = await Promise.race([ended.then(() => true), delay(10_000, false)])
  return { statuses, ms: isOver ? performance.now() - begun : Infinity }
}

async function duringAPause (): Promise<void> {
  const report = new Report(
    `A login is revoked while one of three replicas pauses for ${PAUSE_MS} ms, and a client sends ${POSTS} responses ` +
      `of 4 MB that nobody waits for; ${times} times`
  )
  const took: number[] = []
  for (let time = 0; time < times; time++) {
    const listening = await listen()
    const mallory = await logInAt(cluster.url, 'mallory', client)
    const session = await RawSession.open(one?.url ?? '', mallory)
    other?.child.kill('SIGSTOP')
    const continued = delay(PAUSE_MS).then(() => { other?.child.kill('SIGCONT') })
    await revoke({ url: one?.url ?? '', fetch }, listening.login.client, listening.login.accessToken)
    const posts = new Set<number>()
    for (let id = 0; id < POSTS; id++) {
      const message = { jsonrpc: '2.0', id: `unknown-${id}`, result: { text: LARGE } }
      const response = await session.post(one?.url ?? '', message)
      await response.text()
      posts.add(response.status)
    }
    if (time === 0) report.figure('these are answered', [...posts].join(', '))
    await continued
    const begun = performance.now()
    const isOver = await Promise.race([listening.ended.then(() => true), delay(10_000, false)])
    took.push(isOver ? performance.now() - begun : Infinity)
  }
  report.figure('all its streams have ended after the pause by', percentiles(took))
  report.check(`within ${WITHIN_MS} ms each time`, took.every(ms => ms < WITHIN_MS))
  report.end()
}

async function whileFull (): Promise<void> {
  const report = new Report(`A login is revoked, and again, while Redis is full; ${times} times`)
  const took: number[] = []
  const statuses = new Set<number>()
  for (let time = 0; time < times; time++) {
    const listening = await listen()
    await redis.config('SET', 'maxmemory', '1')
    const ended = await end(listening, 1)
    await redis.config('SET', 'maxmemory', '0')
    for (const status of ended.statuses) statuses.add(status)
    took.push(ended.ms)
  }
  report.figure('statuses', [...statuses].join(', '))
  report.check('each time 200, and 200 again', statuses.size === 1 && statuses.has(200))
  report.figure('all its streams have ended after', percentiles(took))
  report.check(`within ${WITHIN_MS} ms each time`, took.every(ms => ms < WITHIN_MS))
  report.end()
}

async function withFault (fault: Fault): Promise<void> {
  const report = new Report(`A login is revoked, and the reply of Redis to that is ${fault}; ${times} times`)
  const took: number[] = []
  const statuses = new Map<string, number>()
  for (let time = 0; time < times; time++) {
    const listening = await listen()
    const begun = performance.now()
    const over = listening.ended.then(() => performance.now() - begun)
    proxy.fail('grantEnded', fault)
    const ended = await end(listening, 1)
    const key = ended.statuses.join(', then ')
    statuses.set(key, (statuses.get(key) ?? 0) + 1)
    took.push(ended.ms === Infinity ? Infinity : await over)
    // the other replies of that connection are late, too
    await delay(SETTLED_MS)
  }
  report.figure('statuses', [...statuses].map(([key, number]) => `${number} x ${key}`).join('; '))
  report.figure('all its streams have ended after', percentiles(took))
  report.check(`within ${WITHIN_MS} ms each time, whenever the reply came`, took.every(ms => ms < WITHIN_MS))
  report.end()
}

/** A server that has not learnt that its client is initialized sends it no log messages and asks it nothing. */
async function initialized (): Promise<void> {
  const report = new Report(`${count} sessions are opened over three replicas in turn, and used at once at each`)
  const login = await logInAt(cluster.url, 'alice', client)
  const failed: string[] = []
  for (let begun = 0; begun < count; begun += 20) {
    await Promise.all(Array.from({ length: Math.min(20, count - begun) }, async () => {
      const session = await RawSession.open(cluster.url, login)
      const outcomes = await Promise.all(cluster.replicas.map(({ url }) => session.call(url, 'initialized')))
      for (const outcome of outcomes) {
        if (outcome.end !== 'result' || outcome.text !== 'yes') failed.push(JSON.stringify(outcome))
      }
    }))
  }
  report.check(`every instance knows that its client is initialized (${failed.length} do not)`, failed.length === 0)
  if (failed.length > 0) report.say(`    ${failed[0]}`)
  report.end()
}
