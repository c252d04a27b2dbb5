import t from 'tap'
import { loadConfig } from '../../src/config/config.js'
import { ConfigError } from '../../src/errors.js'
import { BackChannel } from '../../src/outbound/back-channel.js'
import { proxiedFetch } from '../../src/outbound/proxied-fetch.js'
import { Proxy } from '../../src/outbound/proxy.js'
import { connectProxy } from '../support/connect-proxy.js'

const PUBLIC = 'https://login.example.test'
const INTERNAL = 'http://keycloak:8080'

t.test('the proxy to the internet carries no request to a host of NO_PROXY', async t => {
  const proxy = await connectProxy(t)
  const direct = new Proxy({ url: proxy.url, except: ['keycloak'] })
  const way = (internalUrl: string) =>
    new BackChannel({ issuerUrl: new URL(PUBLIC), internalUrl: new URL(internalUrl) }).fetch(proxiedFetch(direct))
  for (const internalUrl of ['https://keycloak:8443', 'http://keycloak.internal:8080', 'http://127.0.0.1:1']) {
    await t.rejects(way(internalUrl)(`${PUBLIC}/token`, { signal: AbortSignal.timeout(2000) }), internalUrl)
  }
  t.strictSame(proxy.asked, [])
})

t.test('what is mapped where', async t => {
  for (const [issuer, internal, from, to] of [
    ['https://a.test', 'http://kc:8080', 'https://a.test/token?x=1', 'http://kc:8080/token?x=1'],
    ['https://a.test', 'http://kc:8080/', 'https://a.test:443/', 'http://kc:8080/'],
    ['https://a.test/realms/x', 'http://kc:8080', 'https://a.test/realms/x/token', 'http://kc:8080/realms/x/token'],
    ['https://a.test/realms/x/', 'http://kc/realms/x', 'https://a.test/realms/x/token', 'http://kc/realms/x/token'],
    // outside of the path of the issuer, as at Entra
    ['https://a.test/t/v2.0', 'http://kc/t/v2.0', 'https://a.test/t/oauth2/v2.0/token', 'http://kc/t/oauth2/v2.0/token'],
    ['https://a.test/auth/realms/x', 'http://kc/realms/x', 'https://a.test/auth/realms/x/t', 'http://kc/realms/x/t'],
    ['https://a.test/realms/x', 'http://kc/auth/realms/x', 'https://a.test/realms/x/t', 'http://kc/auth/realms/x/t'],
    [
      'https://a.test/auth/realms/x',
      'http://kc/realms/x',
      'https://a.test/.well-known/oauth-authorization-server/auth/realms/x',
      'http://kc/.well-known/oauth-authorization-server/realms/x'
    ],
    ['https://a.test/auth/realms/x', 'http://kc/realms/x', 'https://a.test/authentic/t', undefined],
    ['https://a.test/auth/realms/x', 'http://kc/realms/x', 'https://a.test/auth/../other', undefined],
    ['https://a.test', 'http://kc:8080', 'https://a.test.evil.example/token', undefined],
    ['https://a.test', 'http://kc:8080', 'http://a.test/token', undefined],
    ['https://a.test', 'http://kc:8080', 'https://a.test:8443/token', undefined]
  ] as const) {
    const channel = new BackChannel({ issuerUrl: new URL(issuer), internalUrl: new URL(internal) })
    t.equal(channel.toInternal(new URL(from)).href, to ?? new URL(from).href, `${issuer} at ${internal}: ${from}`)
    if (to !== undefined) t.equal(channel.toPublic(to), new URL(from).href, `${internal}: ${to}`)
  }
})

t.test('OAUTH_INTERNAL_URL', async t => {
  const load = (OAUTH_INTERNAL_URL: string, environment: NodeJS.ProcessEnv = { OAUTH_ISSUER_URL: PUBLIC }) =>
    loadConfig({ ...environment, OAUTH_INTERNAL_URL }, { dotenv: false }).upstream?.internalUrl?.href
  for (const url of [
    'http://keycloak:8080/realms/x',
    'http://keycloak.auth.svc:8080',
    'http://keycloak.auth.svc.cluster.local',
    'http://kc.internal/',
    'http://kc.local/',
    'http://10.1.2.3:8080/',
    'http://172.31.0.1/',
    'http://192.168.1.1/',
    'http://[fd12::1]/',
    'http://localhost:8080/',
    'http://127.0.0.1/',
    'https://login.example.net/'
  ]) t.equal(load(url), new URL(url).href)
  for (const url of [
    'http://login.example.net',
    'http://8.8.8.8',
    'http://172.32.0.1',
    'http://169.254.169.254',
    'http://[2001:4860:4860::8888]',
    'http://user:pass@keycloak:8080',
    'http://keycloak:8080/?x=1',
    'http://keycloak:8080/#x',
    'keycloak:8080',
    'ftp://keycloak',
    'http://keycloak.svc.example.com'
  ]) {
    const message = /^OAUTH_INTERNAL_URL is .*; it takes an https URL/
    t.throws(() => load(url), { name: ConfigError.name, message }, url)
  }
  for (const environment of [{}, { OAUTH_AUTHORIZATION_URL: `${PUBLIC}/a`, OAUTH_TOKEN_URL: `${PUBLIC}/t` }]) {
    t.throws(
      () => load(INTERNAL, { ...environment, OAUTH_CLIENT_ID: 'us' }),
      /^OAUTH_ISSUER_URL is not set, but OAUTH_INTERNAL_URL is;/
    )
  }
})
