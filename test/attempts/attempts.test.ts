import t, { type Test } from 'tap'
import type { BrokerModeOptions } from '../../src/service/plugin-options.js'
import type { AttemptsReport } from '../../src/oauth/login-attempts/report.js'
import { hashSecret } from '../../src/oauth/secrets.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { ScriptableUpstream } from '../../src/testing/index.js'
import {
  askToRegister,
  authorizationUrl,
  authorize,
  bearer,
  callMcp,
  newCode,
  openBrowser,
  redeem,
  register,
  STATE,
  parseTokens,
  VERIFIER,
  WEB_URI,
  type Client
} from '../support/oauth-flow.js'
import { agree, embed, type Target } from '../support/target.js'
import { clock } from '../support/clock.js'

const ADMIN_TOKEN = 'the-token-of-the-operators'

interface Setting {
  target: Target
  upstream: ScriptableUpstream
  forward: (seconds: number) => void
}

/** The service before an upstream that does as the test says, with time that passes as the test says. */
async function start (t: Test, options: Partial<BrokerModeOptions> = {}): Promise<Setting> {
  const { forward } = clock(t)
  const upstream = new ScriptableUpstream()
  const target = await embed(t, { adminToken: ADMIN_TOKEN, ...options }, upstream)
  return { target, upstream, forward }
}

async function reportOf ({ app }: Target): Promise<AttemptsReport> {
  const answer = await app.inject({
    url: '/admin/attempts',
    headers: { authorization: `Bearer ${ADMIN_TOKEN}`, accept: 'application/json' }
  })
  if (answer.statusCode !== 200) throw new Error(`${answer.statusCode}: ${answer.body}`)
  return answer.json()
}

/** The last attempt: its steps as `✓ name` or `✗ name`, and the verdict in one line. */
async function last (
  target: Target
): Promise<{ steps: string[], verdict: string, client: AttemptsReport['attempts'][number]['client'], count: number }> {
  const { attempts } = await reportOf(target)
  const [attempt] = attempts
  if (attempt === undefined) throw new Error('There is no attempt.')
  const { outcome, text, advice = '' } = attempt.verdict
  return {
    steps: attempt.steps.map(({ ok, name }) => `${ok ? '✓' : '✗'} ${name}`),
    verdict: `${outcome}: ${text} ${advice}`,
    client: attempt.client,
    count: attempts.length
  }
}

const UP_TO_UPSTREAM = ['✓ registration', '✓ authorize', '✓ consent', '✓ sent to the login server']
const UP_TO_CODE = [...UP_TO_UPSTREAM, '✓ callback']
const UP_TO_TOKENS = [...UP_TO_CODE, '✓ token']

t.test('a login that goes well, and one that goes no further at each step', async t => {
  const { target, forward } = await start(t)
  const client = await register(target)
  t.match(await last(target), { steps: ['✓ registration'], verdict: /^waiting: The client has registered/ })
  forward(601)
  t.match(await last(target), { verdict: /^failed: The client registered and never sent anybody to log in/ })

  const code = await newCode(target, client)
  t.match(await last(target), {
    steps: UP_TO_CODE,
    verdict: /^waiting:/,
    client: { name: 'Test client', id: client.clientId, kind: 'registered dynamically' }
  })
  forward(61)
  t.match(await last(target), { verdict: /^failed: The client never came back with the code/ })
  t.equal((await redeem(target, client, code)).error, 'invalid_grant')
  t.match(await last(target), {
    steps: [...UP_TO_CODE, '✗ token'],
    verdict: /^failed: Token request with a code that is unknown or has expired/,
    count: 1
  }, 'a code that is forgotten still leads to its login')

  const tokens = parseTokens(await redeem(target, client, await newCode(target, client)))
  t.match(
    await last(target),
    { steps: UP_TO_TOKENS.slice(1), verdict: /^waiting:/, count: 2 },
    'the registration belongs to the first login'
  )
  forward(61)
  t.match(await last(target), { verdict: /^failed: The client got its tokens and never called/ })
  for (let call = 0; call < 3; call++) {
    t.equal((await callMcp(target, bearer(tokens.accessToken))).status, 200)
    forward(6)
  }
  t.match(await last(target), { steps: [...UP_TO_TOKENS, '✓ first call'].slice(1), verdict: /^good: All is well/ })
  t.strictSame((await last(target)).steps.length, 6, 'later calls are not written down')

  await openBrowser(target).open(authorizationUrl(target, client))
  t.match(await last(target), { steps: ['✓ authorize'], verdict: /^waiting: A person is asked for consent/ })
  forward(601)
  t.match(await last(target), { verdict: /^failed: The person never answered the consent page/ })

  const { state, cookie } = await agree(target, client)
  t.match(await last(target), { steps: UP_TO_UPSTREAM.slice(1), verdict: /^waiting: A person is at the login server/ })
  forward(601)
  const gone = await last(target)
  t.match(gone.verdict, /^failed: The person did not come back from the login server/)
  t.ok(gone.verdict.includes(`Is ${target.url}/oauth/callback registered there`))
  await target.app.inject({ url: `/oauth/callback?state=${state}&code=x`, headers: { cookie } })
  t.match(await last(target), {
    steps: [...UP_TO_UPSTREAM, '✗ callback'].slice(1),
    verdict: /^failed: The person came back from the login server too late/
  })
})

t.test('refusals of the client and of the person', async t => {
  const { target } = await start(t, {
    clients: [{ clientId: 'fixed', clientSecret: 'right', clientName: 'Fixed', redirectUris: [WEB_URI] }]
  })
  const fails = async (steps: string[], verdict: RegExp, what: string) => {
    const found = await last(target)
    t.strictSame(found.steps, steps, what)
    t.match(found.verdict, verdict, what)
  }
  await askToRegister(target, { client_name: 'Bad\u202e\u2028', redirect_uris: ['http://app.example/callback'] })
  await fails(
    ['✗ registration'],
    /^failed: The registration was refused: The redirect URI http:\/\/app.example\/callback must use https/,
    'registration'
  )
  t.equal((await last(target)).client.name, 'Bad', 'a name is what it looks like')
  await askToRegister(target, { client_name: 'Bad\u001b[31m', redirect_uris: [WEB_URI] })
  t.equal((await last(target)).client.name, 'Bad[31m', 'and steers no terminal')

  await openBrowser(target).open(authorizationUrl(target, { clientId: 'nobody', redirectUri: WEB_URI }))
  await fails(['✗ authorize'], /^failed: The client is unknown here.*add it again/, 'unknown client')

  const client = await register(target, WEB_URI)
  await openBrowser(target).open(authorizationUrl(target, client, { redirect_uri: `${WEB_URI}2?secret=1` }))
  await fails(
    ['✓ registration', '✗ authorize'],
    /^failed: The redirect_uri is not one that the client registered \(it is https:\/\/app.example\/callback2; registered: https:\/\/app.example\/callback\)/,
    'redirect URI'
  )

  await openBrowser(target).open(authorizationUrl(target, client, { code_challenge: undefined }))
  await fails(['✗ authorize'], /^failed: The authorization request was refused: PKCE is required/, 'no PKCE')

  const browser = openBrowser(target)
  await browser.submit(await browser.open(authorizationUrl(target, client)), {}, 'Deny')
  await fails(['✓ authorize', '✗ consent'], /^failed: The person denied access/, 'denied')

  const { state, cookie } = await agree(target, client)
  await target.app.inject({ url: `/oauth/callback?state=${state}&code=x` })
  await fails(
    [...UP_TO_UPSTREAM, '✗ callback'].slice(1),
    /^failed: The response came from another browser.*cookies/,
    'another browser'
  )
  await target.app.inject({ url: '/oauth/callback?state=unknown&code=x', headers: { cookie } })
  await target.app.inject({ url: '/oauth/callback?state=unknown-too&code=x', headers: { cookie } })
  await fails(
    ['✗ callback', '✗ callback'],
    /^failed: The person came back.*REDIS_URL/,
    'of no attempt that is known, however often'
  )

  const redeems = async (parameters: Record<string, string | undefined>, verdict: RegExp, as: Client = client) => {
    const code = await newCode(target, client)
    await redeem(target, as, code, parameters)
    await fails([...UP_TO_CODE, '✗ token'].slice(1), verdict, String(verdict))
  }
  await redeems({ code_verifier: VERIFIER.toLowerCase() }, /^failed: Token request with a wrong verifier/)
  await redeems({ code_verifier: undefined }, /^failed: The token request was refused: The code_verifier is missing/)
  await redeems({ redirect_uri: `${WEB_URI}2` }, /^failed: Token request with another redirect_uri/)
  await redeems({ resource: `${target.url}/sse` }, /^failed: Token request for another resource/)
  await redeems({}, /^failed: Token request with the code of another client/, await register(target, WEB_URI))
  await redeems({}, /^failed: The client is unknown here/, { ...client, clientId: 'nobody' })
  await redeems({}, /^failed: Token request with a wrong client secret/, {
    clientId: 'fixed',
    clientSecret: 'wrong',
    redirectUri: WEB_URI
  })

  const code = await newCode(target, client)
  await redeem(target, client, code)
  await redeem(target, client, code)
  await fails([...UP_TO_TOKENS, '✗ token'].slice(1), /^failed: The code was used twice/, 'twice')

  const again = await newCode(target, client)
  await redeem(target, client, again, { code_verifier: VERIFIER.toLowerCase() })
  const { accessToken } = parseTokens(await redeem(target, client, again))
  await callMcp(target, bearer(accessToken))
  await fails([...UP_TO_CODE, '✗ token', '✓ token', '✓ first call'].slice(1), /^good/, 'what was mended')
})

t.test('refusals of the upstream and of this service', async t => {
  const { target, upstream } = await start(t, {
    authorizeGrant: ({ claims }) => claims.sub === 'mallory' ? { allow: false } : { allow: true }
  })
  const client = await register(target)
  const comesBack = async (verdict: RegExp, as = 'alice') => {
    await authorize(target, client, { as })
    const found = await last(target)
    t.strictSame(found.steps.slice(-4), [...UP_TO_UPSTREAM.slice(1), '✗ callback'], String(verdict))
    t.match(found.verdict, verdict)
  }
  upstream.overrides.authorize = request => upstream.redirect(request, { error: 'access_denied' })
  await comesBack(/^failed: The login server refused, or the person cancelled there/)
  upstream.overrides.authorize = request => upstream.redirect(request, { error: 'invalid_scope' })
  await comesBack(/^failed: The login server refused the scopes.*OAUTH_SCOPES/)
  delete upstream.overrides.authorize
  await comesBack(/^failed: This service refused the person: authorizeGrant/, 'mallory')
  upstream.overrides.token = () => ({
    status: 401,
    body: { error: 'invalid_client', error_description: 'no such secret' }
  })
  await comesBack(
    /^failed: The login server refused this service \(invalid_client: no such secret\).*OAUTH_CLIENT_SECRET/
  )
  upstream.overrides.token = () => ({ status: 400, body: { error: 'invalid_grant' } })
  await comesBack(/^failed: The login server rejected its own code as invalid/)
  upstream.overrides.token = () => ({ status: 503 })
  await comesBack(/^failed: The login server could not be reached/)
  upstream.overrides.token = () => ({ status: 200, body: 'nothing' })
  await comesBack(/^failed: The login server gave a response that cannot be used/)

  upstream.overrides.register = () => ({ status: 403, body: { error: 'access_denied' } })
  await agree(target, await register(target)).catch(() => {})
  t.match(await last(target), {
    steps: ['✓ registration', '✓ authorize', '✓ consent', '✗ sent to the login server'],
    verdict: /^failed: The login server did not register this service.*OAUTH_CLIENT_ID/
  })
})

t.test('a token for another address of this service', async t => {
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  const { target: before, upstream } = await start(t, { stores })
  const now = await embed(t, { adminToken: ADMIN_TOKEN, stores, publicUrl: 'http://localhost:5060' }, upstream)
  const client = await register(before)
  const { accessToken } = parseTokens(await redeem(before, client, await newCode(before, client)))
  t.equal((await callMcp(now, bearer(accessToken))).status, 401)
  t.match(await last(now), {
    steps: [...UP_TO_TOKENS, '✗ first call'],
    verdict: /^failed: The first call was refused: its token is for another resource.*PUBLIC_URL/
  })
})

t.test('programs that do not get as far as a login', async t => {
  const { target, forward } = await start(t)
  const ask = async (userAgent: string, ...urls: string[]) => {
    for (const url of urls) {
      await target.app.inject({
        url,
        headers: { 'user-agent': userAgent, ...url === '/mcp?with' && bearer('unknown') }
      })
    }
  }
  const [resource, server] = ['/.well-known/oauth-protected-resource/mcp', '/.well-known/oauth-authorization-server']
  await ask('told', '/mcp', '/mcp', '/mcp')
  await ask('stale', '/mcp?with')
  await ask('half', '/mcp', resource)
  await ask('whole', '/mcp', resource, server)
  const verdicts = async () =>
    Object.fromEntries(
      (await reportOf(target)).visits.map(({ userAgent, steps, verdict }) => [userAgent, [steps.length, verdict.text]])
    )
  t.match(await verdicts(), { told: [1, /just asked/] }, 'the same again is written down once')
  forward(61)
  t.match(await verdicts(), {
    told: [1, /^It was told to log in/],
    stale: [1, /^Its token was refused/],
    half: [2, /did not continue to the authorization server/],
    whole: [3, /^It read where to log in, and neither/]
  })
  const client = await register(target)
  await redeem(target, client, await newCode(target, client))
  t.strictSame(Object.keys(await verdicts()).sort(), ['half', 'stale', 'told', 'whole'], 'who got tokens is left out')
})

t.test('nothing secret is written down, whatever the upstream puts into its errors', async t => {
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  const { target, upstream } = await start(t, { stores })
  const redirectUri = `${WEB_URI}?tenant=secret-of-the-redirect-uri`
  const client = await register(target, redirectUri, { token_endpoint_auth_method: 'client_secret_post' })
  const browser = openBrowser(target)
  const answer = await authorize(target, client, { browser })
  const code = answer.get('code') ?? ''
  const tokens = parseTokens(await redeem(target, client, code))
  await callMcp(target, bearer(tokens.accessToken))
  await redeem(target, client, code, { client_secret: tokens.refreshToken })

  const attempt = await agree(target, client)
  upstream.overrides.token = ({ parameters, headers }) => ({
    status: 400,
    body: {
      error: 'invalid_client',
      error_description: `alice@example.com sent ${
        Object.values(parameters).join(' ')
      } and ${headers.authorization}; see https://a.example/?state=${attempt.state}`
    }
  })
  await authorize(target, client, { browser })
  await target.app.inject({
    url: authorizationUrl(target, { ...client, clientId: tokens.accessToken }).href.replace(target.url, '')
  })
  await target.app.inject({
    url: authorizationUrl(target, { ...client, redirectUri: `https://alice:${code}@app.example/?x=${code}` }).href
      .replace(target.url, '')
  })

  const secrets = [
    STATE,
    VERIFIER,
    ADMIN_TOKEN,
    code,
    tokens.accessToken,
    tokens.refreshToken,
    client.clientSecret ?? '',
    attempt.state,
    attempt.cookie,
    'secret-of-the-redirect-uri',
    'alice',
    ...browser.visited.flatMap(({ searchParams }) =>
      ['state', 'code', 'code_challenge', 'nonce'].flatMap(name => searchParams.getAll(name))
    ),
    ...upstream.requests.flatMap(({ endpoint, parameters }) =>
      endpoint === 'token' ? ['code', 'code_verifier', 'client_secret'].map(name => String(parameters[name] ?? '')) : []
    ),
    ...upstream.requests.map(({ headers }) => headers.authorization?.split(' ')[1] ?? ''),
    ...[...upstream.clients.values()].map(({ clientSecret = '' }) => clientSecret)
  ].filter(secret => secret !== '')
  t.ok(secrets.length > 25, 'secrets are known')
  const page = await target.app.inject({
    url: '/admin/attempts',
    headers: { authorization: `Basic ${Buffer.from(`me:${ADMIN_TOKEN}`).toString('base64')}` }
  })
  const written = JSON.stringify([await stores.loginSteps.read(), await stores.visits.read(), await reportOf(target)]) +
    page.body
  t.match(written, /invalid_client: … sent/, 'what the upstream said is there')
  for (const secret of new Set(secrets)) {
    t.notOk(written.includes(secret), secret)
    t.notOk(written.includes(hashSecret(secret)), `the hash of ${secret}`)
  }
})

t.test('a store that fails fails no login', async t => {
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  const broken = {
    append: () => Promise.reject(new Error('the disk is full')),
    read: () => Promise.reject(new Error('the disk is full'))
  }
  const { target } = await start(t, {
    stores: { ...stores, loginSteps: broken, visits: broken },
    observers: [() => {
      throw new Error('an observer with a fault')
    }]
  })
  const client = await register(target)
  const { accessToken } = parseTokens(await redeem(target, client, await newCode(target, client)))
  t.equal((await callMcp(target, bearer(accessToken))).status, 200)
})
