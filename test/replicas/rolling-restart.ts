import { setTimeout as delay } from 'node:timers/promises'
import { scriptArguments } from '../support/script-arguments.js'
import { startCluster } from './cluster.js'
import { countRuns } from './counting-server.js'
import { Listener } from './listener.js'
import { Load, openSessions } from './load.js'
import { comesBackSeconds, loadBalancer, turnsAwaySeconds } from './load-balancer.js'
import { logInAt } from '../support/raw-session.js'
import { percentiles, Report } from '../support/report.js'

/*
 * SIGTERM and a new start of each replica in turn, under load; `LOAD_BALANCER` names what stands before them.
 */
const { number } = scriptArguments(
  'npx tsx test/replicas/rolling-restart.ts [--rounds 3] [--sessions 200] [--think 400]'
)
const rounds = number('rounds')
const count = number('sessions')
const thinkMs = number('think')
const LISTENING = 20
// what an orchestrator calls minReadySeconds
const MIN_READY_MS = comesBackSeconds * 1000

const cluster = await startCluster({
  entry: 'test/replicas/counting-replica',
  environment: {
    SESSIONS_PER_OWNER: String(count + 10_000),
    SESSIONS_PER_PERSON: String(count + 10_000),
    OAUTH_REQUESTS_PER_MINUTE: '10000',
    SHUTDOWN_DELAY_SECONDS: String(turnsAwaySeconds)
  }
})
try {
  const report = new Report(
    `Rolling restart of two replicas behind ${loadBalancer}, ${rounds} rounds, ${count} sessions, ` +
      `a call of each every ${thinkMs} ms, a tenth of them streamed; sessions begin and end all the while`
  )
  const login = await logInAt(cluster.url)
  const sessions = await openSessions(cluster.url, [login], count)
  const load = new Load(cluster.url, { sessions, thinkMs })
  const streams = sessions.slice(0, LISTENING).map(session => new Listener(session, cluster.url))
  load.start()
  const churn = { running: true, begun: 0, failed: new Array<string>() }
  const churning = (async () => {
    for (; churn.running; churn.begun++) {
      await openSessions(cluster.url, [login], 1).then(([session]) => session?.delete(cluster.url), (error: Error) => {
        churn.failed.push(error.message)
      })
      await delay(50)
    }
  })()

  const stops: number[] = []
  const exits: Array<number | NodeJS.Signals | null> = []
  const began = Date.now()
  for (let round = 0; round < rounds; round++) {
    for (const [index, replica] of cluster.replicas.entries()) {
      await delay(MIN_READY_MS)
      const stoppedAt = Date.now()
      await replica.stop('SIGTERM')
      stops.push(Date.now() - stoppedAt)
      exits.push(replica.child.exitCode ?? replica.child.signalCode)
      await cluster.restart(index)
    }
  }
  const seconds = (Date.now() - began) / 1000
  await delay(MIN_READY_MS)
  await load.stop()
  churn.running = false
  await churning
  const lost = await load.probe()
  for (const stream of streams) stream.stop()

  const failed = load.calls.filter(({ outcome }) => outcome?.end !== 'result')
  report.figure('restarts', stops.length)
  report.figure('calls', `${load.calls.length}, ${Math.round(load.calls.length / seconds)} a second`)
  report.outcomes('they ended', load.calls)
  report.check(`0 failed calls (${failed.length})`, failed.length === 0)
  if (failed.length > 0) {
    for (const line of cluster.proxyErrors().filter(line => !line.includes('refused')).slice(0, 5)) {
      report.say(`    ${loadBalancer}: ${line}`)
    }
  }
  report.check(
    `0 of ${churn.begun} sessions that were begun meanwhile were refused (${churn.failed.length}${
      churn.failed.length === 0 ? '' : `: ${churn.failed[0]}`
    })`,
    churn.failed.length === 0
  )
  report.check(`0 of ${count} sessions lost (${lost.length})`, lost.length === 0)
  report.runs(countRuns(cluster.runsFile), load.calls)
  report.check(`the processes ended by themselves (${exits.join(' ')})`, exits.every(exit => exit === 0))
  report.check(
    `${LISTENING} GET streams came back each time (${Math.min(...streams.map(({ opened }) => opened))} to ${
      Math.max(...streams.map(({ opened }) => opened))
    } times; refused ${streams.reduce((sum, { refused }) => sum + refused, 0)} times)`,
    streams.every(({ opened }) => opened > 0)
  )
  report.figure('from SIGTERM to the end of the process', percentiles(stops))
  report.figure(
    'a call that is not streamed takes',
    percentiles(load.calls.filter(({ streamed }) => !streamed).map(({ startedAt, endedAt }) => endedAt - startedAt))
  )
  report.end()
} finally {
  await cluster.close()
}
