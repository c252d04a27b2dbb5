import { setTimeout as delay } from 'node:timers/promises'
import { scriptArguments } from '../support/script-arguments.js'
import { startCluster } from './cluster.js'
import { countRuns } from './counting-server.js'
import { logInAt } from '../support/raw-session.js'
import { percentiles, Report } from '../support/report.js'
import { SseLoad, type SseCall, type SseOutcome } from './sse-load.js'

/*
 * Clients of HTTP+SSE (SDK 1.x) behind a load balancer in strict round robin: what they post arrives at the replica
 * that has their stream, or at the other. Each of two replicas is killed (kill -9) in turn, and started again; then one
 * stands still for longer than its lease (SIGSTOP), and goes on.
 */
const { number } = scriptArguments('npx tsx test/replicas/http-sse.ts [--clients 40] [--think 300]')
const count = number('clients')
const thinkMs = number('think')
const STEADY_MS = 8000
const GONE_MS = 12_000
const PAUSE_MS = 10_000

const cluster = await startCluster({
  entry: 'test/replicas/counting-replica',
  environment: {
    RATE_LIMIT_TOOL_CALLS_PER_MINUTE: '0',
    OAUTH_REQUESTS_PER_MINUTE: '10000',
    SESSIONS_PER_OWNER: String(20 * count),
    SESSIONS_PER_PERSON: String(20 * count),
    STREAMS_PER_PERSON: String(2 * count),
    INSTANCES_PER_PERSON: String(2 * count)
  }
})
try {
  const report = new Report(
    `${count} clients of HTTP+SSE, two replicas: each is killed in turn and started again, then one pauses`
  )
  const logins = await Promise.all(['alice', 'bob', 'carol', 'dave'].map(name => logInAt(cluster.url, name)))
  const clients = Array.from({ length: count }, (_, index) => {
    const login = logins[index % logins.length]
    if (login === undefined) throw new Error('nobody has logged in')
    return new SseLoad(cluster.url, login, thinkMs)
  })
  const running = Promise.all(clients.map(client => client.run()))
  await delay(STEADY_MS)
  const before = clients.flatMap(({ calls }) => calls)
  const kills: number[] = []
  const untilGone: number[] = []
  for (const [index, replica] of cluster.replicas.entries()) {
    const killedAt = Date.now()
    kills.push(killedAt)
    await replica.stop('SIGKILL')
    await delay(1000)
    const ended = clients.filter(({ ends }) => (ends.at(-1) ?? 0) >= killedAt)
    await Promise.all(ended.map(async client => { untilGone.push(await waitUntilGone(client, killedAt)) }))
    await delay(Math.max(0, GONE_MS - (Date.now() - killedAt)))
    await cluster.restart(index)
    await delay(STEADY_MS)
  }
  const [stopped] = cluster.replicas
  const stoppedAt = Date.now()
  stopped?.child.kill('SIGSTOP')
  await delay(PAUSE_MS)
  stopped?.child.kill('SIGCONT')
  const pausedUntil = Date.now() + 1000
  await delay(STEADY_MS)
  for (const client of clients) client.stop()
  await running

  const calls = clients.flatMap(({ calls }) => calls)
  const of = (outcome: SseOutcome, among: readonly SseCall[] = calls) => among.filter(call => call.outcome === outcome)
  const runs = countRuns(cluster.runsFile)
  const ends = clients.flatMap(({ ends }) => ends)
  report.figure('calls', calls.length)
  report.figure('answered once', of('result').length)
  report.figure('ended with a stream whose replica was killed, or paused', of('ended with its stream').length)
  for (const [text, times] of countTexts([...of('refused'), ...of('error')])) report.figure(text, times)
  report.check(
    `before the first kill, all of ${before.length} were answered (${before.length - of('result', before).length} not)`,
    before.length > 0 && before.length === of('result', before).length
  )
  report.check(`0 lost (${of('LOST').length})`, of('LOST').length === 0)
  const doubled = clients.reduce((sum, client) => sum + client.doubled, 0)
  report.check(`0 doubled (${doubled})`, doubled === 0)
  const twice = [...runs.values()].filter(times => times > 1)
  report.check(`0 calls ran twice (${twice.length})`, twice.length === 0)
  const never = of('result').filter(({ call }) => runs.get(call) !== 1)
  report.check(`every result is of a call that ran once (${never.length} are not)`, never.length === 0)
  const denied = calls.filter(({ text }) => text.includes('was not processed') || text.includes('HTTP 404'))
  const deniedThatRan = denied.filter(({ call }) => runs.has(call))
  report.check(
    `of ${denied.length} calls whose client was told that they were not processed, 0 ran (${deniedThatRan.length})`,
    deniedThatRan.length === 0
  )
  const byPause = ends.filter(at => at >= stoppedAt && at < pausedUntil)
  report.figure('streams that ended when their replica went on after the pause', byPause.length)
  const bySelf = ends.filter(at =>
    !byPause.includes(at) && !kills.some(killedAt => at >= killedAt && at < killedAt + 1000)
  )
  report.check(`streams that ended: ${ends.length}; 0 of living replicas (${bySelf.length})`, bySelf.length === 0)
  report.check(`the sessions of dead streams are 404 (${untilGone.length})`, untilGone.length > 0)
  report.figure('from the kill to that 404', percentiles(untilGone))
  report.end()
} finally {
  await cluster.close()
}

/** Posts to the session whose stream was lost, until it is known to be over. @returns milliseconds since the kill */
async function waitUntilGone (client: SseLoad, killedAt: number): Promise<number> {
  const { lastEndpoint } = client
  if (lastEndpoint === undefined) throw new Error('it had no session')
  for (;;) {
    const status = await client.postTo(lastEndpoint).catch(() => 502)
    if (status === 404) return Date.now() - killedAt
    if (status !== 502 && status !== 503 && status !== 504) throw new Error(`a dead session gives ${status}`)
    await delay(200)
  }
}

/** How often each refusal came. */
function countTexts (calls: readonly SseCall[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { outcome, text } of calls) {
    const kind = `${outcome}: ${text.replace(/"request_id":"[^"]*"/, '').slice(0, 220)}`
    counts.set(kind, (counts.get(kind) ?? 0) + 1)
  }
  return counts
}
