import t from 'tap'
import { loadConfig } from '../src/config/config.js'
import { ConfigError } from '../src/errors.js'

const load = (environment: NodeJS.ProcessEnv) => loadConfig(environment, { dotenv: false })

t.test('a bad value is one line that names the variable, what it got and what it takes', async t => {
  const cases: Array<[NodeJS.ProcessEnv, RegExp]> = [
    [{ PORT: 'x' }, /^PORT is "x"; it takes a whole number from 0 to 65535\.$/],
    [{ LOG_LEVEL: 'loud' }, /^LOG_LEVEL is "loud"; it takes fatal, error,/],
    [{ ACCESS_TOKEN_TTL_SECONDS: '0' }, /^ACCESS_TOKEN_TTL_SECONDS is 0; it takes a whole number from 1\.$/],
    ...['https://mcp.example.com/a b', 'https://mcp.example.com//', 'https://mcp.example.com/x?y', 'https://x.example/%41']
      .map((PUBLIC_URL): [NodeJS.ProcessEnv, RegExp] => [{ PUBLIC_URL }, /^PUBLIC_URL is .*; it takes a URL such as/]),
    [{ OAUTH_ISSUER_URL: 'http://login.example.com' }, /^OAUTH_ISSUER_URL is .*; it takes an https URL/],
    [{ OAUTH_AUTHORIZATION_URL: 'https://login.example.com/authorize' }, /^OAUTH_TOKEN_URL is not set/],
    [{ OAUTH_CLIENT_ID: 'us' }, /^OAUTH_CLIENT_ID is set, but no upstream is/],
    [{ OAUTH_ISSUER_URL: 'https://login.example.com', OAUTH_CLIENT_SECRET: 's' }, /^OAUTH_CLIENT_ID is not set/],
    [
      { OAUTH_AUTHORIZATION_URL: 'https://a.example/a', OAUTH_TOKEN_URL: 'https://a.example/t' },
      /^OAUTH_CLIENT_ID is not set/
    ],
    ...['common/v2.0', 'organizations/v2.0', 'ORGANIZATIONS', 'common/', 'common/v2.0/.well-known/openid-configuration']
      .map((path): [NodeJS.ProcessEnv, RegExp] => [
        { OAUTH_ISSUER_URL: `https://login.microsoftonline.com/${path}` },
        /^OAUTH_ALLOWED_TENANTS is not set, and OAUTH_ISSUER_URL .* every tenant .*; it takes ids of tenants[^\n]*$/
      ]),
    [
      { OAUTH_ISSUER_URL: 'https://login.microsoftonline.us/common/v2.0', AUTH_MODE: 'resource-server' },
      /^OAUTH_ALLOWED_TENANTS is not set/
    ],
    [
      { OAUTH_ISSUER_URL: 'https://login.example.com', OAUTH_ALLOWED_TENANTS: '*' },
      /^OAUTH_ALLOWED_TENANTS is set, but OAUTH_ISSUER_URL is not that of many tenants/
    ],
    [
      { OAUTH_ISSUER_URL: 'https://login.microsoftonline.com/common/v2.0', OAUTH_ALLOWED_TENANTS: '*,contoso.com' },
      /^OAUTH_ALLOWED_TENANTS has "contoso.com"; it takes ids of tenants/
    ],
    [
      {
        OAUTH_ISSUER_URL: 'https://login.microsoftonline.com/common/v2.0',
        OAUTH_ALLOWED_TENANTS: '*',
        OAUTH_SCOPES: 'profile'
      },
      /^OAUTH_SCOPES lacks openid/
    ],
    [{ ADMIN_TOKEN: 'short' }, /^ADMIN_TOKEN is not valid; it takes at least 16/],
    [{ REDIS_URL: 'redis://localhost' }, /^ENCRYPTION_KEYS is not set/],
    [{ REDIS_CLUSTER: 'yes' }, /^REDIS_CLUSTER is "yes"; it takes true or false\.$/],
    [{ REDIS_CLUSTER: 'true' }, /^REDIS_CLUSTER is set, but REDIS_URL is not/],
    [
      { REDIS_URL: 'redis://localhost/2', REDIS_CLUSTER: 'true', ENCRYPTION_KEYS: 'a:b' },
      /^REDIS_URL names a database/
    ],
    [{ MCP_SCOPES: 'a"b' }, /^MCP_SCOPES is .*; it takes one or more scopes/]
  ]
  for (const [environment, message] of cases) {
    t.throws(() => load(environment), { constructor: ConfigError, message }, JSON.stringify(environment))
  }
})

t.test('production refuses to start without an upstream and names what is missing', async t => {
  t.throws(() => load({ NODE_ENV: 'production' }), { message: /PUBLIC_URL, OAUTH_ISSUER_URL/ })
  const config = load({
    NODE_ENV: 'production',
    PUBLIC_URL: 'https://mcp.example.com',
    OAUTH_ISSUER_URL: 'https://login.example.com'
  })
  t.equal(config.publicUrl, 'https://mcp.example.com')
  t.equal(config.upstream?.issuerUrl?.href, 'https://login.example.com/')
})

t.test('an empty variable is one that is not set', async t => {
  const config = load({ PORT: '', OAUTH_ISSUER_URL: '', OAUTH_CLIENT_ID: '' })
  t.equal(config.port, 5050)
  t.equal(config.publicUrl, 'http://localhost:5050')
  t.equal(config.demoUpstreamPort, 5051)
  t.equal(config.upstream, undefined)
})
