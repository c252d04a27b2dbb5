import t from 'tap'
import * as z from 'zod'
import type { UpstreamAnswer } from '../../src/testing/index.js'
import { authorize, newTokens, refresh, register } from '../support/oauth-flow.js'
import { parseJson } from '../support/json.js'
import { listeningUpstream } from '../support/listening-upstream.js'
import { startService } from '../support/service.js'

const LogLine = z.object({
  level: z.number(),
  reqId: z.string().optional(),
  reason: z.string().optional(),
  msg: z.string()
})
const METRICS_TOKEN = 'a-token-of-the-scraper'
const [INFO, ERROR] = [30, 50]
const error = (status: number, error: string): UpstreamAnswer => ({ status, body: { error } })

/** A service that is registered by hand at an upstream whose token endpoint answers as `answers` say, in turn. */
async function startLogins (t: Parameters<typeof startService>[0], answers: UpstreamAnswer[] = []) {
  const lines: Array<z.output<typeof LogLine>> = []
  const upstream = await listeningUpstream(t, {
    overrides: { token: async (_request, usual) => answers.shift() ?? await usual() },
    expiresIn: 0
  })
  const service = await startService(
    t,
    {
      OAUTH_ISSUER_URL: upstream.issuer,
      OAUTH_CLIENT_ID: 'us',
      OAUTH_CLIENT_SECRET: 'shh',
      METRICS_TOKEN,
      LOG_LEVEL: 'info'
    },
    {},
    { logStream: { write (line) { lines.push(parseJson(line, LogLine)) } } }
  )
  upstream.clients.addByHand(service.url, { authMethod: 'client_secret_basic' })
  const target = { ...service, upstream }
  const logins = async () => {
    const headers = { authorization: `Bearer ${METRICS_TOKEN}` }
    const { body } = await service.app.inject({ url: '/metrics', headers })
    return body.split('\n').filter(line => line.startsWith('oauth_logins_total'))
  }
  return { target, client: await register(target), lines, logins }
}

/** What the token endpoint of the upstream answers, and how much of that is the operator's business. */
const FAILURES: ReadonlyArray<[answer: UpstreamAnswer, reason: string, level: number]> = [
  [error(401, 'invalid_client'), 'upstream_refused_client', ERROR],
  [error(400, 'unauthorized_client'), 'upstream_refused_client', ERROR],
  // Auth0's, of a wrong secret
  [error(401, 'access_denied'), 'upstream_refused_client', ERROR],
  [error(400, 'invalid_scope'), 'upstream_refused_scopes', ERROR],
  [{ status: 200, body: '<h1>Hello</h1>' }, 'upstream_answer_unusable', ERROR],
  [error(501, 'not_implemented'), 'upstream_needs_operator', ERROR],
  [error(503, 'temporarily_unavailable'), 'upstream_unreachable', INFO],
  [error(400, 'invalid_grant'), 'upstream_refused_code', INFO],
  [error(403, 'access_denied'), 'denied_upstream', INFO]
]

t.test('a login that fails', async t => {
  for (const [answer, reason, level] of FAILURES) {
    const { target, client, lines, logins } = await startLogins(t, [answer])
    const name = `${answer.status} ${JSON.stringify(answer.body)}`
    t.ok((await authorize(target, client)).get('error'), name)
    const [line, ...more] = lines.filter(({ msg }) => /^authorization failed/.test(msg))
    t.match(line, { level, reason }, name)
    t.same(more, [], 'one line')
    const request = lines.find(({ msg, reqId }) => msg === 'request' && reqId === line?.reqId)
    t.match(request, { route: undefined, level: INFO }, 'with the id of its request')
    t.ok(line?.reqId, 'which it has')
    t.same(await logins(), [`oauth_logins_total{outcome="failed",reason="${reason}"} 1`], name)
  }
})

t.test('logins that work, and a refresh with a secret that has expired meanwhile', async t => {
  const answers: UpstreamAnswer[] = []
  const { target, client, lines, logins } = await startLogins(t, answers)
  const { refreshToken } = await newTokens(target, client)
  t.same(await logins(), ['oauth_logins_total{outcome="completed",reason=""} 1'])
  answers.push(error(401, 'invalid_client'))
  t.not((await refresh(target, client, refreshToken)).status, 200)
  t.match(lines.filter(({ level }) => level === ERROR), [
    { reason: 'upstream_refused_client', reqId: /./, msg: /^OAuth request refused/ }
  ])
  t.equal((await logins()).length, 1, 'a refresh is no login')
})
