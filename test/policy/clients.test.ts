import t, { type Test } from 'tap'
import { matchesClient, type JudgedClient } from '../../src/policy/clients.js'
import { Policy } from '../../src/policy/policy.js'
import type { BrokerModeOptions } from '../../src/service/plugin-options.js'
import { ScriptableUpstream } from '../../src/testing/index.js'
import { ask, askToRegister, authorizationUrl, parseTokens, redeem, refresh, register } from '../support/oauth-flow.js'
import { Browser, logIn } from '../support/browser.js'
import { startService } from '../upstreams/test-client.js'

const registered = (...redirectUris: string[]): JudgedClient => ({
  clientId: 'mcpc_1',
  kind: 'registered',
  redirectUris
})
const document = (clientId: string): JudgedClient => ({
  clientId,
  kind: 'document',
  redirectUris: ['http://localhost/cb', 'https://other.example/cb']
})
const known = (clientId: string): JudgedClient => ({
  clientId,
  kind: 'preregistered',
  redirectUris: ['https://web.example/cb']
})

const cases: ReadonlyArray<[allowed: string[], client: JudgedClient, allows: boolean]> = [
  [['app.example.com'], registered('https://app.example.com/cb'), true],
  [['APP.example.com'], registered('https://app.example.com/cb'), true],
  [['app.example.com:443'], registered('https://app.example.com/cb'), true],
  [['app.example.com'], registered('https://app.example.com:8443/cb'), false],
  [['app.example.com'], registered('https://app.example.com.evil.test/cb'), false],
  [['app.example.com'], registered('https://evil.test/app.example.com'), false],
  [['*.example.com'], registered('https://app.example.com/cb'), true],
  [['*.example.com'], registered('https://example.com/cb'), false],
  [['*.example.com'], registered('https://evilexample.com/cb'), false],
  [['app.example.com'], registered('https://evil.test/cb', 'https://app.example.com/cb'), true],
  [['loopback'], registered('http://127.0.0.1:3334/cb'), true],
  [['loopback'], registered('http://localhost/cb'), true],
  [['localhost'], registered('http://localhost/cb'), false],
  [['loopback'], registered('https://loopback/cb'), false],
  [['cursor:'], registered('cursor://anysphere.cursor-mcp/oauth/callback'), true],
  [['cursor'], registered('cursor://anysphere.cursor-mcp/oauth/callback'), false],
  [['cursor:'], registered('cursorx://a/b'), false],
  [['anysphere.cursor-mcp'], registered('cursor://anysphere.cursor-mcp/oauth/callback'), false],
  [['vscode.dev'], document('https://vscode.dev/client.json'), true],
  [['https://vscode.dev/client.json'], document('https://vscode.dev/client.json'), true],
  [['https://vscode.dev/client.json'], document('https://vscode.dev/other.json'), false],
  [['loopback', 'other.example'], document('https://evil.test/client.json'), false],
  [['reports'], known('reports'), true],
  [['web.example'], known('reports'), true],
  [['other'], known('reports'), false]
]

t.test('which clients rules allow', async t => {
  for (const [allowed, client, allows] of cases) {
    const name = `${allowed}: ${client.kind} ${client.clientId} ${client.redirectUris}`
    t.equal(matchesClient(allowed, client), allows, name)
  }
})

const WEB = 'https://app.example.com/callback'
const CLIENTS = [{ clientId: 'reports', redirectUris: ['https://reports.example/callback'], trusted: true }]

async function start (t: Test, options: Partial<BrokerModeOptions>) {
  const upstream = new ScriptableUpstream()
  return await startService(
    t,
    { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch },
    { clients: CLIENTS, ...options }
  )
}

t.test('at registration', async t => {
  const service = await start(t, { policy: { clients: { allowed: ['app.example.com'] } } })
  const asked = (...uris: string[]) =>
    askToRegister(service, { redirect_uris: uris, token_endpoint_auth_method: 'none' })
  t.equal((await asked(WEB)).status, 201)
  const refused = await asked('https://other.example/callback', 'http://localhost:3334/callback')
  t.equal(refused.status, 400)
  t.equal(refused.error, 'invalid_redirect_uri')
  t.match(
    refused.member('error_description'),
    /\(other\.example, loopback\) may not use this server\. The operator .* ALLOWED_CLIENTS/
  )
})

t.test('at /authorize: a page, and nothing is fetched', async t => {
  const policy = new Policy({})
  const service = await start(t, { policy })
  const client = await register(service, WEB)
  policy.replace({ clients: { allowed: ['claude.ai'] } })
  const open = async (clientId: string, redirectUri: string) => {
    const page = await new Browser(() => true, service.fetch).open(
      authorizationUrl(service, { clientId, redirectUri })
    )
    return [page.status, page.document.querySelector('main')?.text ?? ''] as const
  }
  for (
    const [clientId, redirectUri, name] of [
      [client.clientId, WEB, 'app.example.com'],
      ['reports', 'https://reports.example/callback', 'reports.example'],
      ['https://documents.invalid/client.json', 'http://localhost/callback', 'documents.invalid']
    ] as const
  ) {
    const [status, text] = await open(clientId, redirectUri)
    t.equal(status, 400, name)
    t.match(text, `This application (${name}) may not use this server.`)
    t.match(text, 'ALLOWED_CLIENTS')
  }
  policy.replace({ clients: { allowed: ['app.example.com', 'reports'] } })
  t.equal((await open(client.clientId, WEB))[0], 200)
  t.not((await open('reports', 'https://reports.example/callback'))[0], 400)
})

t.test('only the redirect URIs that are allowed can be used', async t => {
  const service = await start(t, { policy: { clients: { allowed: ['app.example.com'] } } })
  const { clientId } = await register(service, WEB, { redirect_uris: [WEB, 'https://evil.test/callback'] })
  const open = async (redirectUri: string) =>
    (await ask(service, authorizationUrl(service, { clientId, redirectUri }))).status
  t.equal(await open(WEB), 200)
  t.equal(await open('https://evil.test/callback'), 400)
})

t.test('at /token: a rule that is added later locks out those who are there', async t => {
  const policy = new Policy({})
  const service = await start(t, { policy })
  const client = await register(service, WEB)
  const browser = new Browser(url => url.href.startsWith(WEB), service.fetch)
  const newCode = async () =>
    (await logIn(browser, authorizationUrl(service, client), 'alice')).url.searchParams.get('code') ?? ''
  const { refreshToken } = parseTokens(await redeem(service, client, await newCode()))
  const code = await newCode()
  policy.replace({ clients: { allowed: ['claude.ai'] } })
  for (const answer of [await redeem(service, client, code), await refresh(service, client, refreshToken)]) {
    t.equal(answer.status, 400)
    t.equal(answer.error, 'unauthorized_client')
    t.match(answer.member('error_description'), /app\.example\.com.*ALLOWED_CLIENTS/)
  }
  policy.replace({ clients: { allowed: ['app.example.com'] } })
  t.equal((await refresh(service, client, refreshToken)).status, 200, 'nothing was lost')
})

t.test('who may register', async t => {
  const token = 'an-initial-access-token'
  const policy = new Policy({ clients: { registration: 'token' } })
  const service = await start(t, { policy, initialAccessTokens: ['another-initial-access-token', token] })
  const ask = async (authorization?: string) => {
    const response = await service.app.inject({
      method: 'POST',
      url: '/register',
      headers: { ...authorization !== undefined && { authorization } },
      payload: { redirect_uris: [WEB] }
    })
    return [response.statusCode, response.json<{ error?: string }>().error, response.headers['www-authenticate']]
  }
  const metadata = async () =>
    (await service.app.inject('/.well-known/oauth-authorization-server')).json<Record<string, unknown>>()
  t.strictSame(await ask(), [401, 'invalid_token', 'Bearer realm="OAuth"'])
  t.strictSame(await ask('Bearer wrong'), [401, 'invalid_token', 'Bearer error="invalid_token"'])
  t.strictSame(await ask(`Bearer ${token}`), [201, undefined, undefined])
  t.equal((await metadata()).registration_endpoint, `${service.url}/register`)
  policy.replace({ clients: { registration: 'off' } })
  t.strictSame(await ask(`Bearer ${token}`), [403, 'access_denied', undefined])
  t.equal((await metadata()).registration_endpoint, undefined)
  policy.replace({})
  t.strictSame(await ask(), [201, undefined, undefined])
})
