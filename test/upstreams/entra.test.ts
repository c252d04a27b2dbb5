import t, { type Test } from 'tap'
import type { BrokerEvent } from '../../src/oauth/login-events.js'
import { ServiceError } from '../../src/errors.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { Browser, logIn } from '../support/browser.js'
import { clock } from '../support/clock.js'
import { objectOf } from '../support/json.js'
import { authorizationUrl } from '../support/oauth-flow.js'
import { CONTOSO, entra, FABRIKAM, PERSONAL, STRANGER, tenantOf, type EntraOptions } from './entra.js'
import { journey, startService, TestClient } from './test-client.js'

const MICROSOFT = 'https://login.microsoftonline.com'
const ALLOWED = [CONTOSO, FABRIKAM]

/** The service in front of an Entra, with what its observers are told of failures. */
async function start (t: Test, options: EntraOptions = {}, more: Parameters<typeof startService>[2] = {}) {
  const { upstream, options: ours } = entra(options)
  const failures: ServiceError[] = []
  const observe = ({ error }: BrokerEvent) => { if (error instanceof ServiceError) failures.push(error) }
  const service = await startService(t, ours, { observers: [observe], ...more })
  return { upstream, service, failures }
}

/** Where a login ends that must not succeed. */
async function refused (t: Test, options: EntraOptions, as = 'alice') {
  const { service, failures, upstream } = await start(t, options)
  const client = await TestClient.register(service)
  const browser = new Browser(url => url.href.startsWith('http://localhost:3334'), service.fetch)
  const page = await logIn(browser, client.authorizationUrl(), as)
  const error = page.url.searchParams.get('error')
  return { page, error, failure: failures.at(-1), upstream, browser, client, service }
}

t.test('people of several tenants log in; each has the issuer of their own', async t => {
  const cases: Array<[EntraOptions, (tenant: string) => string]> = [
    [{}, tenant => `${MICROSOFT}/${tenant}/v2.0`],
    [{ path: '/organizations/v2.0' }, tenant => `${MICROSOFT}/${tenant}/v2.0`],
    [{ path: '/Common/v2.0/', issuer: `${MICROSOFT}/{tenantid}/v2.0` }, tenant => `${MICROSOFT}/${tenant}/v2.0`],
    [{ origin: 'https://login.microsoftonline.us' }, tenant => `https://login.microsoftonline.us/${tenant}/v2.0`],
    [
      { origin: 'https://login.partner.microsoftonline.cn', path: '/organizations/v2.0' },
      tenant => `https://login.partner.microsoftonline.cn/${tenant}/v2.0`
    ],
    // version 1.0
    [{ path: '/common', issuer: 'https://sts.windows.net/{tenantid}/' }, tenant => `https://sts.windows.net/${tenant}/`],
    [
      {
        origin: 'https://login.partner.microsoftonline.cn',
        path: '/organizations',
        issuer: 'https://sts.chinacloudapi.cn/{tenantid}/'
      },
      tenant => `https://sts.chinacloudapi.cn/${tenant}/`
    ],
    // a stand-in of somebody's own
    [{ origin: 'https://login.test' }, tenant => `https://login.test/${tenant}/v2.0`],
    [{ origin: 'https://login.test', path: '/common' }, tenant => `https://login.test/${tenant}`],
    [{ allowedTenants: ALLOWED.map(tenant => tenant.toUpperCase()) }, tenant => `${MICROSOFT}/${tenant}/v2.0`],
    [{ allowedTenants: ['*'] }, tenant => `${MICROSOFT}/${tenant}/v2.0`]
  ]
  for (const [options, issuer] of cases) {
    const { service } = await start(t, options)
    for (const as of ['alice', 'bob', ...options.allowedTenants?.includes('*') === true ? ['mallory'] : []]) {
      const { whoami } = await journey(service, as)
      const expected = { issuer: issuer(tenantOf(as)), subject: as, claims: { tid: tenantOf(as) } }
      t.match(whoami, expected, `${JSON.stringify(options)} ${as}`)
    }
  }
})

t.test('personal accounts are of the one tenant of consumers, which needs no list', async t => {
  for (const [path, issuer] of [
    ['/consumers/v2.0', `${MICROSOFT}/${PERSONAL}/v2.0`],
    ['/consumers/v2.0', `${MICROSOFT}/{tenantid}/v2.0`],
    ['/consumers', 'https://sts.windows.net/{tenantid}/']
  ] as const) {
    const options = { path, issuer, allowedTenants: [], tokenClaims: () => ({ tid: PERSONAL }) }
    const { whoami } = await journey((await start(t, options)).service)
    t.equal(whoami.issuer, issuer.replace('{tenantid}', PERSONAL))
    const { failure } = await refused(t, { ...options, tokenClaims: () => ({ tid: CONTOSO }) })
    const isFixed = !issuer.includes('{')
    t.equal(failure?.reason, isFixed ? 'upstream_answer_unusable' : 'tenant_not_allowed', issuer)
  }
})

t.test('a tenant is one, in upper case, too', async t => {
  let spelled = CONTOSO
  const { service } = await start(t, {
    tokenClaims: () => ({ tid: spelled })
  })
  const client = await TestClient.register(service)
  const seen = new Set<unknown>()
  for (spelled of [CONTOSO, CONTOSO.toUpperCase()]) {
    await client.logIn()
    seen.add((await client.call('whoami')).issuer)
  }
  t.strictSame([...seen], [`${MICROSOFT}/${CONTOSO}/v2.0`])
})

/** What no login server should say: the claims, and what the log says of them. */
const HOSTILE: ReadonlyArray<[claims: Record<string, unknown>, detail: RegExp, reason?: string]> = [
  [{ tid: undefined }, /no tid/, 'tenant_unknown'],
  [{ tid: null }, /its tid is null/],
  [{ tid: '' }, /its tid is ""/],
  [{ tid: 7 }, /its tid is 7/],
  [{ tid: [CONTOSO] }, /its tid is \[/],
  [{ tid: { id: CONTOSO } }, /its tid is \{/],
  [{ tid: `${CONTOSO}/../${STRANGER}` }, /its tid is/],
  [{ tid: `/../${CONTOSO}` }, /its tid is/],
  [{ tid: `${CONTOSO}\n` }, /its tid is/],
  [{ tid: `${CONTOSO}%2f` }, /its tid is/],
  [{ tid: '{tenantid}' }, /its tid is/],
  [{ tid: '$&' }, /its tid is/],
  [{ tid: '*' }, /its tid is/],
  [{ tid: 'contoso.com' }, /its tid is/],
  [{ tid: 'x'.repeat(10_000) }, /its tid is/],
  [{ iss: `${MICROSOFT}/${FABRIKAM}/v2.0` }, /its iss is/],
  [{ iss: `${MICROSOFT}/${STRANGER}/v2.0` }, /its iss is/],
  [{ tid: STRANGER, iss: `${MICROSOFT}/${CONTOSO}/v2.0` }, /its iss is/],
  [{ iss: `${MICROSOFT}/{tenantid}/v2.0` }, /its iss is/],
  [{ iss: `${MICROSOFT}/common/v2.0` }, /its iss is/],
  [{ iss: `${MICROSOFT}/${CONTOSO}/v2.0/` }, /its iss is/],
  [{ iss: `${MICROSOFT}/${CONTOSO.toUpperCase()}/v2.0` }, /its iss is/],
  [{ iss: `https://login.microsoftonline.us/${CONTOSO}/v2.0` }, /its iss is/],
  [{ iss: `https://sts.windows.net/${CONTOSO}/` }, /its iss is/],
  [{ iss: 'https://evil.example' }, /its iss is/],
  [{ aud: 'another' }, /aud|unexpected/],
  [{ azp: 'another' }, /azp/]
]

t.test('whoever the ID token does not name beyond doubt is not logged in', async t => {
  for (const allowedTenants of [ALLOWED, ['*']]) {
    let claims: Record<string, unknown> = {}
    const { service, failures } = await start(t, { allowedTenants, tokenClaims: () => claims })
    const client = await TestClient.register(service)
    for (const [hostile, detail, reason = 'upstream_answer_unusable'] of HOSTILE) {
      claims = hostile
      const { error } = await client.answer()
      const failure = failures.at(-1)
      const what = `${JSON.stringify(claims).slice(0, 200)} ${allowedTenants[0]}`
      t.equal(error, 'server_error', what)
      t.match(failure, { detail, reason }, what)
    }
  }
})

t.test('without an ID token, nobody knows the tenant', async t => {
  const { error, failure } = await refused(t, { idTokens: false })
  t.equal(error, 'server_error')
  t.match(failure, { reason: 'tenant_unknown', detail: /no ID token/ })
})

t.test('an ID token that is not one', async t => {
  for (const id of ['x', 'a.b.c', 7, {}, []]) {
    const { error, failure } = await refused(t, {
      overrides: {
        token: async (_request, usual) => {
          const answer = await usual()
          return { ...answer, body: { ...objectOf(answer.body), id_token: id } }
        }
      }
    })
    t.equal(error, 'server_error', JSON.stringify(id))
    t.equal(failure?.reason, 'upstream_answer_unusable')
  }
})

t.test('people of other tenants see a page that offers another account', async t => {
  const { page, failure, browser, client, service, upstream } = await refused(t, {}, 'mallory')
  t.equal(page.status, 403)
  t.match(page.html, /People of your organization may not log in here/)
  t.notMatch(page.html, STRANGER)
  t.match(failure, {
    code: 'access_denied',
    reason: 'tenant_not_allowed',
    detail: `the tenant ${STRANGER} is not in OAUTH_ALLOWED_TENANTS`
  })
  t.match(service.log.filter(({ reason }) => reason === 'tenant_not_allowed'), [{ level: 30 }], 'no alarm')
  const back = new URL(page.document.querySelector('a.button')?.getAttribute('href') ?? '')
  t.equal(back.searchParams.get('error'), 'access_denied')
  t.equal(back.searchParams.get('state'), 'state of the client')

  let next = await browser.submit(page, {}, 'Use another account')
  t.equal(upstream.asked('authorize').at(-1)?.parameters.prompt, 'select_account')
  next = await browser.submit(next, { login: 'alice' })
  next = await browser.submit(next, {}, 'Allow access')
  t.ok(next.url.searchParams.get('code'), 'alice is asked, and logged in')
  t.equal(next.url.searchParams.get('state'), 'state of the client')
  t.ok(client.clientId)
})

t.test('nobody else can go on from that page', async t => {
  const { page, service } = await refused(t, {}, 'mallory')
  const other = new Browser(() => false, service.fetch)
  t.equal((await other.submit(page, {}, 'Use another account')).status, 403)
})

t.test('a silent login gets an error, not a page', async t => {
  const client = { clientId: 'trusted', redirectUri: 'http://localhost:3334/callback' }
  const { service, upstream } = await start(t, {}, {
    clients: [{ clientId: client.clientId, redirectUris: [client.redirectUri], trusted: true }]
  })
  const browser = new Browser(url => url.href.startsWith(client.redirectUri), service.fetch)
  let page = await logIn(browser, authorizationUrl(service, client, { prompt: 'none' }), 'mallory')
  t.equal(page.url.searchParams.get('error'), 'access_denied')
  page = await logIn(browser, authorizationUrl(service, client), 'mallory')
  t.equal(page.status, 403)
  page = await browser.submit(await browser.submit(page, {}, 'Use another account'), { login: 'alice' })
  t.ok(page.url.searchParams.get('code'), 'whoever needs no consent page is not shown one for another account')
  t.equal(upstream.asked('authorize').at(-1)?.parameters.prompt, 'select_account')
})

t.test('iss of the response (RFC 9207), where it is sent', async t => {
  const at = (tenant: string) => `${MICROSOFT}/${tenant}/v2.0`
  const cases: Array<[iss: string | undefined, good: boolean, supported?: boolean, redeemed?: boolean]> = [
    [undefined, true],
    [at(CONTOSO), true],
    [at(CONTOSO), true, true],
    [undefined, false, true],
    [at(FABRIKAM), false, false, true],
    [at('{tenantid}'), false],
    [at('common'), false],
    [`${at(CONTOSO)}/`, false],
    [at(`${CONTOSO}/../${CONTOSO}`), false],
    ['https://evil.example', false],
    [`https://evil.example/${CONTOSO}/v2.0`, false],
    ['', false]
  ]
  for (const [iss, good, supported = false, redeemed = good] of cases) {
    const { upstream, service, failures } = await start(t, {
      metadata: { ...supported && { authorization_response_iss_parameter_supported: true } }
    })
    const client = await TestClient.register(service)
    const stops = [`${service.url}/oauth/callback`, 'http://localhost:3334']
    const browser = new Browser(url => stops.some(stop => url.href.startsWith(stop)), service.fetch)
    const { url } = await logIn(browser, client.authorizationUrl())
    url.searchParams.delete('iss')
    if (iss !== undefined) url.searchParams.set('iss', iss)
    const end = await browser.open(url)
    const what = `${iss} ${supported}`
    t.equal(end.url.searchParams.has('code'), good, what)
    if (!good) t.match(failures.at(-1), { reason: 'callback_unusable' }, what)
    t.equal(upstream.tokenRequests('authorization_code').length, redeemed ? 1 : 0, `${what}: who gets the code`)
  }
})

t.test('the tenant cannot change at a refresh', async t => {
  const cases: Array<[claims: Record<string, unknown> | undefined, status: number]> = [
    [undefined, 200],
    [{}, 200],
    [{ tid: CONTOSO.toUpperCase(), iss: `${MICROSOFT}/${CONTOSO.toUpperCase()}/v2.0` }, 200],
    [{ tid: FABRIKAM, iss: `${MICROSOFT}/${FABRIKAM}/v2.0` }, 502],
    [{ tid: FABRIKAM }, 502],
    [{ iss: `${MICROSOFT}/${FABRIKAM}/v2.0` }, 502],
    [{ tid: undefined }, 502],
    [{ sub: 'bob' }, 502]
  ]
  const { forward } = clock(t)
  const { upstream, service } = await start(t)
  const client = await TestClient.register(service)
  for (const [index, [claims, status]] of cases.entries()) {
    delete upstream.overrides.token
    await client.logIn()
    upstream.overrides.token = async (_request, usual) => {
      const answer = await usual()
      if (claims === undefined) return answer
      const told = { tid: CONTOSO, iss: `${MICROSOFT}/${CONTOSO}/v2.0`, sub: 'alice', aud: 'us' }
      const idToken = await upstream.sign({ ...told, ...claims })
      return { ...answer, body: { ...objectOf(answer.body), id_token: idToken } }
    }
    forward(601)
    t.equal((await client.refresh()).status, status, JSON.stringify(claims))
    t.equal(upstream.tokenRequests('refresh_token').length, index + 1, 'one request')
  }
})

t.test('people of a tenant that was taken off the list are out at the next refresh', async t => {
  const stores = createMemoryStores({ sessionIdleSeconds: 3600 })
  const encryptionKeys = `a:${Buffer.alloc(32, 1).toString('base64url')}`
  const { service, upstream } = await start(t, {}, { stores, encryptionKeys })
  const { client } = await journey(service)
  const { client: bobs } = await journey(service, 'bob')
  const failures: unknown[] = []
  const { options } = entra({ allowedTenants: [FABRIKAM] })
  const later = await startService(t, { ...options, fetch: upstream.fetch }, {
    stores,
    encryptionKeys,
    observers: [({ error }) => { if (error !== undefined) failures.push(error) }]
  })
  t.match(await client.at(later).refresh(), { status: 400, body: { error: 'invalid_grant' } })
  t.match(failures, [{ reason: 'tenant_not_allowed' }, { reason: 'tenant_not_allowed' }])
  t.equal(await client.at(later).status(), 401, 'the grant has ended')
  t.equal((await bobs.at(later).refresh()).status, 200)
})

t.test('metadata may only name the template of the configured issuer', async t => {
  const cases: Array<[path: string, issuer: string]> = [
    ['/common/v2.0', 'https://evil.example/{tenantid}/v2.0'],
    ['/common/v2.0', `${MICROSOFT}/{tenantid}/v1.0`],
    ['/common/v2.0', `${MICROSOFT}/common/v2.0`],
    ['/common/v2.0', `${MICROSOFT}/${CONTOSO}/v2.0`],
    ['/common/v2.0', `${MICROSOFT}/${PERSONAL}/v2.0`],
    ['/common/v2.0', `${MICROSOFT}/{tenantid}{tenantid}/v2.0`],
    ['/common/v2.0', 'https://sts.windows.net/{tenantid}/'],
    ['/common', 'https://sts.evil.example/{tenantid}/'],
    ['/consumers/v2.0', `${MICROSOFT}/${CONTOSO}/v2.0`]
  ]
  for (const [path, issuer] of cases) {
    const { failure } = await refused(t, { path, issuer })
    t.match(failure, { code: 'server_error', detail: /the issuer in its metadata is/ }, `${path} ${issuer}`)
  }
  // one tenant: no template at all
  const single = entra({ path: `/${CONTOSO}/v2.0`, issuer: `${MICROSOFT}/{tenantid}/v2.0`, allowedTenants: [] })
  const service = await startService(t, single.options)
  const client = await TestClient.register(service)
  const page = await logIn(new Browser(() => true, service.fetch), client.authorizationUrl())
  t.equal(page.url.searchParams.get('error'), 'server_error')
})

t.test('who may come has to be said', async t => {
  const { options } = entra()
  const bad: Array<[object, RegExp]> = [
    [{ allowedTenants: [] }, /upstream\.allowedTenants is not set, and upstream\.issuerUrl .* every tenant/],
    [{ allowedTenants: ['contoso.com'] }, /allowedTenants.* it takes .*ids of tenants/],
    [{ scopes: ['profile'] }, /upstream\.scopes lacks openid/],
    [{ issuerUrl: `${MICROSOFT}/${CONTOSO}/v2.0` }, /upstream\.allowedTenants is set, but/]
  ]
  for (const [more, message] of bad) {
    await t.rejects(startService(t, { ...options, ...more }), { code: 'config_invalid', message }, JSON.stringify(more))
  }
})
