import { parse } from 'node-html-parser'
import t, { type Test } from 'tap'
import { ScriptableUpstream } from '../../src/testing/index.js'
import { Browser, logIn } from '../support/browser.js'
import { startService } from '../upstreams/test-client.js'
import { authorizationUrl, form, register, WEB_URI } from '../support/oauth-flow.js'
import { agree, injectForm, type Target } from '../support/target.js'

/*
 * Whatever a stranger, or the login server, calls something: where we show it on a page, in the log or to operators,
 * what is read is what is there, in one line that ends.
 */

const UNSEEN = [
  '\u202e',
  '\u2066',
  '\u200f',
  '\u061c',
  '\u200b',
  '\u2028',
  '\u2029',
  '\u00ad',
  '\ufeff',
  '\u0085',
  '\u009b',
  '\u2800',
  '\u{e0041}'
]
const STRANGE = `A${UNSEEN.join('x')}B${'W'.repeat(3000)}`
const ADMIN_TOKEN = 'the-token-of-the-operators'
// what we say ourselves is a little more
const MAX_LOGGED = 1100

async function start (t: Test, upstream = new ScriptableUpstream()) {
  const service = await startService(t, { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch }, {
    adminToken: ADMIN_TOKEN
  })
  const target: Target = { app: service.app, url: service.url, fetch: service.fetch, upstream }
  return { target, upstream, log: service.log }
}

/** All texts in a value, with where they are. */
function textsOf (value: unknown, path = ''): Array<[path: string, text: string]> {
  if (typeof value === 'string') return [[path, value]]
  return typeof value === 'object' && value !== null
    ? Object.entries(value).flatMap(([name, member]) => textsOf(member, `${path}.${name}`))
    : []
}

function isLegible (t: Test, value: unknown, what: string): void {
  const faults = textsOf(value).filter(([, text]) =>
    text.length > MAX_LOGGED || UNSEEN.some(character => text.includes(character))
  )
  t.strictSame(faults.map(([path]) => path), [], what)
}

/** A page of ours: its style is as long as it is. */
function isLegiblePage (t: Test, html: string, what: string): void {
  const page = parse(html)
  page.querySelector('style')?.remove()
  t.strictSame(
    UNSEEN.filter(character => html.includes(character)).map(character => character.codePointAt(0)),
    [],
    `${what}: what is there is seen`
  )
  t.notMatch(page.textContent, /W{1001}/, `${what}: it has an end`)
}

t.test('what strangers write into a request', async t => {
  const { target, log } = await start(t)
  const client = await register(target, WEB_URI, {
    client_name: STRANGE.slice(0, 200),
    client_uri: `https://www.app.example/${encodeURIComponent('\u202e')}`
  })
  const get = async (url: string, headers: Record<string, string> = {}) => await target.app.inject({ url, headers })
  const query = (parameters: Record<string, string>) => {
    const { pathname, search } = authorizationUrl(target, client, parameters)
    return pathname + search
  }
  for (const [what, url] of Object.entries({
    client_name: query({}),
    client_id: query({ client_id: STRANGE }),
    'client_id, a URL': query({ client_id: `https://app.example/${STRANGE}` }),
    redirect_uri: query({ redirect_uri: `https://${STRANGE}.example/` }),
    state: query({ state: STRANGE }),
    scope: query({ scope: STRANGE }),
    resource: query({ resource: `${target.url}/${STRANGE}` }),
    response_type: query({ response_type: STRANGE }),
    'a callback': `/oauth/callback?${form({ state: STRANGE, error: STRANGE, error_description: STRANGE })}`,
    'a sign-in': `/oauth/connections/callback?${form({ state: STRANGE, error: STRANGE, error_description: STRANGE })}`
  })) isLegiblePage(t, (await get(url)).body, what)
  await injectForm(target, '/token', { grant_type: STRANGE, client_id: STRANGE, code: STRANGE })
  await injectForm(target, '/authorize/consent', { transaction: STRANGE, decision: STRANGE }, {
    origin: 'https://evil.example'
  })
  await injectForm(target, '/register', { redirect_uris: STRANGE })
  for (
    const metadata of [{ client_name: STRANGE }, { client_name: 'x', redirect_uris: [`https://${STRANGE}`] }, {
      redirect_uris: [WEB_URI],
      scope: STRANGE,
      [STRANGE]: 1
    }]
  ) {
    await target.app.inject({
      method: 'POST',
      url: '/register',
      payload: metadata,
      headers: { 'user-agent': `curl \u009b31m${'W'.repeat(3000)}` }
    })
  }
  await get('/nowhere/\u009b31m')
  await get('/mcp', { origin: 'https://evil.example', authorization: `Bearer ${'W'.repeat(2000)}` })
  t.ok(log.length > 10)
  isLegible(t, log, 'the log')
  await operatorsRead(t, target)
})

t.test('what the login server says', async t => {
  const { target, upstream, log } = await start(t)
  const client = await register(target, WEB_URI)
  const { cookie, state } = await agree(target, client)
  const failed = await target.app.inject({
    url: `/oauth/callback?${form({ error: 'odd', error_description: STRANGE, state, iss: upstream.issuer })}`,
    headers: { cookie }
  })
  t.notMatch(String(failed.headers.location), /WWW/, 'the client is not told in its words')
  for (const endpoint of ['token', 'register'] as const) {
    upstream.overrides[endpoint] = () => ({
      status: 400,
      body: { error: 'invalid_request', error_description: STRANGE }
    })
    const attempt = await agree(target, await register(target, WEB_URI))
    await target.app.inject({
      url: `/oauth/callback?${form({ code: 'x', state: attempt.state, iss: upstream.issuer })}`,
      headers: { cookie: attempt.cookie }
    })
    delete upstream.overrides[endpoint]
  }
  t.ok(textsOf(log).some(([, text]) => text.includes('WWW')), 'operators are told what it said')
  isLegible(t, log, 'the log')
  await operatorsRead(t, target)
})

for (
  const [what, as, claims, shown] of [
    ['a name', 'alice', { name: STRANGE }, /^Ax+BW{10,}$/],
    [
      'a name of nothing to see, and an address',
      'alice',
      { name: UNSEEN.join(''), email: 'alice@example.com' },
      /^alice@example\.com$/
    ],
    ['nothing but a subject', `al\u202eice\u200b${'W'.repeat(900)}`, {}, /^aliceW{10,95}$/]
  ] as const
) {
  t.test(`what it calls a person: ${what}`, async t => {
    const { target } = await start(
      t,
      new ScriptableUpstream({
        idTokenClaims: () => claims,
        overrides: { userinfo: () => ({ status: 200, body: { sub: as } }) }
      })
    )
    const browser = new Browser(url => url.pathname === '/oauth/connections' && url.search === '', target.fetch)
    await logIn(browser, `${target.url}/oauth/connections/login`, as)
    const { html } = await browser.open(`${target.url}/oauth/connections`)
    isLegiblePage(t, html, 'the page of connected apps')
    t.match(parse(html).querySelector('bdi')?.textContent, shown)
  })
}

/** The page for operators, and the report behind it. */
async function operatorsRead (t: Test, { app }: Target): Promise<void> {
  const asked = { url: '/admin/attempts', headers: { authorization: `Basic ${btoa(`me:${ADMIN_TOKEN}`)}` } }
  const page = await app.inject(asked)
  t.equal(page.statusCode, 200)
  isLegiblePage(t, page.body, 'the page for operators')
  const report = await app.inject({
    ...asked,
    headers: { authorization: `Bearer ${ADMIN_TOKEN}`, accept: 'application/json' }
  })
  isLegible(t, report.json(), 'the report for operators')
}
