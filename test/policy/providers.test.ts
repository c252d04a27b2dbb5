import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/config.js'
import { Browser, logIn } from '../support/browser.js'
import { clock } from '../support/clock.js'
import { auth0 } from '../upstreams/shapes/auth0.js'
import { cognito } from '../upstreams/shapes/cognito.js'
import { discord } from '../upstreams/shapes/discord.js'
import { entra } from '../upstreams/shapes/entra.js'
import { githubApp, githubOAuthApp } from '../upstreams/shapes/github.js'
import { gitlab } from '../upstreams/shapes/gitlab.js'
import { google } from '../upstreams/shapes/google.js'
import { keycloakStatic } from '../upstreams/shapes/keycloak.js'
import { linkedin } from '../upstreams/shapes/linkedin.js'
import { oktaCustom, oktaOrg } from '../upstreams/shapes/okta.js'
import { fillIn } from '../upstreams/shapes/recipe.js'
import { ShapedServer, type Shape } from '../upstreams/shapes/shape.js'
import { startService, TestClient, type Service } from '../upstreams/test-client.js'

type Variables = Readonly<Record<string, string>>

/** A login server, and our service with the settings of its recipe. @param rule in place of that of the recipe */
async function start (t: Test, shape: Shape, rule?: Variables) {
  const { forward } = clock(t)
  const server = new ShapedServer(shape)
  const recipe = Object.entries(fillIn(shape.recipe, server.values))
    .filter(([name]) => rule === undefined || !/^(ALLOWED_|REQUIRED_)/.test(name))
  const { upstream: settings, policy, publicUrl } = loadConfig(
    { ...Object.fromEntries(recipe), ...rule },
    { dotenv: false }
  )
  if (settings === undefined) throw new Error(`${shape.recipe.page} sets no login server.`)
  const { issuer: _, ...upstream } = settings
  server.register(`${publicUrl}/oauth/callback`)
  const service = await startService(
    t,
    { ...upstream, fetch: server.fetch },
    { publicUrl, consentDelayMs: 0, ...policy && { policy } }
  )
  return { server, service, forward, lifetimeSeconds: server.lifetimeSeconds }
}

/** Who logged in; the error of the login, if that failed. */
async function tryToLogIn (service: Service): Promise<string> {
  const client = await TestClient.register(service)
  const failure = await client.logIn().then(() => undefined, (error: unknown) => String(error))
  if (failure !== undefined) return /"error":"(\w+)"/.exec(failure)?.[1] ?? failure
  return String((await client.call('whoami')).subject)
}

const HOUR_SECONDS = 3601
const ORGANIZATIONS = 'https://api.github.com/user/orgs'
const TEAMS = 'https://api.github.com/user/teams'
const EMAILS = 'https://api.github.com/user/emails'
const GOOGLE_GROUPS = 'https://cloudidentity.googleapis.com/v1/groups/-/memberships:searchDirectGroups'
const GRAPH = 'https://graph.microsoft.com/v1.0/me/getMemberObjects'
const SERVERS = 'https://discord.com/api/users/@me/guilds'

/** Nobody that the rule of the recipe lets in. */
function leave (server: ShapedServer): void {
  Object.assign(server.changed, { hd: 'example.org' })
  for (const answer of Object.values(server.further)) Object.assign(answer, { body: [] })
}

for (const shape of [githubOAuthApp, githubApp, google]) {
  t.test(`${shape.name}: insiders, outsiders, and who has left, by the recipe alone`, async t => {
    const { server, service, forward } = await start(t, { ...shape, further: structuredClone(shape.further ?? {}) })
    const insider = await TestClient.register(service)
    await insider.logIn()
    t.match(await insider.call('whoami'), { subject: shape.subject })
    forward(HOUR_SECONDS)
    t.equal((await insider.refresh()).status, 200, 'a member stays')
    t.match(await insider.call('whoami'), { subject: shape.subject })

    leave(server)
    const outsider = await TestClient.register(service)
    const browser = new Browser(url => url.port === '3334', service.fetch)
    const page = await logIn(browser, outsider.authorizationUrl(), 'alice')
    t.equal(page.status, 403)
    t.match(page.html, /You may not use this server/)

    forward(HOUR_SECONDS)
    t.match(await insider.refresh(), { status: 400, body: { error: 'invalid_grant' } }, 'who has left is out')
    t.equal(await insider.status(), 401)
  })
}

t.test('settings are four, where there is one instance, and a rule', t => {
  for (const shape of [githubOAuthApp, google, gitlab, discord, linkedin]) {
    const names = Object.keys(fillIn(shape.recipe, { ...new ShapedServer(shape).values }))
    const [rule, ...more] = names.filter(name => /^(ALLOWED_|REQUIRED_)/.test(name))
    const others = names.filter(name => name !== rule)
    t.strictSame(
      others.toSorted(),
      ['OAUTH_CLIENT_ID', 'OAUTH_CLIENT_SECRET', 'OAUTH_PROVIDER', 'PUBLIC_URL'],
      shape.name
    )
    t.type(rule, 'string')
    t.strictSame(more, [])
  }
  t.end()
})

const address = { ALLOWED_EMAILS: 'alice@example.com' }
const emails = (verified: boolean) => [
  { email: 'alice@example.com', primary: false, verified: true },
  { email: verified ? 'alice@example.com' : 'ALICE@example.com', primary: true, verified }
]

/** name, shape, claims that change, further answers that change, whether alice@example.com gets in */
const addresses: ReadonlyArray<[string, Shape, claims: object, further: Record<string, unknown>, isIn: boolean]> = [
  ['GitHub, verified', githubOAuthApp, {}, { [EMAILS]: emails(true) }, true],
  ['GitHub, not verified', githubOAuthApp, {}, { [EMAILS]: emails(false) }, false],
  ['GitHub, only in the profile', githubOAuthApp, { email: 'alice@example.com' }, { [EMAILS]: [] }, false],
  ['GitHub, called verified by the profile', githubOAuthApp, { email: 'alice@example.com', email_verified: true },
    { [EMAILS]: [] }, false],
  ['Google, verified', google, {}, {}, true],
  ['Google, not verified', google, { email_verified: false }, {}, false],
  ['GitLab, verified', gitlab, {}, {}, true],
  ['GitLab, not verified', gitlab, { email_verified: false }, {}, false],
  ['Discord, verified', discord, {}, {}, true],
  ['Discord, not verified', discord, { verified: false, email_verified: true }, {}, false],
  ['LinkedIn, verified', linkedin, {}, {}, true],
  ['LinkedIn, not verified', linkedin, { email_verified: 'false' }, {}, false],
  ['Entra, of a domain of the tenant', entra, { email: 'alice@example.com', xms_edov: true }, {}, true],
  ['Entra, of a domain of the tenant, in other words', entra, { email: 'alice@example.com', xms_edov: '1' }, {}, true],
  ['Entra, of another domain', entra, { email: 'alice@example.com', xms_edov: false }, {}, false],
  ['Entra, of nobody knows which', entra, { email: 'alice@example.com' }, {}, false],
  ['Okta, only in userinfo', oktaOrg, { email: 'alice@example.com', email_verified: true }, {}, true]
]

t.test('verified addresses are told apart from others', async t => {
  for (const [name, shape, claims, further, isIn] of addresses) {
    const { server, service } = await start(t, shape, address)
    Object.assign(server.changed, claims)
    for (const [url, body] of Object.entries(further)) server.further[url] = { scope: 'user:email', body }
    t.equal(await tryToLogIn(service), isIn ? shape.subject : 'access_denied', name)
    t.equal(server.asked.count('groups'), shape === githubOAuthApp ? 1 : 0, 'groups are not asked for')
  }
})

const OWN = { OAUTH_GROUPS_CLAIM: 'https://example.com/groups' }
const ROLES = { OAUTH_GROUPS_CLAIM: 'realm_access.roles' }
const overage = { _claim_names: { groups: 'src1' }, _claim_sources: { src1: { endpoint: 'https://evil.example/me' } } }

/** name, shape, a group that alice is in, claims that say so, further answers, settings */
const groups: ReadonlyArray<[string, Shape, group: string, claims?: object, further?: object, settings?: Variables]> = [
  ['GitHub, organization', githubOAuthApp, 'acme'],
  ['GitHub, team', githubOAuthApp, 'acme/staff'],
  ['Google', google, 'mcp-users@example.com'],
  ['GitLab', gitlab, 'acme'],
  ['GitLab, direct', gitlab, 'acme/tools', {}, {}, { OAUTH_GROUPS_CLAIM: 'groups_direct' }],
  ['Discord', discord, '197038439483310086'],
  ['Entra, in the token', entra, 'g-1', { groups: ['g-1'] }],
  ['Entra, too many for the token', entra, 'g-2', overage, { [GRAPH]: { value: ['g-1', 'g-2'] } }],
  ['Entra, too many, said otherwise', entra, 'g-2', { hasgroups: true }, { [GRAPH]: { value: ['g-2'] } }],
  ['Entra, without the claim', entra, 'g-2', {}, { [GRAPH]: { value: ['g-2'] } }],
  ['Okta, org', oktaOrg, 'Everyone', { groups: ['Everyone'] }],
  ['Okta, custom', oktaCustom, 'Everyone', { groups: ['Everyone'] }],
  ['Auth0', auth0, 'staff', { 'https://example.com/groups': ['staff'] }, {}, OWN],
  ['Keycloak, groups', keycloakStatic, '/staff', { groups: ['/staff'] }],
  ['Keycloak, roles', keycloakStatic, 'staff', { realm_access: { roles: ['staff'] } }, {}, ROLES],
  ['Cognito', cognito, 'staff']
]

t.test('groups of every provider', async t => {
  for (const [name, shape, group, claims = {}, further = {}, settings = {}] of groups) {
    const { server, service, forward, lifetimeSeconds } = await start(t, shape, { ...settings, ALLOWED_GROUPS: group })
    Object.assign(server.changed, claims)
    for (const [url, body] of Object.entries(further)) server.further[url] = { scope: 'User.Read', body }
    const client = await TestClient.register(service)
    await client.logIn()
    t.match(await client.call('whoami'), { subject: shape.subject, claims: { groups: [/./] } }, name)
    // while the access token there is good still, and after it has ended
    t.equal((await client.refresh()).status, 200, `${name}: stays`)
    forward(Math.max(lifetimeSeconds, HOUR_SECONDS))
    t.equal((await client.refresh()).status, 200, `${name}: stays`)

    const { service: closed, server: same } = await start(t, shape, { ...settings, ALLOWED_GROUPS: `${group}x` })
    Object.assign(same.changed, claims)
    for (const [url, body] of Object.entries(further)) same.further[url] = { scope: 'User.Read', body }
    t.equal(await tryToLogIn(closed), 'access_denied', `${name}: another group`)
  }
})

t.test('a claim called groups counts for nothing if groups are elsewhere', async t => {
  for (const [shape, settings] of [[cognito, {}], [auth0, OWN], [githubOAuthApp, {}], [google, {}]] as const) {
    const { server, service } = await start(t, shape, { ...settings, ALLOWED_GROUPS: 'forged' })
    Object.assign(server.changed, { groups: ['forged'] })
    t.equal(await tryToLogIn(service), 'access_denied', shape.name)
  }
  const { server, service } = await start(t, google, { ALLOWED_GROUPS: 'mcp-users@example.com' })
  Object.assign(server.changed, { hd: undefined })
  t.equal(await tryToLogIn(service), 'access_denied', 'an account that no Workspace has')
  t.equal(server.asked.count('groups'), 0)
})

t.test('nothing is asked for that no rule looks at', async t => {
  for (const shape of [githubOAuthApp, google, entra, discord]) {
    const { server, service } = await start(t, shape, { ALLOWED_SUBJECTS: shape.subject })
    t.equal(await tryToLogIn(service), shape.subject, shape.name)
    t.equal(server.asked.count('groups'), 0)
    t.notMatch(server.askedScopes, /read:org|cloud-identity|User\.Read|guilds/)
  }
  const { server, service } = await start(t, githubOAuthApp, { OAUTH_SCOPES: 'read:user', ALLOWED_GROUPS: 'acme' })
  t.equal(await tryToLogIn(service), 'server_error', 'scopes that were chosen are all that is asked for')
  t.equal(server.askedScopes, 'read:user')
  t.ok(service.log.some(({ detail }) => /user\/(orgs|teams) responded with 403/.test(String(detail))), 'the log says why')
})

t.test('an outage at the API of groups', async t => {
  const cases = [
    [githubApp, 'acme'],
    [google, 'mcp-users@example.com'],
    [discord, '197038439483310086']
  ] as const
  for (const [shape, group] of cases) {
    const { server, service, forward, lifetimeSeconds } = await start(t, shape, { ALLOWED_GROUPS: group })
    const client = await TestClient.register(service)
    await client.logIn()
    forward(lifetimeSeconds + 1)
    server.down.add('groups')
    t.match(await client.refresh(), { status: 503, body: { error: 'temporarily_unavailable' } }, shape.name)
    t.equal(await tryToLogIn(service), 'temporarily_unavailable', 'nobody is refused for it')
    server.down.clear()
    t.equal((await client.refresh()).status, 200, 'the login stays')
  }
})

const nested = JSON.parse('['.repeat(500) + ']'.repeat(500)) as unknown
const hostile: readonly unknown[] = [
  null, 'acme', 7, {}, { message: 'acme' }, { login: 'acme' }, [null], ['acme'], [[{ login: 'acme' }]], nested,
  [{ login: ['acme'] }], [{ login: { toString: 'acme' } }], [{ login: '' }], [{ __proto__: { login: 'acme' } }],
  [{ login: `acme${'x'.repeat(300)}` }], 'x'.repeat(300_000), { memberships: 'acme' },
  { memberships: [{ groupKey: 'acme' }] },
  { value: 'acme' }, { value: [{ id: 'acme' }] }
]

t.test('what an API says that it must not say lets nobody in, and is no fault of ours', async t => {
  const apis = [[githubOAuthApp, [ORGANIZATIONS, TEAMS], 'read:org'], [google, [GOOGLE_GROUPS],
    'https://www.googleapis.com/auth/cloud-identity.groups.readonly'], [entra, [GRAPH], 'User.Read'], [discord, [SERVERS], 'guilds']] as const
  for (const [shape, urls, scope] of apis) {
    const { server, service } = await start(t, shape, { ALLOWED_GROUPS: 'acme' })
    const client = await TestClient.register(service)
    for (const body of hostile) {
      for (const url of urls) server.further[url] = { scope, body }
      const { error } = await client.answer()
      t.match(error, /^(access_denied|server_error)$/, `${shape.name}: ${JSON.stringify(body).slice(0, 60)}`)
    }
    const faults = service.log.filter(({ level, reason }) => level === 50 && reason === undefined)
    t.strictSame(faults, [], 'no error of ours')
  }
})
