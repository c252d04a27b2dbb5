import { setTimeout as delay } from 'node:timers/promises'
import { scriptArguments } from '../support/script-arguments.js'
import { startCluster } from './cluster.js'
import { countRuns } from './counting-server.js'
import { kindOf, openSessions } from './load.js'
import { readEvents } from '../support/raw-http.js'
import { logInAt } from '../support/raw-session.js'
import { readThrough } from './read-through.js'
import { percentiles, Report } from '../support/report.js'

/*
 * A replica that stands still for longer than its lease, and goes on (SIGSTOP, SIGCONT).
 */
const { number } = scriptArguments('npx tsx test/replicas/slow-replica.ts [--seconds 10] [--sessions 25]')
const seconds = number('seconds')
const count = number('sessions')
const STEADY_MS = 5000

const cluster = await startCluster({
  entry: 'test/replicas/counting-replica',
  environment: { SESSIONS_PER_OWNER: String(2 * count), SESSIONS_PER_PERSON: String(2 * count) }
})
try {
  const report = new Report(
    `One of two replicas stands still for ${seconds} s in the middle of ${
      2 * count
    } calls; the clients of a half went on to read at the other`
  )
  const [survivor, slow] = cluster.replicas
  if (survivor === undefined || slow === undefined) throw new Error('There are no two replicas.')
  const sessions = await openSessions(cluster.url, [await logInAt(cluster.url)], 2 * count)
  const [moved, stayed] = [sessions.slice(0, count), sessions.slice(count)]
  // who has just started takes nobody for dead
  await delay(STEADY_MS)
  const input = (call: string) => ({ call, ms: 4000, steps: 10 })
  const staying = stayed.map((session, index) => session.call(slow.url, 'work', input(`stayed-${index}`)))
  const crossed = await Promise.all(
    moved.map(async (session, index) => ({
      session,
      ...await readThrough(session, survivor.url, slow.url, input(`moved-${index}`))
    }))
  )

  const stoppedAt = Date.now()
  slow.child.kill('SIGSTOP')
  const ends = Promise.all(crossed.map(({ end }) => end))
  await delay(seconds * 1000)
  slow.child.kill('SIGCONT')
  const wokenAt = Date.now()
  const outcomes = await Promise.all(staying)
  const resultsAt = Date.now()
  const errors = await ends

  // what the slow replica wrote of the others came before
  const answers = await Promise.all(
    crossed.flatMap(({ session, id, eventId }) =>
      [survivor, slow].map(async ({ url }) => {
        const found = []
        for await (const { data } of readEvents(await session.get(url, eventId))) {
          if (data.includes(`"id":${id}`)) found.push(data)
        }
        return found
      })
    )
  )
  const later = await Promise.all(
    sessions.flatMap(session =>
      [survivor, slow].map(({ url }) =>
        session.call(url, 'work', { call: `later-${session.sessionId}-${url}`, ms: 0, steps: 0 })
      )
    )
  )
  const runs = countRuns(cluster.runsFile)

  report.check(
    `who went on to the other replica got the error that says so (${
      errors.filter(({ error }) => error.includes('has ended')).length
    } of ${count})`,
    errors.every(({ error }) => error.includes('has ended'))
  )
  report.figure('after', percentiles(errors.map(({ at }) => at - stoppedAt)))
  report.check(
    `and it is the one answer that their streams have, at both replicas (${
      answers.filter(found => found.length === 1 && found[0]?.includes('has ended') === true).length
    } of ${2 * count})`,
    answers.every(found => found.length === 1 && found[0]?.includes('has ended') === true)
  )
  report.check(
    `who stayed got the result (${outcomes.filter(({ end }) => end === 'result').length} of ${count}; ${
      [...new Set(outcomes.map(kindOf))].join(', ')
    })`,
    outcomes.every(({ end }) => end === 'result')
  )
  report.figure('the last of them, after it went on', `${resultsAt - wokenAt} ms`)
  report.check(
    `0 calls ran twice (${[...runs.values()].filter(times => times > 1).length})`,
    [...runs.values()].every(times => times === 1)
  )
  report.check(
    `0 of ${2 * count} sessions lost, at either replica (${later.filter(({ end }) => end !== 'result').length})`,
    later.every(({ end }) => end === 'result')
  )
  report.end()
} finally {
  await cluster.close()
}
