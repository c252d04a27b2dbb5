import { Redis } from 'ioredis'
import { scriptArguments } from '../support/script-arguments.js'
import { startCluster } from './cluster.js'
import { readEvents } from '../support/raw-http.js'
import { logInAt, RawSession } from '../support/raw-session.js'
import { redeem, revoke } from '../support/oauth-flow.js'
import { percentiles, Report } from '../support/report.js'

/*
 * How soon a revoked token, an ended grant and a deleted session stop on every replica, open streams included; then
 * with the connections cut that replicas hear each other by.
 */
const { number } = scriptArguments('npx tsx test/replicas/endings.ts [--times 20]')
const times = number('times')
const ENDINGS = ['a token is revoked', 'a grant ends (its code is replayed)', 'a session is deleted'] as const
const WITHIN_MS = 1000

const cluster = await startCluster({
  entry: 'test/replicas/counting-replica',
  environment: { OAUTH_REQUESTS_PER_MINUTE: '10000' }
})
const redis = new Redis(cluster.redis.port, '127.0.0.1')
const [one, other] = cluster.replicas
if (one === undefined || other === undefined) throw new Error('There are no two replicas.')
const urls = [one.url, other.url] as const

try {
  for (const deaf of [false, true]) {
    const report = new Report(
      `What ends on one of two replicas ends on both, ${times} times each${
        deaf ? '; the connections that they hear each other by are cut at that moment' : ''
      }`
    )
    for (const ending of ENDINGS) {
      const took: number[] = []
      let [running, answered] = [0, 0]
      for (let time = 0; time < times; time++) {
        const { streamsMs, stillRuns, stillAnswered } = await end(ending, `${ending} ${time} ${deaf}`, deaf)
        took.push(streamsMs)
        running += stillRuns
        answered += stillAnswered
      }
      report.figure(`${ending}: open streams of both have ended after`, percentiles(took))
      report.check(`  all of them within ${WITHIN_MS} ms`, took.every(ms => ms < WITHIN_MS))
      report.check(`  from then on every request is refused, at both (${answered} were not)`, answered === 0)
      report.check(`  and the call that ran has ended (${running} have not)`, running === 0)
    }
    report.end()
  }
} finally {
  redis.disconnect()
  await cluster.close()
}

/**
 * Ends something while streams are open at both replicas: standalone ones, and one of a call that runs at the first.
 */
async function end (
  ending: typeof ENDINGS[number],
  name: string,
  deaf: boolean
): Promise<{ streamsMs: number, stillRuns: number, stillAnswered: number }> {
  const login = await logInAt(cluster.url)
  const session = await RawSession.open(urls[0], login)
  const call = session.toolCall('work', { call: name, ms: 60_000, steps: 100 })
  const answer = await session.post(urls[0], call)
  const { value: first } = await readEvents(answer).next()
  const streams = await Promise.all([session.get(urls[0]), session.get(urls[1]), session.get(urls[1], first?.id)])
  if (streams.some(({ status }) => status !== 200)) {
    throw new Error(`streams: ${streams.map(({ status }) => status).join(' ')}`)
  }

  if (deaf) await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
  const begun = performance.now()
  if (ending === ENDINGS[0]) {
    await revoke({ url: urls[1], fetch }, login.client, login.accessToken)
  } else if (ending === ENDINGS[1]) await redeem({ url: urls[1], fetch }, login.client, login.code)
  else await session.delete(urls[1])
  await Promise.all(streams.map(async stream => await stream.text()))
  const streamsMs = performance.now() - begun
  const refusals = await Promise.all(
    urls.map(url => session.call(url, 'work', { call: `after ${name}`, ms: 0, steps: 0 }))
  )
  // it is over where its stream is
  const rest = await session.get(urls[0], first?.id)
  return {
    streamsMs,
    stillRuns: rest.status === 200 ? 1 : 0,
    stillAnswered: refusals.filter(({ end }) => end !== 'http').length
  }
}
