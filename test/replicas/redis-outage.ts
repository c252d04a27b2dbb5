import { setTimeout as delay } from 'node:timers/promises'
import { scriptArguments } from '../support/script-arguments.js'
import { startCluster } from './cluster.js'
import { countRuns } from './counting-server.js'
import { Listener } from './listener.js'
import { kindOf, Load, openSessions, type Call } from './load.js'
import { logInAt, RawSession } from '../support/raw-session.js'
import { refresh } from '../support/oauth-flow.js'
import { percentiles, Report } from '../support/report.js'

/*
 * Redis is stopped for 10 s and started again, under load; then it is started without what it kept.
 */
const { number, flag } = scriptArguments(
  'npx tsx test/replicas/redis-outage.ts [--seconds 10] [--sessions 200] [--think 500] [--logs]'
)
const seconds = number('seconds')
const count = number('sessions')
const thinkMs = number('think')
const LISTENING = 20
const RECOVERY_MS = 5000
const SAY_MS = 500

const cluster = await startCluster({
  entry: 'test/replicas/counting-replica',
  environment: {
    SESSIONS_PER_OWNER: String(count + 100),
    SESSIONS_PER_PERSON: String(count + 100),
    OAUTH_REQUESTS_PER_MINUTE: '10000'
  },
  logs: flag('logs') ? 'inherit' : 'ignore'
})
const { url, replicas } = cluster
const [here, there] = replicas
if (here === undefined || there === undefined) throw new Error('There are no two replicas.')

try {
  await outage()
  await emptied()
} finally {
  await cluster.close()
}

/** Redis is away for a while, and comes back with what it kept. */
async function outage (): Promise<void> {
  const report = new Report(
    `Redis stopped for ${seconds} s, ${count} sessions over two replicas, a call of each every ${thinkMs} ms, ` +
      'a tenth of them streamed'
  )
  const [login, stranger] = await Promise.all([logInAt(url), logInAt(url, 'bob')])
  const sessions = await openSessions(url, [login], count)
  // begun on one replica, and never seen by the other
  const unseen = await RawSession.open(here?.url ?? '', login)
  const strangers = await RawSession.open(here?.url ?? '', stranger)
  const load = new Load(url, { sessions, thinkMs })
  const listeners = sessions.slice(0, LISTENING).map(session => new Listener(session, url))
  load.start()
  // what servers say of themselves, before, meanwhile and after: one replica says it, clients hear it at any
  const said = sessions.slice(0, LISTENING).map(() => new Array<string>())
  const quiet = new AbortController()
  const saying = Promise.all(sessions.slice(0, LISTENING).map(async (session, index) => {
    for (let count = 0; !quiet.signal.aborted; count++) {
      const outcome = await session.call(here?.url ?? '', 'say', { data: String(count) })
      if (outcome.end === 'result') said[index]?.push(String(count))
      await delay(SAY_MS)
    }
  }))
  await delay(3000)

  const stoppedAt = Date.now()
  await cluster.redis.stop()
  const notReady = Promise.all(replicas.map(replica => readiness(replica.url, 503)))
  const probes = new Map<string, Set<string>>()
  const probe = async (what: string, answer: Promise<{ status: number, headers: Headers }>) => {
    const { status, headers } = await answer
    const seen = probes.get(what) ?? new Set()
    probes.set(what, seen.add(`${status}${headers.has('retry-after') ? ' Retry-After' : ''}`))
  }
  while (Date.now() < stoppedAt + seconds * 1000) {
    await Promise.all([
      probe('initialize', initialize(url, login.accessToken)),
      probe(
        'a session that this replica has never seen',
        unseen.post(there?.url ?? '', unseen.toolCall('work', { call: 'unseen', ms: 0, steps: 0 }))
      ),
      probe(
        'a token that this replica has never seen',
        strangers.post(there?.url ?? '', strangers.toolCall('work', { call: 'stranger', ms: 0, steps: 0 }))
      ),
      probe('GET of a session never seen', unseen.get(there?.url ?? '')),
      probe('DELETE', unseen.delete(there?.url ?? '')),
      probe('DELETE where it lives', unseen.delete(here?.url ?? '')),
      probe(
        'refresh',
        form('/token', {
          grant_type: 'refresh_token',
          refresh_token: login.refreshToken,
          client_id: login.client.clientId
        })
      ),
      probe('revoke', form('/revoke', { token: stranger.accessToken, client_id: stranger.client.clientId })),
      probe(
        'register',
        fetch(`${url}/register`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: '{"redirect_uris":["http://localhost:3334/callback"]}'
        })
      )
    ])
    await delay(200)
  }
  const unreadyAt = await notReady
  const startedAt = Date.now()
  await cluster.redis.start()
  const upAt = Date.now()
  const [readyAt, served, streamed] = await Promise.all([
    Promise.all(replicas.map(replica => readiness(replica.url, 200))),
    firstResult(unseen, there?.url ?? '', 0),
    firstResult(unseen, there?.url ?? '', 1)
  ])
  await delay(RECOVERY_MS)
  quiet.abort()
  await saying
  await load.stop()
  const lost = await load.probe()
  for (const listener of listeners) listener.stop()

  const { calls } = load
  const meanwhile = calls.filter(({ startedAt: begun, endedAt }) => begun <= upAt && endedAt >= stoppedAt)
  const after = calls.filter(({ startedAt: begun }) => begun > upAt)
  report.figure('calls', calls.length)
  report.outcomes('calls that ran into the outage', meanwhile)
  report.outcomes('calls begun after it', after)
  for (const [what, answers] of probes) report.figure(what, [...answers].join(', '))
  const right = ({ outcome }: Call) =>
    outcome?.end === 'result' || (outcome?.end === 'http' && outcome.status === 503 && outcome.retryAfter !== null)
  report.check(
    `no wrong answer: a result, or 503 with Retry-After (${calls.filter(call => !right(call)).length} others)`,
    calls.every(right)
  )
  report.check(
    'the same, of everything that needs the store',
    [...probes.values()].every(answers => [...answers].every(answer => answer === '503 Retry-After'))
  )
  report.check(
    'calls on live sessions whose token is known went on',
    meanwhile.filter(({ outcome }) => outcome?.end === 'result').length > meanwhile.length / 2
  )
  const late = after.filter(({ startedAt: begun, outcome }) => outcome?.end !== 'result' && begun > upAt + 2000)
  report.check(`from 2 s after its return on, every call gave its result (${late.length} did not)`, late.length === 0)
  report.check(
    `0 of ${count} sessions lost (${lost.length}${lost.length === 0 ? '' : `: ${kindOf(lost[0]?.outcome)}`})`,
    lost.length === 0
  )
  report.runs(countRuns(cluster.runsFile), calls)
  report.check(
    `no replica crashed (${replicas.map(({ child }) => child.exitCode ?? child.signalCode ?? 'runs').join(', ')})`,
    replicas.every(({ child }) => child.exitCode === null && child.signalCode === null)
  )
  report.check(`${LISTENING} GET streams are open again, or still`, listeners.every(({ open }) => open))
  const heard = listeners.map((listener, index) => ({
    once: [...new Set(listener.heard)],
    all: listener.heard,
    said: said[index] ?? []
  }))
  const unheard = heard.flatMap(({ once, said }) => said.filter(data => !once.includes(data)))
  report.check(
    `what servers said meanwhile was heard: ${said.flat().length} messages to ${LISTENING} listeners ` +
      `(${unheard.length} were not)`,
    unheard.length === 0
  )
  report.check(
    'in order',
    heard.every(({ once }) => once.every((data, index) => index === 0 || Number(data) > Number(once[index - 1])))
  )
  report.figure(
    'heard twice (written when the connection broke, and again)',
    heard.reduce((sum, { all, once }) => sum + all.length - once.length, 0)
  )
  report.figure('readiness failed after', percentiles(unreadyAt.map(at => at - stoppedAt)))
  report.figure('Redis took to start', `${upAt - startedAt} ms`)
  report.figure('from its return to readiness', percentiles(readyAt.map(at => at - upAt)))
  report.figure('from its return to the first call of a session never seen', `${served - upAt} ms`)
  report.figure('the same, streamed', `${streamed - upAt} ms`)
  report.figure(
    'calls that ran into the outage took',
    percentiles(meanwhile.filter(({ streamed }) => !streamed).map(({ startedAt: begun, endedAt }) => endedAt - begun))
  )
  report.figure(
    'the same, streamed',
    percentiles(meanwhile.filter(({ streamed }) => streamed).map(({ startedAt: begun, endedAt }) => endedAt - begun))
  )
  report.end()
}

/** Redis comes back without what it kept. */
async function emptied (): Promise<void> {
  const report = new Report('Redis started again, empty')
  const login = await logInAt(url)
  const session = await RawSession.open(url, login)
  const listener = new Listener(session, url)
  await cluster.redis.stop()
  cluster.redis.forget()
  await cluster.redis.start()
  const upAt = Date.now()
  await Promise.all(replicas.map(replica => readiness(replica.url, 200)))
  const answers = new Set<string>()
  let refused = 0
  while (refused < 10 && Date.now() < upAt + 30_000) {
    const kind = kindOf(await session.call(url, 'work', { call: `empty-${answers.size}`, ms: 0, steps: 0 }))
    answers.add(kind)
    if (kind !== 'result') refused++
    await delay(100)
  }
  const refusedAt = Date.now()
  const refreshed = await refresh({ url, fetch }, login.client, login.refreshToken)
  const again = await logInAt(url)
  const renewed = await RawSession.open(url, again)
  const result = await renewed.call(url, 'work', { call: 'after', ms: 200, steps: 2 })
  listener.stop()
  report.figure('a call of before', [...answers].join(', then '))
  report.figure('refused after', `${refusedAt - upAt} ms`)
  report.figure('refresh', `${refreshed.status} ${refreshed.error}`)
  report.check(
    'a clean 401, which asks to log in',
    [...answers].every(answer => ['result', 'HTTP 401'].includes(answer)) && answers.has('HTTP 401')
  )
  report.check(
    'refresh is refused so that the client registers and logs in again',
    refreshed.status === 401 || refreshed.status === 400
  )
  report.check(`a new login works, and a new session (${kindOf(result)})`, result.end === 'result')
  report.check(
    'no replica crashed',
    replicas.every(({ child }) => child.exitCode === null && child.signalCode === null)
  )
  report.end()
}

/** When readiness answers so. */
async function readiness (replica: string, status: number): Promise<number> {
  for (;;) {
    const response = await fetch(`${replica}/readyz`)
    await response.text()
    if (response.status === status) return Date.now()
    await delay(20)
  }
}

/** When a call gave its result for the first time. */
async function firstResult (session: RawSession, replica: string, steps: number): Promise<number> {
  for (let attempt = 0; ; attempt++) {
    const outcome = await session.call(replica, 'work', { call: `recovery-${steps}-${attempt}`, ms: 0, steps })
    if (outcome.end === 'result') return Date.now()
    await delay(20)
  }
}

async function initialize (at: string, accessToken: string): Promise<Response> {
  return await fetch(`${at}/mcp`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${accessToken}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream'
    },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: 0,
      method: 'initialize',
      params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'outage', version: '1.0.0' } }
    })
  })
}

async function form (path: string, fields: Record<string, string>): Promise<Response> {
  return await fetch(url + path, { method: 'POST', body: new URLSearchParams(fields) })
}
