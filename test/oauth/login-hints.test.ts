import t, { type Test } from 'tap'
import { Browser } from '../support/browser.js'
import { authorizationUrl, openBrowser, redirectParameters, register, type Parameters } from '../support/oauth-flow.js'
import { approve, embed, startTarget, type Target } from '../support/target.js'
import { ScriptableUpstream } from '../../src/testing/index.js'

/*
 * What a client asks of the login itself (OpenID Connect Core 3.1.2.1): passed on upstream; prompt=none shows no page.
 */

const WEB = 'https://app.example/callback'
const HINTS = { login_hint: 'ålice@example.com', max_age: '0', ui_locales: 'de-CH fr', acr_values: 'urn:mfa 2' }

/** The parameters that the upstream is sent for a login by a person who allows it. */
async function passedOn (target: Target, parameters: Parameters): Promise<URLSearchParams> {
  const client = await register(target)
  const stopped = new Browser(next => next.origin === target.upstream.issuer, target.fetch)
  const page = await stopped.open(authorizationUrl(target, client, parameters))
  const end = page.status === 200 ? await stopped.submit(page, {}, 'Allow access') : page
  return end.url.searchParams
}

/** The parameters of a redirect to the client that came without any page. */
async function silently (
  target: Target,
  browser: Browser,
  client: Awaited<ReturnType<typeof register>>,
  parameters: Parameters = {}
): Promise<URLSearchParams> {
  const page = await browser.open(authorizationUrl(target, client, { prompt: 'none', ...parameters }))
  return redirectParameters(page, client)
}

t.test('hints reach the login server as they are', async t => {
  const target = await startTarget(t)
  const sent = await passedOn(target, HINTS)
  for (const [name, value] of Object.entries(HINTS)) t.equal(sent.get(name), value, name)
  t.equal(sent.get('prompt'), null)
  for (const [prompt, expected] of [
    ['login', 'login'],
    ['select_account', 'select_account'],
    ['consent', 'consent'],
    ['login select_account', 'login select_account'],
    ['login  login', 'login'],
    ['unknown', null],
    ['unknown login', 'login'],
    ['NONE', null],
    ['create', null]
  ] as const) t.equal((await passedOn(target, { prompt })).get('prompt'), expected, prompt)
  t.equal(
    (await passedOn(target, { prompt: 'consent', scope: 'mcp offline_access' })).get('prompt'),
    null,
    'clients of the SDK add it to every request'
  )
})

t.test('what the operator always asks for counts more, and what the upstream does not take is left out', async t => {
  const withExtra = async (extraAuthorizeParams: Record<string, string>, metadata = {}) => {
    const upstream = new ScriptableUpstream({ metadata })
    return await embed(t, { upstream: { ...upstream.options, extraAuthorizeParams } }, upstream)
  }
  const strict = await withExtra({ acr_values: 'mfa', max_age: '60', prompt: 'consent', state: 'x' })
  const sent = await passedOn(strict, { ...HINTS, prompt: 'select_account' })
  t.strictSame(
    ['acr_values', 'max_age', 'prompt', 'login_hint'].map(name => sent.get(name)),
    ['mfa', '60', 'consent select_account', HINTS.login_hint]
  )
  t.equal((await passedOn(strict, {})).get('prompt'), 'consent')
  const limited = await withExtra({}, { prompt_values_supported: ['none', 'login', 'create'] })
  t.equal((await passedOn(limited, { prompt: 'login select_account' })).get('prompt'), 'login')
  t.equal((await passedOn(limited, { prompt: 'create' })).get('prompt'), 'create')
})

t.test('a hint that cannot be passed on is an error for the client, and never a 500', async t => {
  const target = await startTarget(t)
  const client = await register(target)
  for (const parameters of [
    { max_age: '-1' },
    { max_age: 'NaN' },
    { max_age: '1e3' },
    { max_age: '1.5' },
    { max_age: '99999999999' },
    { login_hint: 'a\u0000b' },
    { login_hint: 'a\r\nX: y' },
    { login_hint: 'x'.repeat(2049) },
    { ui_locales: 'x'.repeat(300) },
    { acr_values: '\u007f' },
    { prompt: 'none login' },
    { prompt: 'login none consent' }
  ]) {
    const page = await openBrowser(target).open(authorizationUrl(target, client, parameters))
    t.equal(redirectParameters(page, client).get('error'), 'invalid_request', JSON.stringify(parameters).slice(0, 60))
  }
  const huge = await openBrowser(target).open(authorizationUrl(target, client, { login_hint: 'x'.repeat(100_000) }))
  t.equal(huge.status, 413)
  const twice = authorizationUrl(target, client, { prompt: 'login' })
  twice.searchParams.append('prompt', 'none')
  t.equal((await openBrowser(target).open(twice)).status, 400, 'a parameter that is repeated')
})

t.test('prompt=none without a page', async t => {
  const target = await startTarget(t)
  const upstream = target.upstream
  if (!(upstream instanceof ScriptableUpstream)) throw new Error('not the test kit\'s')
  for (const uri of ['http://localhost:3334/callback', WEB]) {
    const client = await register(target, uri)
    t.equal((await silently(target, openBrowser(target), client)).get('error'), 'login_required', 'nobody is logged in')
    const fails = async (parameters: Parameters) =>
      (await silently(target, openBrowser(target), client, parameters)).get('error')
    t.equal(await fails({ prompt: 'none login' }), 'invalid_request')
    t.equal(await fails({ scope: 'other' }), 'invalid_scope')
  }
  const client = await register(target, WEB)
  const browser = openBrowser(target)
  await approve(target, client, browser)
  const before = upstream.asked('authorize').length
  const other = await register(target, 'https://other.example/callback')
  t.equal((await silently(target, browser, other)).get('error'), 'consent_required', 'nobody has agreed to that client')
  t.equal(upstream.asked('authorize').length, before, 'the login server is not asked')

  const silentUpstream = (error?: string) => {
    upstream.overrides.authorize = async ({ parameters }, usual) => {
      t.equal(parameters.prompt, 'none')
      if (error === undefined) return await usual()
      const back = new URL(String(parameters.redirect_uri))
      back.search = new URLSearchParams({ error, state: String(parameters.state), iss: upstream.issuer }).toString()
      return { status: 302, headers: { location: back.href }, body: '' }
    }
  }
  for (const [error, expected] of [
    ['login_required', 'login_required'],
    ['interaction_required', 'interaction_required'],
    ['consent_required', 'consent_required'],
    ['account_selection_required', 'account_selection_required'],
    ['access_denied', 'access_denied'],
    ['__proto__', 'server_error']
  ] as const) {
    silentUpstream(error)
    const parameters = await silently(target, browser, client)
    t.equal(parameters.get('error'), expected, error)
    t.equal(parameters.get('iss'), target.url)
    t.equal(parameters.get('code'), null)
  }
  // somebody who is logged in there: a code without a page
  upstream.overrides.authorize = async ({ parameters }, usual) => {
    const page = await usual()
    const request = /name="request" value="([^"]+)"/.exec(String(page.body))?.[1]
    t.equal(parameters.prompt, 'none')
    return { status: 302, headers: { location: `${upstream.origin}/login?request=${request}&login=alice` }, body: '' }
  }
  t.match((await silently(target, browser, client)).get('code'), /^mcpac_/)
  upstream.overrides.authorize = async (_request, usual) => {
    const request = /name="request" value="([^"]+)"/.exec(String((await usual()).body))?.[1]
    return { status: 302, headers: { location: `${upstream.origin}/login?request=${request}&login=bob` }, body: '' }
  }
  const bob = await silently(target, browser, client)
  t.equal(bob.get('error'), 'consent_required', 'another person has agreed to nothing')
})

t.test('prompt=none is not passed to a login server that may show a page', async t => {
  for (const options of [
    { metadata: { prompt_values_supported: ['login'] } },
    { metadata: { scopes_supported: ['read'] } }
  ]) {
    const upstream = new ScriptableUpstream(options)
    const target = await embed(t, { consentInDynamicMode: false }, upstream)
    const client = await register(target, WEB)
    t.equal((await silently(target, openBrowser(target), client)).get('error'), 'interaction_required')
  }
  const upstream = new ScriptableUpstream()
  const target = await embed(t, {
    consentInDynamicMode: false,
    upstream: { ...upstream.options, extraAuthorizeParams: { prompt: 'login' } }
  }, upstream)
  const client = await register(target, WEB)
  t.equal((await silently(target, openBrowser(target), client)).get('error'), 'interaction_required', 'the operator\'s')
})

t.test('a silent login that comes back in another browser goes back to the client', async t => {
  const target = await embed(t, { consentInDynamicMode: false })
  const client = await register(target, WEB)
  const stopped = new Browser(next => next.origin === target.upstream.issuer, target.fetch)
  const sent = await stopped.open(authorizationUrl(target, client, { prompt: 'none' }))
  const state = sent.url.searchParams.get('state') ?? ''
  const back = await openBrowser(target).open(`${target.url}/oauth/callback?state=${state}&code=x`)
  t.equal(redirectParameters(back, client).get('error'), 'login_required')
})

t.test('the consent page is shown if a client asks for it, also to those who have agreed', async t => {
  const target = await startTarget(t)
  const client = await register(target, WEB)
  const browser = openBrowser(target)
  await approve(target, client, browser)
  const asked = async (parameters: Parameters) => {
    const stopped = await browser.open(authorizationUrl(target, client, parameters))
    return /Allow access/.test(stopped.html)
  }
  t.notOk(await asked({}))
  t.notOk(await asked({ prompt: 'login' }))
  t.ok(await asked({ prompt: 'consent' }))
  t.notOk(await asked({ prompt: 'consent', scope: 'mcp offline_access' }))
})

async function startSwitch (t: Test) {
  const target = await startTarget(t)
  return { target, client: await register(target, WEB), browser: openBrowser(target) }
}

t.test('"Use another account" before the login asks who came', async t => {
  const { target, client, browser } = await startSwitch(t)
  const page = await browser.open(authorizationUrl(target, client, { login_hint: 'alice', acr_values: 'mfa' }))
  const login = await browser.submit(page, {}, 'Use another account')
  t.equal(login.url.searchParams.get('prompt'), 'select_account')
  t.equal(login.url.searchParams.get('login_hint'), null, 'not the one account again')
  t.equal(login.url.searchParams.get('acr_values'), 'mfa')
  const consent = await browser.submit(login, { login: 'bob' })
  t.match(consent.html, /You logged in as/)
  t.match(consent.html, /bob/)
  t.match((redirectParameters(await browser.submit(consent, {}, 'Allow access'), client)).get('code'), /^mcpac_/)
  t.match(await browser.submit(page, {}, 'Allow access'), { status: 400 }, 'the first page is over')
  t.match(await browser.submit(page, {}, 'Use another account'), { status: 400 })
})

t.test('"Use another account" after the login discards it', async t => {
  const { target, client, browser } = await startSwitch(t)
  await approve(target, client, browser, { as: 'alice' })
  const login = await browser.open(authorizationUrl(target, client, { prompt: 'select_account' }))
  const consent = await browser.submit(login, { login: 'bob' })
  t.match(consent.html, /bob/)
  const again = await browser.submit(consent, {}, 'Use another account')
  t.equal(again.url.searchParams.get('prompt'), 'select_account')
  const end = await browser.submit(again, { login: 'alice' })
  t.match(redirectParameters(end, client).get('code'), /^mcpac_/, 'alice has agreed before')
  t.match(await browser.submit(consent, {}, 'Allow access'), { status: 400 }, 'nobody can go on as bob')
  const stranger = openBrowser(target)
  t.match(await stranger.submit(consent, {}, 'Use another account'), { status: 403 }, 'in another browser')
})

t.test('a login that is older than max_age is not one, if the login server says how old it is', async t => {
  const now = Math.floor(Date.now() / 1000)
  for (const [loggedInAt, maxAge, error] of [
    [now - 1000, '300', 'login_required'],
    [now - 1000, '0', 'login_required'],
    [now - 1000, '3000', null],
    [now - 1000, undefined, null],
    [undefined, '0', null],
    ['long ago', '0', null]
  ] as const) {
    const claims = loggedInAt === undefined ? {} : { auth_time: loggedInAt }
    const upstream = new ScriptableUpstream({ idTokenClaims: () => claims })
    const target = await embed(t, {}, upstream)
    const client = await register(target)
    const parameters = await approve(target, client, openBrowser(target), { parameters: { max_age: maxAge } })
    if (loggedInAt === 'long ago') t.ok(parameters.get('error') ?? parameters.get('code'), 'nonsense is no 500')
    else t.equal(parameters.get('error'), error, `${String(loggedInAt)} ${String(maxAge)}: ${parameters.toString()}`)
  }
})
