import { setTimeout as delay } from 'node:timers/promises'
import { scriptArguments } from '../support/script-arguments.js'
import { startCluster } from './cluster.js'
import { countRuns } from './counting-server.js'
import { Load, openSessions } from './load.js'
import { loadBalancer } from './load-balancer.js'
import { logInAt } from '../support/raw-session.js'
import { readThrough } from './read-through.js'
import { percentiles, Report } from '../support/report.js'

/*
 * kill -9 of one of two replicas under load; `LOAD_BALANCER` names what stands before them.
 */
const { number } = scriptArguments('npx tsx test/replicas/failover.ts [--sessions 1000] [--think 2000]')
const count = number('sessions')
const thinkMs = number('think')
const CROSSED = 20

const cluster = await startCluster({
  entry: 'test/replicas/counting-replica',
  environment: {
    SESSIONS_PER_OWNER: String(count),
    SESSIONS_PER_PERSON: String(count),
    MAX_LIVE_INSTANCES: String(2 * count),
    OAUTH_REQUESTS_PER_MINUTE: '10000'
  }
})
try {
  const report = new Report(
    `kill -9 of one of two replicas behind ${loadBalancer}, ${count} sessions, a call of each every ${thinkMs} ms, ` +
      'a tenth of them streamed'
  )
  const [survivor, victim] = cluster.replicas
  if (survivor === undefined || victim === undefined) throw new Error('There are no two replicas.')
  const logins = await Promise.all(['alice', 'bob', 'carol', 'dave'].map(name => logInAt(cluster.url, name)))
  const sessions = await openSessions(cluster.url, logins, count)
  const load = new Load(cluster.url, { sessions, thinkMs })
  load.start()
  await delay(5000)

  // calls of the victim whose streams clients read through the survivor
  const crossed = await Promise.all(
    sessions.slice(0, CROSSED).map((session, index) =>
      readThrough(session, survivor.url, victim.url, { call: `crossed-${index}`, ms: 60_000, steps: 600 })
    )
  )

  const killedAt = Date.now()
  await victim.stop('SIGKILL')
  const crossedEnds = Promise.all(crossed.map(({ end }) => end))
  await delay(10_000)
  const errors = await crossedEnds
  await load.stop()
  const lost = await load.probe()

  const { calls } = load
  const interrupted = calls.filter(({ startedAt, endedAt, outcome }) =>
    startedAt <= killedAt && endedAt > killedAt && !(outcome?.end === 'result' && !outcome.resumed)
  )
  const after = calls.filter(({ startedAt }) => startedAt > killedAt)
  const failedAfter = after.filter(({ outcome }) => outcome?.end !== 'result')
  const unanswered = calls.filter(({ outcome }) => outcome === undefined || outcome.end === 'unanswered')
  const before = calls.filter(({ endedAt }) => endedAt <= killedAt)
  const sinceKill = (call: { endedAt: number }) => call.endedAt - killedAt

  report.figure('calls', calls.length)
  report.outcomes('ended before the kill', before)
  report.outcomes('interrupted by it', interrupted)
  report.outcomes('begun after it', after)
  report.check(
    `every call before the kill gave its result (${
      before.filter(({ outcome }) => outcome?.end !== 'result').length
    } did not)`,
    before.every(({ outcome }) => outcome?.end === 'result')
  )
  report.check(`0 of ${count} sessions lost (${lost.length})`, lost.length === 0)
  report.runs(countRuns(cluster.runsFile), calls)
  report.check(`every call has an answer or an explicit error (${unanswered.length} have not)`, unanswered.length === 0)
  report.check(
    `calls begun after the kill that failed: only on connections to the dead process (${failedAfter.length})`,
    failedAfter.every(call => sinceKill(call) < 1000)
  )
  report.figure('from the kill to the answer of an interrupted call', percentiles(interrupted.map(sinceKill)))
  report.figure(
    'the same, of those that were resumed',
    percentiles(
      interrupted.filter(({ outcome }) => outcome !== undefined && 'resumed' in outcome && outcome.resumed).map(
        sinceKill
      )
    )
  )
  const firstAfter = sessions.map(session =>
    after.find(call => call.session === session && call.outcome?.end === 'result')
  ).filter(call => call !== undefined)
  report.figure(
    'first call of a session after the kill takes',
    percentiles(firstAfter.filter(({ streamed }) => !streamed).map(({ startedAt, endedAt }) => endedAt - startedAt))
  )
  report.figure(
    `open streams of the dead replica's calls get their error (${CROSSED}, read through the other)`,
    percentiles(errors.map(({ at }) => at - killedAt))
  )
  report.check(
    `it is the error that says so (${errors.filter(({ error }) => error.includes('has ended')).length} of ${CROSSED})`,
    errors.every(({ error }) => error.includes('has ended'))
  )
  report.check('within 6 s', errors.every(({ at }) => at - killedAt < 6000))
  report.end()
} finally {
  await cluster.close()
}
