import t from 'tap'
import { loadConfig } from '../../src/config/config.js'
import { ConfigError, TemporarilyUnavailableError, UpstreamError } from '../../src/errors.js'
import { toUpstreamSettings } from '../../src/oauth/upstream-settings.js'
import { ProviderApi } from '../../src/oauth/providers/provider-api.js'
import { findProvider, PROVIDER_NAMES, type ProviderName } from '../../src/oauth/providers/providers.js'
import { startService } from './test-client.js'

const client = { OAUTH_CLIENT_ID: 'us', OAUTH_CLIENT_SECRET: 'shh' }
const load = (environment: NodeJS.ProcessEnv) => loadConfig({ ...client, ...environment }, { dotenv: false })

const TENANT = '6f1d2c3b-4a59-4e68-8f70-1b2c3d4e5f60'
const ENTRA = `https://login.microsoftonline.com/${TENANT}/v2.0`
const POOL = 'eu-central-1_AbCdEfGhI'
/** provider, OAUTH_ISSUER_URL, the issuer */
const issuers: ReadonlyArray<[ProviderName, string | undefined, string]> = [
  ['google', undefined, 'https://accounts.google.com'],
  ['gitlab', undefined, 'https://gitlab.com'],
  ['gitlab', 'https://gitlab.example.com', 'https://gitlab.example.com'],
  ['linkedin', undefined, 'https://www.linkedin.com/oauth'],
  ['entra', TENANT, ENTRA],
  ['entra', ENTRA, ENTRA],
  ['auth0', 'acme.eu.auth0.com', 'https://acme.eu.auth0.com/'],
  ['okta', 'acme.okta.com', 'https://acme.okta.com'],
  ['okta', 'https://acme.okta.com/oauth2/default', 'https://acme.okta.com/oauth2/default'],
  ['keycloak', 'https://keycloak.example.com/realms/acme', 'https://keycloak.example.com/realms/acme'],
  ['cognito', POOL, `https://cognito-idp.eu-central-1.amazonaws.com/${POOL}`]
]

t.test('which instance it is', t => {
  for (const [OAUTH_PROVIDER, OAUTH_ISSUER_URL, issuer] of issuers) {
    const { upstream } = load({ OAUTH_PROVIDER, OAUTH_ISSUER_URL })
    t.equal(upstream?.issuer, issuer, `${OAUTH_PROVIDER} ${OAUTH_ISSUER_URL}`)
    t.equal(upstream?.issuerUrl?.href, new URL(issuer).href)
  }
  t.end()
})

t.test('what is missing or wrong is one line', t => {
  const none = { OAUTH_CLIENT_ID: undefined, OAUTH_CLIENT_SECRET: undefined }
  const cases: Array<[NodeJS.ProcessEnv, RegExp]> = [
    [{ OAUTH_PROVIDER: 'gogle' }, /^OAUTH_PROVIDER is "gogle"; it takes google, github, entra, [^\n]*linkedin\.$/],
    ...(['entra', 'auth0', 'okta', 'keycloak', 'cognito'] as const).map((OAUTH_PROVIDER): [NodeJS.ProcessEnv, RegExp] =>
      [
        { OAUTH_PROVIDER },
        new RegExp(`^OAUTH_ISSUER_URL is not set; OAUTH_PROVIDER=${OAUTH_PROVIDER} needs it: the [^\\n]*$`)
      ]
    ),
    ...(['google', 'github', 'discord', 'linkedin'] as const).map((OAUTH_PROVIDER): [NodeJS.ProcessEnv, RegExp] =>
      [{ ...none, OAUTH_PROVIDER }, /^OAUTH_CLIENT_ID is not set; OAUTH_PROVIDER=/]
    ),
    [{ OAUTH_PROVIDER: 'google', OAUTH_CLIENT_ID: undefined }, /^OAUTH_CLIENT_ID is not set/],
    [{ OAUTH_PROVIDER: 'entra', OAUTH_ISSUER_URL: 'acme' }, /^OAUTH_ISSUER_URL is "acme"; it takes an https URL/],
    [{ OAUTH_PROVIDER: 'entra', OAUTH_ISSUER_URL: 'organizations' }, /^OAUTH_ALLOWED_TENANTS is not set/],
    [{ OAUTH_PROVIDER: 'github', OAUTH_GROUPS_CLAIM: ' ' }, /^OAUTH_GROUPS_CLAIM is " "; it takes the name of a claim\.$/]
  ]
  for (const [environment, message] of cases) {
    t.throws(() => load(environment), { constructor: ConfigError, message }, JSON.stringify(environment))
  }
  t.end()
})

t.test('what is set goes before the preset', t => {
  const set = {
    OAUTH_ISSUER_URL: 'https://login.example.com',
    OAUTH_AUTHORIZATION_URL: 'https://login.example.com/a',
    OAUTH_TOKEN_URL: 'https://login.example.com/t',
    OAUTH_REVOCATION_URL: 'https://login.example.com/r',
    OAUTH_USERINFO_URL: 'https://login.example.com/u',
    OAUTH_SUBJECT_CLAIM: 'uid',
    OAUTH_GROUPS_CLAIM: 'teams',
    OAUTH_CLIENT_AUTH_METHOD: 'basic',
    OAUTH_ALLOW_MISSING_NONCE: 'false',
    OAUTH_PKCE: 'on',
    OAUTH_SCOPES: 'openid other',
    OAUTH_EXTRA_AUTHORIZE_PARAMS: 'a=b'
  }
  const { provider: _none, ...plain } = { provider: undefined, ...load(set).upstream }
  for (const OAUTH_PROVIDER of PROVIDER_NAMES) {
    const { provider, ...upstream } = load({ ...set, OAUTH_PROVIDER }).upstream ?? {}
    t.equal(provider, OAUTH_PROVIDER)
    t.strictSame(upstream, plain, OAUTH_PROVIDER)
  }
  const github = load({ OAUTH_PROVIDER: 'github', OAUTH_SUBJECT_CLAIM: 'node_id' }).upstream
  t.match(github, { subjectClaim: 'node_id', scopes: ['read:user', 'user:email'] })
  t.equal(load({ OAUTH_PROVIDER: 'linkedin', OAUTH_CLIENT_AUTH_METHOD: 'auto' }).upstream?.clientAuthMethod, 'auto')
  t.end()
})

t.test('in code, the same', t => {
  const undefinedOptions: object = { subjectClaim: undefined, scopes: undefined, userinfoUrl: undefined }
  for (const provider of PROVIDER_NAMES) {
    const settings = toUpstreamSettings({ provider, issuerUrl: 'https://login.example.com', ...undefinedOptions })
    const { OAUTH_SCOPES: _, ...variables } = { OAUTH_PROVIDER: provider, OAUTH_ISSUER_URL: 'https://login.example.com', OAUTH_SCOPES: '' }
    const { issuer: _issuer, clientId: _id, clientSecret: _secret, registrationGeneration: _generation, ...upstream } =
      load(variables).upstream ?? {}
    t.match(settings, upstream, provider)
  }
  t.end()
})

t.test('a start without a rule, where anybody can have an account, says so once', async t => {
  const warnings = async (provider: ProviderName, options: Parameters<typeof startService>[2] = {}) => {
    const upstream = { provider, issuerUrl: 'https://login.example.com', clientId: 'us', clientSecret: 'shh' }
    const { issuerUrl: _, ...open } = upstream
    const isOpen = findProvider(provider).instance === undefined
    const { log } = await startService(t, { ...isOpen ? open : upstream, scopes: ['openid'] }, options)
    return log.filter(({ level, msg }) => level === 40 && /^ANYBODY CAN LOG IN/.test(String(msg))).length
  }
  for (const provider of PROVIDER_NAMES) {
    const isOpen = ['google', 'github', 'gitlab', 'discord', 'linkedin'].includes(provider)
    t.equal(await warnings(provider), isOpen ? 1 : 0, provider)
  }
  t.equal(await warnings('github', { policy: { login: { groups: ['acme'] } } }), 0, 'with a rule')
  t.equal(await warnings('github', { authorizeGrant: () => ({ allow: true }) }), 0, 'with authorizeGrant')
  t.equal(await warnings('github', { policy: { trustEmails: true } }), 1, 'with rules about something else')
})

/** Groups that a provider finds behind an API that is a function. */
async function findGroups (name: ProviderName, claims: object, respond: (url: URL, init: RequestInit) => Response) {
  const asked: URL[] = []
  const api = new ProviderApi({
    accessToken: 'token',
    scopes: [],
    signal: AbortSignal.timeout(5000),
    fetch: async (input, init = {}) => {
      const url = new URL(input instanceof Request ? input.url : input)
      asked.push(url)
      init.signal?.throwIfAborted()
      return respond(url, init)
    }
  })
  const found = await findProvider(name).complete?.({ ...claims }, { groups: true, email: false }, api)
  return { groups: found?.groups, asked }
}

const workspace = { email: 'o\'brien\\@example.com', hd: 'example.com' }
const logins = (count: number, page = 1) => Array.from({ length: count }, (_, i) => ({ login: `org-${page}-${i}` }))

t.test('pages are read to their end, and no more than ten', async t => {
  const pages = await findGroups('github', {}, ({ pathname, searchParams }) => {
    const page = Number(searchParams.get('page'))
    t.equal(searchParams.get('per_page'), '100')
    return Response.json(pathname === '/user/orgs' && page < 4 ? logins(page === 3 ? 1 : 100, page) : [], {
      headers: { link: '<https://evil.example/user/orgs?page=2>; rel="next"' }
    })
  })
  t.equal(Array.isArray(pages.groups) && pages.groups.length, 201)
  t.strictSame([...new Set(pages.asked.map(({ host }) => host))], ['api.github.com'], 'links are not followed')
  t.equal(pages.asked.length, 4)

  const endless = await findGroups('github', {}, ({ searchParams }) =>
    Response.json(logins(100, Number(searchParams.get('page')))))
  t.equal(endless.asked.length, 20)
  const google = await findGroups('google', workspace, ({ searchParams }) => {
    t.equal(searchParams.get('query'), 'member_key_id == \'o\\\'brien\\\\@example.com\'', 'a text, whatever it is')
    const nextPageToken = `${searchParams.get('page_token')}x`
    return Response.json({ memberships: [{ groupKey: { id: 'g' } }], nextPageToken })
  })
  t.strictSame(google.groups, ['g'])
  t.equal(google.asked.length, 10)
})

t.test('groups have a bound, and a length', async t => {
  const many = Array.from({ length: 5000 }, (_, index) => ({ id: String(index) }))
  const long = [{ id: 'x'.repeat(257) }, { id: 'x'.repeat(256) }]
  const { groups } = await findGroups('discord', {}, () => Response.json([...long, ...many]))
  t.equal(Array.isArray(groups) && groups.length, 2000)
  t.equal(Array.isArray(groups) && groups[0], 'x'.repeat(256))
})

t.test('what an API refuses', async t => {
  const limit = { 'x-ratelimit-remaining': '0' }
  type Failure = typeof UpstreamError | typeof TemporarilyUnavailableError | typeof Response
  const cases: ReadonlyArray<[string, Response, Failure]> = [
    ['a token that is no longer good', new Response('', { status: 401 }), Response],
    ['an outage', new Response('', { status: 502 }), Response],
    ['too many requests', new Response('', { status: 429 }), Response],
    ['too many, as GitHub says it', new Response('{}', { status: 403, headers: limit }), TemporarilyUnavailableError],
    ['a permission that lacks', Response.json({ message: 'no' }, { status: 403 }), UpstreamError],
    ['a redirect', new Response('', { status: 302, headers: { location: 'https://evil.example' } }), UpstreamError],
    ['nothing', new Response(null, { status: 204 }), UpstreamError],
    ['no JSON', new Response('<html>'), UpstreamError],
    ['too much', new Response(`["${'x'.repeat(300_000)}"]`), UpstreamError]
  ]
  for (const [name, response, type] of cases) {
    const failure = await findGroups('discord', {}, (_url, { redirect }) => {
      t.equal(redirect, 'manual')
      return response
    }).then(() => undefined, (error: unknown) => error)
    t.ok(failure instanceof type, name)
  }
  const { asked } = await findGroups('entra', { _claim_names: { groups: 'src1' } }, (url, { method, body }) => {
    t.strictSame([url.href, method, body], [
      'https://graph.microsoft.com/v1.0/me/getMemberObjects', 'POST', '{"securityEnabledOnly":false}'
    ])
    return Response.json({ value: [] })
  })
  t.equal(asked.length, 1)
})
