import t from 'tap'
import { ScriptableUpstream, type UpstreamAnswer } from '../../src/testing/index.js'
import { freePort } from '../support/free-port.js'
import { listen, listeningUpstream } from '../support/listening-upstream.js'
import { faults, inside } from './deployments.js'

const callback = 'http://localhost:5050'
const error = (status: number, error: string): UpstreamAnswer => ({ status, body: { error } })

/** What the token endpoint answers to a made-up code, and what the doctor says of it. */
const ANSWERS: ReadonlyArray<[answer: UpstreamAnswer, level: 'ok' | 'warning' | 'error', fix?: RegExp]> = [
  [error(400, 'invalid_grant'), 'ok'],
  // GitHub
  [error(200, 'bad_verification_code'), 'ok'],
  [error(200, 'incorrect_client_credentials'), 'error', /OAUTH_CLIENT_SECRET is wrong or has expired/],
  [error(401, 'invalid_client'), 'error', /OAUTH_CLIENT_SECRET is wrong or has expired/],
  [error(400, 'unauthorized_client'), 'error', /OAUTH_CLIENT_SECRET is wrong or has expired/],
  // Auth0, of a wrong secret
  [error(401, 'access_denied'), 'error', /OAUTH_CLIENT_SECRET is wrong or has expired/],
  [error(429, 'slow_down'), 'error', /has an outage.*Nothing needs to be changed/],
  [error(503, 'temporarily_unavailable'), 'error', /has an outage/],
  [{ status: 502, body: '<h1>Bad gateway</h1>' }, 'error', /has an outage/],
  [{ status: 200, body: '<h1>Hello</h1>' }, 'warning', /OAUTH_TOKEN_URL/]
]

t.test('what a made-up code shows', async t => {
  for (const [answer, level, fix] of ANSWERS) {
    const upstream = await listeningUpstream(t, { overrides: { token: () => answer } })
    upstream.clients.addByHand(callback, { authMethod: 'client_secret_basic' })
    const found = await inside({
      issuerUrl: new URL(upstream.issuer),
      scopes: ['openid', 'offline_access'],
      clientId: 'us',
      clientSecret: 'shh'
    })
    const findings = found.filter(({ check }) => check === 'upstream-token')
    t.match(findings, [{ level, ...fix && { fix } }], `${answer.status} ${JSON.stringify(answer.body)}`)
    t.same(faults(found), level === 'ok' ? [] : ['upstream-token'])
  }
})

t.test('an outage of the upstream is no reason to change its settings', async t => {
  const busy = () => ({ status: 503 })
  const { issuer } = await listeningUpstream(t, { overrides: { register: busy } })
  const scopes = ['openid', 'offline_access']
  t.match((await inside({ issuerUrl: new URL(issuer), scopes })).filter(({ level }) => level === 'error'), [
    { check: 'upstream-registration', fix: /has an outage/ }
  ])
  const upstream = await listeningUpstream(t, { overrides: { authorize: busy, token: busy } })
  upstream.clients.addByHand(callback, { authMethod: 'client_secret_basic' })
  const client = { clientId: 'us', clientSecret: 'shh' }
  const found = await inside({ issuerUrl: new URL(upstream.issuer), scopes, ...client })
  t.match(found.filter(({ level }) => level === 'error'), [
    { check: 'upstream-redirect', fix: /has an outage/ },
    { check: 'upstream-token', fix: /has an outage/ }
  ])
})

t.test('an upstream that browsers reach elsewhere', async t => {
  const issuer = 'https://login.example.test'
  const scopes = ['openid', 'offline_access']
  const upstream = new ScriptableUpstream({ origin: issuer })
  const internal = await listen(t, upstream, await freePort())
  const page = `${issuer}/authorize`
  const urls = { issuerUrl: new URL(issuer), internalUrl: new URL(internal) }
  const found = await inside({ ...urls, scopes })
  t.same(faults(found), [])
  t.match(found.filter(({ check }) => ['upstream-discovery', 'upstream-redirect'].includes(check)), [
    { says: `${issuer} describes itself, asked at ${internal}/` },
    { says: `the upstream takes ${callback}/oauth/callback, asked at ${internal}; browsers are sent to ${page}` }
  ])
  const ofInternal = { ...upstream.metadata(), issuer: internal }
  upstream.overrides['openid-configuration'] = () => ({ status: 200, body: ofInternal })
  t.match((await inside({ ...urls, scopes })).filter(({ level }) => level === 'error'), [
    { check: 'upstream-issuer', says: /calls itself http:.*OAUTH_INTERNAL_URL.*login\.example/, fix: /KC_HOSTNAME/ }
  ])
  const fix = new RegExp(`OAUTH_ISSUER_URL \\(${issuer}/\\).*OAUTH_INTERNAL_URL \\(${internal}/\\)`)
  upstream.overrides['openid-configuration'] = () => ({ status: 404 })
  t.match((await inside({ ...urls, scopes })).filter(({ level }) => level === 'error'), [
    { check: 'upstream-discovery', fix }
  ])
})
