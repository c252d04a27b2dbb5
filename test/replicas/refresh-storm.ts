import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { scriptArguments } from '../support/script-arguments.js'
import { startCluster } from './cluster.js'
import { openSessions } from './load.js'
import { logInAt, type Login, type RawSession } from '../support/raw-session.js'
import { parseTokens, refresh, type Answer } from '../support/oauth-flow.js'
import { percentiles, Report } from '../support/report.js'

/*
 * One login, refreshed by many requests at once over two replicas, at an upstream that revokes it where a refresh token
 * is used twice.
 */
const { number } = scriptArguments('npx tsx test/replicas/refresh-storm.ts [--requests 50] [--rounds 3]')
const requests = number('requests')
const rounds = number('rounds')
const UPSTREAM_TOKEN_SECONDS = 10

let upstreamRefreshes = 0
const cluster = await startCluster({
  entry: 'test/replicas/counting-replica',
  environment: { OAUTH_REQUESTS_PER_MINUTE: '10000' },
  upstream: {
    rotateRefreshToken: () => {
      upstreamRefreshes++
      return true
    },
    ttl: {
      AccessToken: UPSTREAM_TOKEN_SECONDS,
      AuthorizationCode: 60,
      IdToken: 600,
      Interaction: 600,
      Session: 86_400,
      Grant: 86_400,
      RefreshToken: 86_400
    }
  }
})
const redis = new Redis(cluster.redis.port)

const refreshLogin = async ({ client, refreshToken }: Login): Promise<Answer> =>
  await refresh({ url: cluster.url, fetch }, client, refreshToken)

/** The upstream's access token, as a tool gets it. */
async function upstreamToken (session: RawSession): Promise<string> {
  const outcome = await session.call(cluster.url, 'upstream_token')
  return outcome.end === 'result' ? outcome.text : `${outcome.end}: ${JSON.stringify(outcome)}`
}

/** Does something many times at once, when the upstream's access token has just expired. */
async function storm<T> (work: () => Promise<T>): Promise<{ results: T[], tookMs: number[], refreshes: number }> {
  await delay((UPSTREAM_TOKEN_SECONDS + 0.5) * 1000)
  const before = upstreamRefreshes
  const tookMs: number[] = []
  const results = await Promise.all(Array.from({ length: requests }, async () => {
    const begun = Date.now()
    const result = await work()
    tookMs.push(Date.now() - begun)
    return result
  }))
  return { results, tookMs, refreshes: upstreamRefreshes - before }
}

/** Grants, and refresh tokens that are good for a refresh. */
async function family (): Promise<{ grants: number, refreshTokens: number }> {
  const keys = await redis.keys('mcp:grant:*')
  const rotated = await Promise.all(
    keys.filter(key => key.includes(':refresh:')).map(key => redis.hexists(key, 'rotatedAt'))
  )
  return { grants: keys.filter(key => key.endsWith('}')).length, refreshTokens: rotated.filter(is => is === 0).length }
}

try {
  const report = new Report(
    `${requests} requests at once need one login refreshed, over two replicas behind nginx; ${rounds} rounds each`
  )
  let login = await logInAt(cluster.url)
  for (let round = 1; round <= rounds; round++) {
    const { results, tookMs, refreshes } = await storm(() => refreshLogin(login))
    const good = results.filter(({ status }) => status === 200)
    const successors = new Set(good.map(({ body }) => JSON.stringify([body.access_token, body.refresh_token])))
    report.say(`  round ${round}: ${requests} x POST /token`)
    report.figure('took', percentiles(tookMs))
    report.check(`all are answered 200 (${good.length})`, good.length === requests)
    report.check(`all with the same successor (${successors.size})`, successors.size === 1)
    report.check(`one refresh upstream (${refreshes})`, refreshes === 1)
    const { grants, refreshTokens } = await family()
    report.check(
      `one token family (${grants}) with one refresh token that is good (${refreshTokens})`,
      grants === 1 && refreshTokens === 1
    )
    if (good[0] !== undefined) login = { ...login, ...parseTokens(good[0]) }
    const next = await refreshLogin(login)
    report.check(
      `a further refresh works (${next.status})`,
      next.status === 200 && next.body.refresh_token !== login.refreshToken
    )
    login = { ...login, ...parseTokens(next) }
  }

  for (let round = 1; round <= rounds; round++) {
    const sessions = await openSessions(cluster.url, [login], requests)
    const waiting = [...sessions]
    const { results, tookMs, refreshes } = await storm(async () => {
      const session = waiting.pop()
      return session === undefined ? 'no session' : await upstreamToken(session)
    })
    report.say(`  round ${round}: ${requests} x a tool that needs the upstream's access token, each in a session`)
    report.figure('took', percentiles(tookMs))
    report.check(
      `all get the same token (${new Set(results).size})`,
      new Set(results).size === 1 && !/^none$|: /.test(results[0] ?? 'none')
    )
    report.check(`one refresh upstream (${refreshes})`, refreshes === 1)
    const next = await refreshLogin(login)
    report.check(`a further refresh works (${next.status})`, next.status === 200)
    login = { ...login, ...parseTokens(next) }
  }

  const { results: [last] } = await storm(() => refreshLogin(login))
  report.check(`nobody is logged out: the upstream refreshes once more (${last?.status})`, last?.status === 200)
  report.end()
} finally {
  redis.disconnect()
  await cluster.close()
}
