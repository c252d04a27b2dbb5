import { EventEmitter, once } from 'node:events'
import type { Test } from 'tap'
import { freePort } from '../support/free-port.js'
import { redisTest, type RedisServer } from '../support/redis-server.js'
import { readEvents } from '../support/raw-http.js'
import { logInAt, RawSession, type Outcome } from '../support/raw-session.js'
import { redeem, revoke } from '../support/oauth-flow.js'
import { ReplicaSet, type LocalReplica } from './replica-set.js'

/*
 * Replicas that leave lose nothing; what ends on one replica ends on all.
 */
redisTest('replicas that leave', async (t, server) => {
  // one after the other: a busy machine must not look like a store that is away
  await t.test('two replicas of one process', t => local(t, server))
  await t.test('SIGTERM', t => terminated(t, server))
})

async function local (t: Test, server: RedisServer): Promise<void> {
  const ports: [number, number] = [await freePort(), await freePort()]
  const set = await ReplicaSet.start(t, server.url, ports[0])
  const replicas: [LocalReplica, LocalReplica] = [await set.local(ports[0]), await set.local(ports[1])]
  await t.test('what ends on one ends on the other', t => ended(t, replicas))
  await t.test('a rolling restart under load loses no call', t => rolling(t, set, replicas))
}

async function ended (t: Test, [one, other]: [LocalReplica, LocalReplica]): Promise<void> {
  for (const end of ['revocation', 'replay of the code', 'DELETE'] as const) {
    const login = await logInAt(one.url, end)
    const session = await RawSession.open(one.url, login)
    const streams = await Promise.all([one, other].map(({ url }) => session.get(url)))
    const call = session.toolCall('work', { call: end, ms: 60_000, steps: 1000 })
    const answer = await session.post(one.url, call)
    const { value: first } = await readEvents(answer).next()
    const resumed = await session.get(other.url, first?.id)
    t.same([...streams, resumed].map(({ status }) => status), [200, 200, 200])

    if (end === 'revocation') {
      await revoke({ url: other.url, fetch }, login.client, login.refreshToken)
    } else if (end === 'DELETE') await session.delete(other.url)
    else t.equal((await redeem({ url: other.url, fetch }, login.client, login.code)).status, 400)
    for (const stream of [...streams, resumed]) await stream.text()
    t.pass(`${end}: the streams of both replicas have ended`)
    for (const { url } of [one, other]) {
      t.match(await session.call(url, 'work', { call: `after ${end}`, ms: 0, steps: 0 }), {
        end: 'http',
        status: end === 'DELETE' ? 404 : 401
      }, `${end}, at each`)
    }
  }
}

async function rolling (t: Test, set: ReplicaSet, replicas: [LocalReplica, LocalReplica]): Promise<void> {
  // a load balancer of one line: strict round robin; where nobody listens, the next one is asked
  let turn = 0
  const target = () => replicas[turn++ % 2 === 0 ? 0 : 1].url
  const refused = ({ end, ...outcome }: Outcome) =>
    end === 'connection' && 'message' in outcome && outcome.message.includes('ECONNREFUSED')
  const login = await logInAt(replicas[0].url, 'rolling')
  const sessions = await Promise.all(Array.from({ length: 12 }, () => RawSession.open(replicas[0].url, login)))

  let counter = 0
  const enough = new AbortController()
  const outcomes: Outcome[] = []
  const progress = new EventEmitter()
  const load = Promise.all(sessions.map(async (session, index) => {
    while (!enough.signal.aborted) {
      const call = `call-${counter++}`
      const input = index % 3 === 0 ? { call, ms: 300, steps: 3 } : { call, ms: 0, steps: 0 }
      let outcome = await session.call(target, 'work', input)
      while (refused(outcome)) outcome = await session.call(target, 'work', input)
      outcomes.push(outcome)
      progress.emit('call')
    }
  }))
  for (const index of [0, 1] as const) {
    const leaving = replicas[index]
    const left = leaving.app.leave()
    t.match(await (await fetch(`${leaving.url}/readyz`)).json(), { status: 'closing' }, 'readiness fails first')
    await left
    await leaving.app.close()
    replicas[index] = await set.local(leaving.port)
    // its turn comes again
    for (let calls = 0; calls < 50; calls++) await once(progress, 'call')
  }
  enough.abort()
  await load
  t.same(outcomes.filter(({ end }) => end !== 'result'), [], `${outcomes.length} calls, and each has its result`)
  for (let call = 0; call < counter; call++) {
    if (set.runs.get(`call-${call}`) !== 1) t.fail(`call-${call} ran ${set.runs.get(`call-${call}`)} times`)
  }
}

async function terminated (t: Test, server: RedisServer): Promise<void> {
  const port = await freePort()
  const set = await ReplicaSet.start(t, server.url, port)
  const [survivor, leaving] = await Promise.all([
    set.local(port),
    set.process({ SHUTDOWN_DELAY_SECONDS: '1', SHUTDOWN_SECONDS: '2', STREAM_AFTER_MS: '60000' })
  ])
  const login = await logInAt(survivor.url)
  const open = () => RawSession.open(leaving.url, login)
  const [listening, quick, endless, silent] = [await open(), await open(), await open(), await open()]
  const stream = await listening.get(leaving.url)
  const finishing = quick.call(leaving.url, 'work', { call: 'finishing', ms: 1000, steps: 0 })
  // longer than it gets: one with a stream to come back to, one without a word
  const message = endless.toolCall('work', { call: 'endless', ms: 60_000, steps: 1000 })
  const answer = await endless.post(leaving.url, message)
  const events = readEvents(answer)
  const { value: first } = await events.next()
  const given = silent.call(leaving.url, 'work', { call: 'silent', ms: 60_000, steps: 0 })
  while (set.runs.get('finishing') === undefined || set.runs.get('silent') === undefined) {
    await silent.call(leaving.url, 'work', { call: 'meanwhile', ms: 0, steps: 0 })
  }

  const exit = once(leaving.child, 'exit')
  leaving.child.kill('SIGTERM')
  while ((await fetch(`${leaving.url}/readyz`)).status !== 503);
  t.ok(await RawSession.open(leaving.url, login), 'it is not ready, and serves all the same: a new session, too')
  t.match(await stream.text(), /retry: 1000\n/, 'a stream ends with the time to come back after')
  t.equal((await listening.get(survivor.url)).status, 200, 'and is open again elsewhere')
  t.match(await finishing, { end: 'result' }, 'a call in flight finishes')
  t.match(await given, { end: 'error', code: -32000, message: /shutting down/ }, 'what takes too long is given up')
  t.same(await exit, [0, null])

  const rest = readEvents(await endless.get(survivor.url, first?.id))
  let last = ''
  for await (const { data } of rest) last = data
  t.match(
    JSON.parse(last),
    { id: message.id, error: { code: -32000, message: /shutting down/ } },
    'and who comes back for it elsewhere is told'
  )
  for (const session of [listening, quick, endless, silent]) {
    t.match(await session.call(survivor.url, 'work', { call: 'on', ms: 0, steps: 0 }), { end: 'result' })
  }
}
