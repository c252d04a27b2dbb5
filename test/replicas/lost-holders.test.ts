import type { Test } from 'tap'
import { isAlive, until } from '../hosted/stdio.js'
import { freePort } from '../support/free-port.js'
import { logInAt, RawSession } from '../support/raw-session.js'
import { redisTest, type RedisServer } from '../support/redis-server.js'
import { hostedNotes } from './hosted-notes.js'
import { ReplicaSet } from './replica-set.js'

/* Three replicas that host a program, without sticky sessions, and kill -9 of the one where a session runs. */
redisTest('the replica that has the process of a session is killed', async (t, server) => {
  t.jobs = 2
  await Promise.all([
    t.test('it may be started again', { buffered: true }, t => killed(t, server, true)),
    t.test('it may not', { buffered: true }, t => killed(t, server, false))
  ])
})

async function killed (t: Test, server: RedisServer, restart: boolean): Promise<void> {
  const port = await freePort()
  const environment = { RESTART: String(restart), STREAM_AFTER_MS: '500' }
  const replicas = await ReplicaSet.start(t, server.url, port, environment)
  const start = () => replicas.process({}, 'test/replicas/hosting-replica')
  const [one, two, holder] = await Promise.all([replicas.local(port, hostedNotes(restart)), start(), start()])
  const session = await RawSession.open(holder.url, await logInAt(one.url))

  let turn = 0
  const inTurn = () => [one, two, holder][turn++ % 3]?.url ?? ''
  const notes = []
  for (let note = 1; note <= 9; note++) {
    notes.push(`note ${note}`)
    const outcome = await session.call(inTurn, 'note', { text: `note ${note}` })
    t.match(outcome, { end: 'result', text: JSON.stringify(notes) }, `note ${note}: one process`)
  }
  const pid = await pidOf(session, inTurn)
  // one that its client knows as a stream, and one that has said nothing yet
  const streamed = session.call(one.url, 'hang')
  await until(() => one.app.mcpSessions.counts.streams === 1)
  const quiet = session.call(two.url, 'hang')
  await session.call(two.url, 'pid')

  await holder.stop('SIGKILL')
  const after = await Promise.all([one, two, one, two].map(({ url }) => session.call(url, 'pid')))
  // who reads may learn of the end of the session first
  const why = restart ? /has ended\. The request was not run again/ : /has ended/
  const ended = { end: 'error', code: -32000, message: why }
  t.match(await streamed, ended, 'a running call ends with an error that says so')
  t.match(await quiet, ended, 'and so does another')
  await until(() => !isAlive(pid))
  if (restart) {
    const pids = new Set(after.map(outcome => outcome.end === 'result' ? outcome.text : JSON.stringify(outcome)))
    t.equal(pids.size, 1, `the session continues, with one process: ${[...pids].join()}`)
    t.notOk(pids.has(String(pid)), 'which is another')
    t.match(await session.call(two.url, 'note', { text: 'new' }), { text: '["new"]' })
    t.match(await session.call(one.url, 'note', { text: 'newer' }), { text: '["new","newer"]' }, 'for every replica')
  } else {
    for (const outcome of after) t.match(outcome, { end: 'http', status: 404, body: /Initialize a new one/ })
    t.ok(after.some(outcome => 'body' in outcome && outcome.body.includes('the process that it had has ended')))
    for (const { url } of [one, two]) t.match(await session.call(url, 'pid'), { status: 404 }, 'and so it stays')
  }
}

async function pidOf (session: RawSession, url: () => string): Promise<number> {
  const outcome = await session.call(url, 'pid')
  if (outcome.end !== 'result') throw new Error(JSON.stringify(outcome))
  return Number(outcome.text)
}
