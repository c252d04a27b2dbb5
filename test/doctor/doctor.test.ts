import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import Fastify from 'fastify'
import { createServer } from '../support/sample-server.js'
import { mcpService } from '../../src/service/mcp-service.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import type { ScriptableUpstream, ScriptableUpstreamOptions } from '../../src/testing/index.js'
import { freePort } from '../support/free-port.js'
import { startService } from '../support/service.js'
import { root, runnable } from '../support/root.js'
import { listeningUpstream } from '../support/listening-upstream.js'
import { faults, inside, open, outside, proxy } from './deployments.js'
import type { Finding } from '../../src/doctor/findings.js'

const run = promisify(execFile)
const says = (findings: readonly Finding[], check: string) =>
  findings.find(finding => finding.check === check && finding.level !== 'ok')

/** The service behind a proxy, and calling itself what the proxy is called. */
async function behind (
  t: Test,
  meddling: Omit<Parameters<typeof proxy>[1], 'targets' | 'port'>,
  environment: NodeJS.ProcessEnv = {}
): Promise<string> {
  const port = await freePort()
  const service = await startService(t, { PUBLIC_URL: `http://localhost:${port}`, ...environment })
  return await proxy(t, { ...meddling, port, targets: [`http://127.0.0.1:${service.config.port}`] })
}

const oddly = async (
  t: Test,
  options: ScriptableUpstreamOptions
): Promise<{ odd: ScriptableUpstream, upstream: { issuerUrl: URL, scopes: string[] } }> => {
  const odd = await listeningUpstream(t, options)
  return { odd, upstream: { issuerUrl: new URL(odd.issuer), scopes: ['openid', 'profile', 'email', 'offline_access'] } }
}

t.test('a sound deployment, from outside and from inside', async t => {
  const service = await startService(t)
  const found = await outside(service.url, { open })
  t.same(faults(found), [])
  for (
    const check of [
      'clock',
      'challenge',
      'public-url',
      'resource-metadata',
      'authorization-server',
      'issuer',
      'cors',
      'registration',
      'authorize',
      'login',
      'session',
      'stream',
      'origin',
      'host'
    ]
  ) {
    t.ok(found.some(finding => finding.check === check && finding.level === 'ok'), check)
  }
  const { upstream } = await oddly(t, {})
  const within = await inside(upstream, { open })
  t.same(faults(within), [])
  for (
    const check of [
      'upstream-discovery',
      'upstream-clock',
      'upstream-pkce',
      'upstream-refresh',
      'upstream-registration',
      'upstream-redirect',
      'upstream-login'
    ]
  ) {
    t.ok(within.some(finding => finding.check === check && finding.level === 'ok'), check)
  }
})

t.test('1: a wrong PUBLIC_URL', async t => {
  const service = await startService(t, { PUBLIC_URL: 'https://mcp.example.com' })
  const found = await outside(`http://localhost:${service.config.port}`)
  t.match(says(found, 'public-url'), {
    level: 'error',
    says: /calls itself https:\/\/mcp\.example\.com, but clients come to http:\/\/localhost/,
    fix: /Set PUBLIC_URL=http:\/\/localhost/
  })
})

t.test('2: http behind TLS, by the command line', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'doctor-tls-'))
  t.teardown(() => { rmSync(directory, { recursive: true, force: true }) })
  const [key, certificate] = [join(directory, 'key.pem'), join(directory, 'certificate.pem')]
  await run('openssl', [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-days',
    '1',
    '-subj',
    '/CN=localhost',
    '-addext',
    'subjectAltName=DNS:localhost',
    '-keyout',
    key,
    '-out',
    certificate
  ])
  const service = await startService(t)
  const origin = await proxy(t, {
    targets: [service.url],
    tls: { key: readFileSync(key), cert: readFileSync(certificate) }
  })
  const failure = await run(process.execPath, [...runnable('src/cli'), 'doctor', origin], {
    cwd: root,
    env: { PATH: process.env.PATH, NODE_EXTRA_CA_CERTS: certificate }
  })
    .then(() => undefined, (error: unknown) => error)
  t.match(failure, {
    code: 1,
    stdout:
      /✗ https: clients come by https, but the service calls itself http:.*PUBLIC_URL is http behind TLS\n +Set PUBLIC_URL=https:\/\/localhost/
  })
})

t.test('3: buffered SSE', async t => {
  const origin = await behind(t, { buffered: true })
  const found = await outside(origin, { open })
  t.match(says(found, 'stream'), { level: 'error', says: /buffers it/, fix: /proxy_buffering off/ })
  t.same(faults(found), ['stream'])
})

t.test('4: closed dynamic client registration', async t => {
  const { upstream } = await oddly(t, {
    overrides: { register: () => ({ status: 401, body: { error: 'invalid_token' } }) }
  })
  const found = await inside(upstream)
  t.match(says(found, 'upstream-registration'), {
    level: 'error',
    says: /does not register this service.*401/,
    fix: /set OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET/
  })
})

t.test('registration that takes an initial access token is doubtful, not broken', async t => {
  const { url } = await startService(t, {
    DYNAMIC_REGISTRATION: 'token',
    INITIAL_ACCESS_TOKENS: 'a-token-with-which-to-register'
  })
  const found = await outside(url)
  t.match(says(found, 'registration'), {
    level: 'warning',
    says: /only with an initial access token: /,
    fix: /DYNAMIC_REGISTRATION=token: .*INITIAL_ACCESS_TOKENS/
  })
  t.notOk(found.some(({ check, level }) => check === 'registration' && level === 'error'))
})

t.test('5: a redirect URI that is not registered upstream', async t => {
  const { odd, upstream } = await oddly(t, {})
  odd.clients.addByHand('http://localhost:5051', { authMethod: 'client_secret_basic' })
  const found = await inside({ ...upstream, clientId: 'us', clientSecret: 'shh' })
  t.match(says(found, 'upstream-redirect'), {
    level: 'error',
    says: /refuses the authorization request with 400/,
    fix: /Register the redirect URI http:\/\/localhost:5050\/oauth\/callback/
  })
  t.same(faults(found), ['upstream-redirect'])
})

t.test('6: no refresh token', async t => {
  const promised = await oddly(t, { refreshTokens: false })
  t.match(says(await inside(promised.upstream, { open }), 'upstream-refresh'), {
    level: 'error',
    says: /a login there gave no refresh token/
  })
  const { upstream } = await oddly(t, {
    refreshTokens: false,
    metadata: { grant_types_supported: ['authorization_code'] }
  })
  t.match(says(await inside(upstream), 'upstream-refresh'), {
    level: 'warning',
    says: /does not list the grant type refresh_token/
  })
  t.match(says(await inside({ ...upstream, scopes: ['openid'] }), 'upstream-refresh'), { level: 'warning' })
})

t.test('7: a session that is lost between replicas', async t => {
  const port = await freePort()
  const upstream = { issuerUrl: new URL((await listeningUpstream(t, {})).issuer), scopes: ['openid'] }
  const stores = createMemoryStores({ sessionIdleSeconds: 3600 })
  const encryptionKeys = `1:${randomBytes(32).toString('base64url')}`
  const replica = async (own: typeof stores) => {
    const app = Fastify({ forceCloseConnections: true })
    await app.register(mcpService, {
      publicUrl: `http://localhost:${port}`,
      createServer,
      upstream,
      encryptionKeys,
      stores: own
    })
    t.teardown(() => app.close())
    return await app.listen({ port: 0, host: '127.0.0.1' })
  }
  const { sessions, eventLog } = createMemoryStores({ sessionIdleSeconds: 3600 })
  const targets = [await replica(stores), await replica({ ...stores, sessions, eventLog })]
  const origin = await proxy(t, { targets, port })
  const found = await outside(origin, { open })
  t.match(says(found, 'session'), {
    level: 'error',
    says: /answered 404: the session is lost on the way/,
    fix: /REDIS_URL/
  })
})

t.test('8: a wrong issuer', async t => {
  const { upstream } = await oddly(t, { path: '/tenant', metadata: { issuer: 'https://login.example.com/other' } })
  const found = await inside(upstream)
  t.match(says(found, 'upstream-issuer'), {
    level: 'error',
    says: /calls itself https:\/\/login\.example\.com\/other, but OAUTH_ISSUER_URL is/,
    fix: 'Set OAUTH_ISSUER_URL=https://login.example.com/other.'
  })
})

t.test('9: a CORS header that is missing', async t => {
  const origin = await behind(t, { headers: ({ 'access-control-expose-headers': _dropped, ...headers }) => headers })
  const found = await outside(origin)
  t.match(says(found, 'cors'), { level: 'error', says: /may not read mcp-session-id, www-authenticate/ })
  const refused = await outside(origin, { origins: ['https://client.example'] })
  t.ok(
    refused.some(({ check, fix }) => check === 'cors' && fix?.includes('ALLOWED_ORIGINS') === true),
    'an origin that may not call'
  )
})

t.test('10: clocks that disagree', async t => {
  const ahead = (headers: object) => ({ ...headers, date: new Date(Date.now() + 300_000).toUTCString() })
  const found = await outside(await behind(t, { headers: ahead }))
  t.match(says(found, 'clock'), { level: 'error', says: /the clock of the service is (299|300) s ahead/ })
})

t.test('a stream that is cut, and one that is not begun', async t => {
  const found = await outside(await behind(t, { cutAfterMs: 50 }), { open })
  t.match(says(found, 'stream'), { level: 'error', says: /the stream was cut after 0\.\d s/ })
})

t.test('something other than an MCP service', async t => {
  const nobody = await outside(`http://localhost:${await freePort()}`)
  t.match(nobody, [{ level: 'error', check: 'reachable' }])
  const app = Fastify()
  t.teardown(() => app.close())
  t.match(says(await outside(await app.listen({ port: 0, host: '127.0.0.1' })), 'challenge'), {
    says: /404 instead of 401/
  })
})

t.test('the command line', async t => {
  const doctor = async (...args: string[]) =>
    await run(process.execPath, [...runnable('src/cli'), ...args], { cwd: root, env: { PATH: process.env.PATH } })
      .then(({ stdout }) => ({ code: 0, stdout }), (error: { code: number, stdout: string }) => error)
  const service = await startService(t)
  t.match(await doctor('doctor', service.url), { code: 0, stdout: /0 broken, 1 doubtful, \d+ fine/ })
  t.match(await doctor('doctor', 'not a url'), { code: 2, stdout: /Usage/ })
  t.match(await doctor('doctor', '--help'), { code: 0, stdout: /Usage/ })
  t.match(await doctor('constructor'), { code: 2, stdout: /There is no command "constructor"/ })
})
