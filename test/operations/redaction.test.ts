import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import { Browser, logIn } from '../support/browser.js'
import { freePort } from '../support/free-port.js'
import { runService } from '../support/service.js'
import { redisTest } from '../support/redis-server.js'
import {
  ask,
  askToRegister,
  authorizationUrl,
  bearer,
  callMcp,
  LOOPBACK_URI,
  newCode,
  openBrowser,
  post,
  redeem,
  refresh,
  revoke,
  parseTokens,
  type Client
} from '../support/oauth-flow.js'
import { request } from '../support/raw-http.js'
import { Secrets } from './secrets.js'

const secretOf = (name: string) => `${name}-${randomBytes(16).toString('hex')}`

/**
 * A whole life of the service, with all that can go wrong in it, at the most talkative level.
 * @returns its log, and its secrets
 */
async function live (t: Test, environment: Record<string, string>, isStatic: boolean, breakStore: () => Promise<void>) {
  const secrets = new Secrets()
  const clock = { ahead: 0, now: Date.now }
  t.intercept(Date, 'now', { value: () => clock.now() + clock.ahead })
  t.intercept(globalThis, 'fetch', { value: secrets.watch(fetch) })
  const configured = {
    ENCRYPTION_KEYS: randomBytes(32).toString('base64url'),
    METRICS_TOKEN: secretOf('metrics'),
    INTROSPECTION_SERVICES: secretOf('introspection'),
    PREREGISTERED_CLIENTS: secretOf('preregistered'),
    OAUTH_CLIENT_SECRET: secretOf('upstream')
  }
  for (const [name, value] of Object.entries(configured)) secrets.add(name, value)

  const log: string[] = []
  const port = await freePort()
  const upstreamClient = {
    client_id: 'us',
    client_secret: configured.OAUTH_CLIENT_SECRET,
    redirect_uris: [`http://localhost:${port}/oauth/callback`],
    grant_types: ['authorization_code', 'refresh_token']
  }
  const service = await runService(
    {
      PORT: String(port),
      LOG_LEVEL: 'trace',
      ENCRYPTION_KEYS: `one:${configured.ENCRYPTION_KEYS}`,
      METRICS_TOKEN: configured.METRICS_TOKEN,
      INTROSPECTION_SERVICES: `billing:${configured.INTROSPECTION_SERVICES}`,
      PREREGISTERED_CLIENTS: JSON.stringify([{
        clientId: 'known',
        clientSecret: configured.PREREGISTERED_CLIENTS,
        redirectUris: [LOOPBACK_URI]
      }]),
      ...isStatic && { OAUTH_CLIENT_ID: 'us', OAUTH_CLIENT_SECRET: configured.OAUTH_CLIENT_SECRET },
      ...environment
    },
    isStatic ? { clients: [upstreamClient] } : {},
    {
      logStream: {
        write: line => {
          log.push(line)
        }
      }
    }
  )
  t.teardown(() => service.close())
  const { url } = service

  const registration = await askToRegister(service, { client_name: 'Talkative', redirect_uris: [LOOPBACK_URI] })
  const client: Client = {
    clientId: registration.member('client_id') ?? '',
    clientSecret: registration.member('client_secret') ?? '',
    redirectUri: LOOPBACK_URI
  }
  const known: Client = { clientId: 'known', clientSecret: configured.PREREGISTERED_CLIENTS, redirectUri: LOOPBACK_URI }

  // who logs in, with the code taken twice and all that is wrong with it
  const code = await newCode(service, client)
  await redeem(service, client, code, { code_verifier: 'a-verifier-that-is-wrong-0123456789-0123456789' })
  await redeem(service, client, code, { client_secret: secretOf('wrong') })
  const first = parseTokens(await redeem(service, client, code))
  clock.ahead = 590_000
  const second = parseTokens(await refresh(service, client, first.refreshToken))
  await post(service, '/token', { grant_type: 'refresh_token', refresh_token: 'x' }, {
    authorization: `Basic ${Buffer.from(`known:${known.clientSecret}`).toString('base64')}`
  })
  await post(service, '/introspect', { token: second.accessToken }, {
    authorization: `Basic ${Buffer.from(`billing:${configured.INTROSPECTION_SERVICES}`).toString('base64')}`
  })
  await post(service, '/introspect', { token: second.accessToken }, {
    authorization: `Basic ${Buffer.from(`billing:${secretOf('wrong')}`).toString('base64')}`
  })
  await ask(service, `${url}/metrics`, { headers: bearer(configured.METRICS_TOKEN) })
  await ask(service, `${url}/metrics`, { headers: bearer(secretOf('wrong')) })

  // who calls, in both eras, and with tokens where they do not belong
  const initialized = await callMcp(service, bearer(second.accessToken))
  const session = { ...bearer(second.accessToken), 'mcp-session-id': initialized.headers.get('mcp-session-id') ?? '' }
  const call = async (name: string, input: object) =>
    await callMcp(service, session, { jsonrpc: '2.0', id: 2, method: 'tools/call', params: { name, arguments: input } })
  t.match((await call('whoami', {})).text, 'alice')
  await call('divide', { l: second.accessToken, r: 0 })
  t.match(await request(url, 'tools/call', { name: 'whoami' }, { token: second.accessToken }), { status: 200 })
  await ask(service, `${url}/mcp`, {
    method: 'POST',
    body: `{"access_token":"${second.accessToken}"`,
    headers: { ...session, 'content-type': 'application/json' }
  })
  for (const path of ['/mcp', '/sse', '/nothing', '/oauth/callback', '/authorize', '/messages', '/oauth/callback/x']) {
    await ask(
      service,
      `${url}${path}?${new URLSearchParams({
        access_token: second.accessToken,
        code,
        state: secretOf('state'),
        client_secret: known.clientSecret ?? ''
      })}`
    )
  }
  await callMcp(service, bearer(secretOf('token')))
  await callMcp(service, { authorization: `Bearer ${second.accessToken} ${second.refreshToken}` })
  await askToRegister(service, { redirect_uris: ['javascript:alert(1)'], client_secret: secretOf('client') })

  // an upstream that says no, and one that is gone
  const browser = openBrowser(service)
  const page = await browser.open(authorizationUrl(service, client))
  await browser.submit(page, {}, 'Allow access')
  const state =
    browser.visited.filter(({ href }) => href.startsWith(`${service.upstream.issuer}/auth?`)).at(-1)?.searchParams.get(
      'state'
    ) ?? ''
  await browser.open(
    `${url}/oauth/callback?${new URLSearchParams({ code: secretOf('code'), iss: service.upstream.issuer, state })}`
  )
  await logIn(
    openBrowser(service),
    authorizationUrl(service, client, { state: 'state-of-another-attempt', scope: 'more' })
  )
  const third = parseTokens(await redeem(service, known, await newCode(service, known)))
  await service.upstream.close()
  clock.ahead += 590_000
  await refresh(service, known, third.refreshToken)
  await logIn(new Browser(next => next.origin !== url), authorizationUrl(service, known))
  await refresh(service, client, first.refreshToken)
  await revoke(service, known, third.refreshToken)
  await callMcp(service, bearer(third.accessToken))

  // and a store that is gone
  await breakStore()
  await callMcp(service, bearer(second.accessToken))
  await refresh(service, client, second.refreshToken)
  await ask(service, `${url}/readyz`)
  await service.close()
  return { log, secrets }
}

function check (t: Test, { log, secrets }: Awaited<ReturnType<typeof live>>): void {
  const kinds = [
    'access_token',
    'refresh_token',
    'id_token',
    'code',
    'code_verifier',
    'state',
    'nonce',
    'client_secret',
    'transaction',
    'token',
    'cookie',
    'basic credentials',
    'bearer credentials'
  ]
  for (const kind of kinds) t.ok(secrets.found.has(kind), `a ${kind} went by`)
  t.ok(log.length > 50, 'there is a log')
  for (const line of log) {
    const leaked = secrets.in(line)
    if (leaked.length > 0) t.fail(`the log has a secret: ${leaked.join(', ')}`, { line })
  }
  const [[kind, values] = ['', new Set<string>()]] = [...secrets.found]
  t.strictSame(secrets.in(`{"msg":"${[...values][0]}"}`), [kind], 'a secret would be found')
}

redisTest(
  'the log of a whole life has no secret in it, with Redis and a client at the upstream for each of ours',
  async (t, server) => {
    const password = secretOf('redis')
    const admin = server.admin(t)
    await admin.config('SET', 'requirepass', password)
    admin.disconnect()
    const life = await live(t, { REDIS_URL: server.url.replace('//', `//default:${password}@`) }, false, () =>
      server.stop('SIGKILL'))
    life.secrets.add('REDIS_URL', password)
    t.ok(life.secrets.found.has('registration_access_token'), 'a registration_access_token went by')
    check(t, life)
  }
)

t.test('nor in memory, with one client at the upstream', async t => {
  check(t, await live(t, {}, true, async () => {}))
})
