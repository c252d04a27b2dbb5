import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { UpstreamOptions } from '../../src/oauth/options.js'
import type { AttemptsReport } from '../../src/oauth/login-attempts/report.js'
import { ScriptableUpstream, type UpstreamOverride } from '../../src/testing/index.js'
import { objectOf } from '../support/json.js'
import { journey, startService, type Service, type TestClient } from './test-client.js'

/** A line of the table in docs/oauth-flow.md. */
interface Line {
  kind: string
  responses: string[]
  told: { status: number, error: string }
  ends: boolean
  recorded: string
}

const ADMIN_TOKEN = 'the-token-of-the-operators'
const page = readFileSync(new URL('../../docs/oauth-flow.md', import.meta.url), 'utf8')
const LINES = (/<!-- table: refresh -->\n((?:\|.*\n)+)/.exec(page)?.[1] ?? '').trim().split('\n').slice(2).map(toLine)

function toLine (line: string): Line {
  const [kind = '', responses = '', told = '', login = '', recorded = ''] = line.split('|').slice(1, -1).map(cell =>
    cell.trim()
  )
  const [, status = '', error = ''] = /^(\d{3}) `(\w+)`$/.exec(told) ?? []
  if (!['ends', 'stays'].includes(login)) throw new Error(`${kind}: ${login}`)
  return {
    kind,
    responses: [...responses.matchAll(/`([^`]+)`/g)].map(([, response = '']) => response),
    told: { status: Number(status), error },
    ends: login === 'ends',
    recorded
  }
}

/** Responses that are no status with an OAuth error, or with a body of some type. */
const SPECIAL: Record<string, UpstreamOverride> = {
  'no connection': () => { throw new TypeError('fetch failed') },
  // longer than we wait; it keeps the process alive, which the time limit does not
  'no response': () => delay(2500, { status: 500 }),
  'cut off': async (_request, usual) => ({ ...await usual(), then: 'cut' }),
  '200 []': () => ({ status: 200, body: [] }),
  'no access token': () => ({ status: 200, body: { token_type: 'Bearer' } }),
  DPoP: async (_request, usual) => {
    const { status, body } = await usual()
    return { status, body: { ...objectOf(body), token_type: 'DPoP' } }
  }
}

function toOverride (response: string, upstream: ScriptableUpstream): UpstreamOverride {
  if (response === 'another person') {
    return async (_request, usual) => {
      const { status, body } = await usual()
      const { client_id: aud } = objectOf(upstream.asked('authorize')[0]?.parameters)
      const idToken = await upstream.sign({ sub: 'mallory', aud: String(aud) })
      return { status, body: { ...objectOf(body), id_token: idToken } }
    }
  }
  const special = SPECIAL[response]
  if (special !== undefined) return special
  const [, status, rest] = /^(\d{3})(?: (\S+))?$/.exec(response) ?? []
  if (status === undefined) throw new Error(`What is ${response}?`)
  if (rest === undefined) return () => ({ status: Number(status) })
  return rest.includes('/')
    ? () => ({ status: Number(status), headers: { 'content-type': rest }, body: '<h1>Sorry</h1>' })
    : () => ({ status: Number(status), body: { error: rest, error_description: 'AADSTS50076: more is needed' } })
}

/** Somebody is logged in, and every use refreshes their tokens upstream. */
async function loggedIn (t: Test, ours: Partial<UpstreamOptions> = {}): Promise<{
  upstream: ScriptableUpstream
  service: Service
  client: TestClient
}> {
  const upstream = new ScriptableUpstream({ expiresIn: 0 })
  const service = await startService(
    t,
    { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch, ...ours },
    { adminToken: ADMIN_TOKEN }
  )
  upstream.clients.addByHand(service.url, { authMethod: 'client_secret_basic' })
  return { upstream, service, client: (await journey(service)).client }
}

async function verdicts ({ app }: Service): Promise<string[]> {
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, accept: 'application/json' }
  const report = (await app.inject({ url: '/admin/attempts', headers })).json<AttemptsReport>()
  return report.attempts.filter(({ steps }) => steps.some(({ name }) => name === 'refresh at the login server'))
    .map(({ verdict: { outcome, text } }) => `${outcome}: ${text}`)
}

t.test('the table has every class', async t => {
  t.strictSame(LINES.map(({ kind }) => kind), [
    'the person must come back',
    'our registration there is bad',
    'our scopes are refused',
    'an outage',
    'nonsense'
  ])
})

for (const { kind, responses, told, ends, recorded } of LINES) {
  for (const [mode, ours] of [['dynamic', {}], ['static', { clientId: 'us', clientSecret: 'shh' }]] as const) {
    t.test(`${kind} (${mode})`, async t => {
      for (const response of responses) {
        const timeoutSeconds = response === 'no response' ? 1 : 10
        const { upstream, service, client } = await loggedIn(t, { timeoutSeconds, ...ours })
        upstream.overrides.token = toOverride(response, upstream)
        const { status, body, headers } = await client.refresh()
        t.strictSame({ status, error: body.error }, told, response)
        if (status === 503) t.match(headers.get('retry-after'), /^[1-9]\d*$/)
        t.equal(await client.status(), ends ? 401 : 200, `${response}: the access token`)
        t.match(await verdicts(service), [new RegExp(`^failed: .*${recorded}`)], response)
        delete upstream.overrides.token
        const asked = upstream.asked('token').length
        // the reuse of a refresh token, where the response was made up after the usual one, ends the login upstream
        if (ends) {
          t.match(await client.refresh(), { status: 400, body: { error: 'invalid_grant' } }, `${response}: later`)
          t.equal(upstream.asked('token').length, asked, 'nobody asks again')
        } else if (!['cut off', 'DPoP', 'another person'].includes(response)) {
          t.equal((await client.refresh()).status, 200, `${response}: later`)
        }
      }
    })
  }
}

t.test('the same when a tool asks for the upstream token', async t => {
  for (const { responses: [response = ''], ends, recorded, kind } of LINES) {
    const { upstream, service, client } = await loggedIn(t)
    upstream.overrides.token = toOverride(response, upstream)
    // where the login ends, the session ends with it
    await client.call('upstream_token').catch(() => {})
    t.equal(await client.status(), ends ? 401 : 200, kind)
    t.match(await verdicts(service), [new RegExp(`^failed: .*${recorded}`)], kind)
  }
})

t.test('a client that tries again and again is recorded once a minute', async t => {
  const { upstream, service, client } = await loggedIn(t)
  upstream.overrides.token = () => ({ status: 503 })
  for (let tries = 0; tries < 5; tries++) await client.refresh()
  upstream.overrides.token = () => ({ status: 401, body: { error: 'invalid_client' } })
  for (let tries = 0; tries < 5; tries++) await client.refresh()
  t.equal((await verdicts(service)).length, 2)
})
