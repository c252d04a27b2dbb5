import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import * as z from 'zod'
import { authorizationUrl, finish, isGood, newTokens, openBrowser, register } from '../support/oauth-flow.js'
import { freePort } from '../support/free-port.js'
import { parseJson } from '../support/json.js'
import { listeningUpstream } from '../support/listening-upstream.js'
import { redisTest } from '../support/redis-server.js'
import { startService } from '../support/service.js'

const LogLine = z.object({ level: z.number(), msg: z.string(), check: z.string().optional() })

/** A service at a login server, with what it logs. */
async function startAt (t: Test, issuer: string, environment: NodeJS.ProcessEnv = {}) {
  const lines: Array<z.output<typeof LogLine>> = []
  const service = await startService(t, { OAUTH_ISSUER_URL: issuer, LOG_LEVEL: 'info', ...environment }, {}, {
    logStream: { write (line) { lines.push(parseJson(line, LogLine)) } }
  })
  const readiness = async () => {
    const { statusCode, body } = await service.app.inject('/readyz')
    return { statusCode, ...z.record(z.string(), z.unknown()).parse(JSON.parse(body)) }
  }
  return { service, readiness, told: () => lines.filter(({ check }) => check === 'upstream') }
}

const WITHOUT_LOGINS = { statusCode: 200, status: 'ok', checks: { store: 'ok', upstream: 'failing' } }

t.test('a login server that cannot be reached at the start', async t => {
  const down = await listeningUpstream(t)
  const silent = await listeningUpstream(t)
  down.outage()
  silent.hold()
  const issuers = { down: down.issuer, silent: silent.issuer, 'not there': `http://localhost:${await freePort()}` }
  for (const [name, issuer] of Object.entries(issuers)) {
    const { readiness, service } = await startAt(t, issuer)
    const before = down.requests.length
    const begun = performance.now()
    for (const answer of await Promise.all(Array.from({ length: 30 }, readiness))) t.match(answer, WITHOUT_LOGINS, name)
    t.ok(performance.now() - begun < 5000, `${name}: no probe waits for it`)
    t.ok(down.requests.length - before <= 3, 'those who ask at once ask the login server once')
    t.match((await service.app.inject('/metrics')).body, /^mcp_check_ok\{check="upstream"\} 0$/m)
  }
  silent.restore()
})

redisTest('who has logged in is served while the login server is down', async (t, server) => {
  const upstream = await listeningUpstream(t)
  const port = await freePort()
  const environment = {
    REDIS_URL: server.url,
    ENCRYPTION_KEYS: `1:${randomBytes(32).toString('base64url')}`,
    PORT: String(port),
    PUBLIC_URL: `http://localhost:${port}`
  }
  const { service: { app } } = await startAt(t, upstream.issuer, environment)
  const target = { url: environment.PUBLIC_URL, upstream, fetch }
  const client = await register(target)
  const { accessToken } = await newTokens(target, client)
  await app.close()

  upstream.outage()
  const { readiness, told } = await startAt(t, upstream.issuer, environment)
  t.match(await readiness(), WITHOUT_LOGINS)
  t.ok(await isGood(target, accessToken), 'a token from before')
  const browser = openBrowser(target)
  const { url } = await finish(browser, await browser.open(authorizationUrl(target, client)))
  t.equal(url.searchParams.get('error'), 'temporarily_unavailable', 'the client hears that the login cannot begin')
  t.match(await readiness(), WITHOUT_LOGINS)
  t.match(told(), [{ level: 50, msg: 'upstream cannot be reached: what needs it fails, the rest works' }], 'said once')

  upstream.restore()
  while (told().length < 2) await readiness()
  await t.resolves(newTokens(target, client))
  t.match(told()[1], { level: 30, msg: 'upstream can be reached again' })
  t.match(await readiness(), { statusCode: 200, checks: { upstream: 'ok' } })
})

redisTest('without its store it is not ready', async (t, server) => {
  const { issuer } = await listeningUpstream(t)
  const keys = `1:${randomBytes(32).toString('base64url')}`
  const { readiness } = await startAt(t, issuer, { REDIS_URL: server.url, ENCRYPTION_KEYS: keys })
  t.match(await readiness(), { statusCode: 200, status: 'ok', checks: { store: 'ok', upstream: 'ok' } })
  await server.stop()
  t.match(await readiness(), { statusCode: 503, status: 'failing', checks: { store: 'failing', upstream: 'ok' } })
})
