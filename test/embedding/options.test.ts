import fc from 'fast-check'
import Fastify from 'fastify'
import t from 'tap'
import {
  bearerAuth,
  ConfigError,
  createMemoryStores,
  createRedisStores,
  Keyring,
  mcpDiscovery,
  mcpService,
  mcpServiceParts,
  mcpTransports,
  oauthBroker
} from '../../src/index.js'
import { parseStdioOptions } from '../../src/hosted/stdio/options/settings.js'
import { createServer } from '../support/sample-server.js'
import { read } from '../docs/pages.js'
import { isObject, withDefaults } from '../../src/members.js'

const stores = createMemoryStores({ sessionIdleSeconds: 60 })
t.teardown(() => stores.close())

const issuer = 'https://login.example.com'
const publicUrl = 'https://mcp.example.com'
const verifyAccessToken = () => ({ token: '', clientId: 'c', scopes: ['mcp'], extra: { issuer, subject: 'alice' } })
const upstream = { issuerUrl: issuer, scopes: ['openid'] }
const common = { publicUrl, createServer, stores }

/** What each plugin starts with. */
const good = {
  mcpService: { ...common, upstream },
  'mcpService, resource-server': { ...common, auth: { mode: 'resource-server', issuer } },
  'mcpService, host': { ...common, auth: { mode: 'host', verifyAccessToken, authorizationServers: [issuer] } },
  mcpDiscovery: { publicUrl, servicePrefix: '/ai' },
  oauthBroker: { publicUrl, stores, upstream, keyring: new Keyring(), scopes: ['mcp'], resourcePaths: ['/mcp'] },
  bearerAuth: { verifyAccessToken, resourceMetadataUrl: () => publicUrl, scopes: ['mcp'] },
  mcpTransports: {
    publicUrl,
    createServer,
    sessions: stores.sessions,
    eventLog: stores.eventLog,
    leases: stores.leases,
    bus: stores.bus
  }
} satisfies Record<string, Record<string, unknown>>
type Name = keyof typeof good
const isName = (name: string): name is Name => name in good

const plugins: Record<Name, unknown> = {
  mcpService,
  'mcpService, resource-server': mcpService,
  'mcpService, host': mcpServiceParts,
  mcpDiscovery,
  oauthBroker,
  bearerAuth,
  mcpTransports
}

/** Registers a plugin as JavaScript does: without types. @returns what stopped the start */
async function start (name: Name, options: unknown): Promise<unknown> {
  const app = Fastify()
  const register = (plugin: unknown, its: unknown): void => { Reflect.apply(app.register, app, [plugin, its]) }
  if (name === 'mcpTransports') register(bearerAuth, good.bearerAuth)
  register(plugins[name], options)
  const failure: unknown = await app.ready().then(() => undefined, (error: unknown) => error)
  await app.close()
  return failure
}

/** Options with another value at a path such as `upstream.scopes`. */
function withValue (options: Record<string, unknown>, path: string, value: unknown): Record<string, unknown> {
  const [first = '', ...rest] = path.split('.')
  if (rest.length === 0) return { ...options, [first]: value }
  const within = options[first]
  return { ...options, [first]: withValue(isObject(within) ? within : {}, rest.join('.'), value) }
}

t.test('what each plugin starts with', async t => {
  for (const name of Object.keys(good).filter(isName)) t.equal(await start(name, good[name]), undefined, name)
  t.equal(
    await start('mcpService', {
      ...good.mcpService,
      upstream: { ...upstream, issuerUrl: new URL(issuer) },
      scopeDescriptions: undefined
    }),
    undefined,
    'a URL, and an option that is undefined'
  )
  t.equal(
    await start('mcpDiscovery', { ...good.mcpService, servicePrefix: '/ai' }),
    undefined,
    'the options of the service'
  )
  t.equal(
    await start('mcpTransports', { ...good.mcpService, ...stores }),
    undefined,
    'the options of the service, and its stores'
  )
})

const key = (id: string) => `${id}:${'A'.repeat(43)}`
const { grants, ...withoutGrants } = stores
const { bus, ...withoutBus } = stores

/** plugin, option, value, how the line goes on after the option */
const wrong: Array<[Name, string, unknown, RegExp]> = [
  ['mcpService', 'publicUrl', undefined, /is missing; it takes the URL of the app's root/],
  ['mcpService', 'publicUrl', 'mcp.example.com', /is "mcp\.example\.com"; it takes the URL/],
  ['mcpService', 'publicUrl', 'http://mcp.example.com', /is "http:\/\/mcp\.example\.com"; .*http only on loopback/],
  ['mcpService', 'publicUrl', 'https://user@mcp.example.com', /is ".*"; it takes/],
  ['mcpService', 'publicUrl', 'https:mcp.example.com', /is ".*"; it takes/],
  ['mcpService', 'publicUrl', 5, /is 5; it takes/],
  ['mcpService', 'publicURL', publicUrl, /is not an option; did you mean publicUrl/],
  ['mcpService', 'colour', 'red', /is not an option; those that there are: .*createServer/],
  ['mcpService', 'createServer', undefined, /is missing; it takes a function that makes the MCP server/],
  ['mcpService', 'createServer', {}, /is an object; it takes a function/],
  ['mcpService', 'stores', undefined, /is missing; it takes the stores/],
  ['mcpService', 'stores', withoutGrants, /\.grants is missing; it takes a grant store/],
  [
    'mcpService',
    'stores',
    { ...stores, grants: {} },
    /\.grants is an object; it takes a grant store: an object with the methods putCode/
  ],
  ['mcpService, host', 'stores', withoutBus, /\.bus is missing; it takes a bus/],
  ['mcpService', 'upstream', undefined, /is missing; it takes an object/],
  ['mcpService', 'upstream', { scopes: [] }, /\.issuerUrl is not set; it takes the issuer/],
  ['mcpService', 'upstream', { tokenUrl: issuer, scopes: [] }, /\.authorizationUrl is not set; the two/],
  [
    'mcpService',
    'upstream',
    { tokenUrl: issuer, authorizationUrl: issuer, scopes: [] },
    /\.clientId is not set; an upstream without discovery/
  ],
  ['mcpService', 'upstream.issuerUrl', 'login.example.com', /is "login\.example\.com"; it takes an https URL/],
  [
    'mcpService',
    'upstream.issuerUrl',
    new URL('http://login.example.com'),
    /is the URL http:\/\/login\.example\.com\/; it takes an https URL/
  ],
  ['mcpService', 'upstream.issuer', issuer, /is not an option/],
  ['mcpService', 'upstream.clientId', '', /is ""; it takes a client id/],
  ['mcpService', 'upstream.clientSecret', '', /is a text of 0 characters; it takes a client secret/],
  ['mcpService', 'upstream.scopes', 'openid', /is "openid"; it takes a list of scopes/],
  ['mcpService', 'upstream.scopes', ['a b'], /\[0\] is "a b"; it takes a scope/],
  ['mcpService', 'upstream.timeoutSeconds', 3_000_000, /is 3000000; it takes a number of seconds/],
  ['mcpService', 'upstream.fetch', 'fetch', /is "fetch"; it takes a function/],
  ['mcpService', 'upstream.extraAuthorizeParams', { audience: 1 }, /\.audience is 1; it takes a text/],
  ['mcpService', 'scopes', [], /is \[\]; it takes a list of one or more scopes/],
  ['mcpService', 'scopes', 'mcp', /is "mcp"; it takes a list of one or more scopes/],
  ['mcpService', 'scopes', ['mcp', 'mcp'], /is \["mcp","mcp"\]; it takes a list of one or more scopes, each once/],
  ['mcpService', 'scopes', ['a"b'], /\[0\] is "a\\"b"; it takes a scope/],
  ['mcpService', 'encryptionKeys', 'short', /is a text of 5 characters; it takes id:base64url of 32 bytes/],
  ['mcpService', 'encryptionKeys', `${key('1')},${key('1')}`, /is a text of 91 characters; .*each id once/],
  ['mcpService', 'adminToken', '', /is a text of 0 characters; it takes at least 16/],
  ['mcpService', 'adminToken', 'x', /is a text of 1 characters; it takes at least 16/],
  [
    'mcpService',
    'introspectionServices',
    { billing: 'short' },
    /\.billing is a text of 5 characters; it takes a secret of at least 16/
  ],
  ['mcpService', 'introspectionServices', ['billing'], /is \["billing"\]; it takes an object/],
  ['mcpService', 'allowedOrigins', 'https://app.example.com', /is ".*"; it takes a list of origins/],
  ['mcpService', 'allowedOrigins', ['https://app.example.com/'], /\[0\] is ".*"; it takes an origin .*without a path/],
  ['mcpService', 'allowedHosts', ['https://app.example.com'], /\[0\] is ".*"; it takes a host/],
  ['mcpService', 'sessionMode', 'stateles', /is "stateles"; it takes stateful or stateless/],
  ['mcpService', 'policy', 'example.com', /is "example\.com"; it takes a Policy, or an object of rules/],
  ['mcpService', 'policy.login', [], /is \[\]; it takes/],
  ['mcpService', 'policy.login.emails', ['ann'], /\[0\] is "ann"; it takes an e-mail address/],
  ['mcpService', 'policy.login.emailDomains', ['*.example.com'], /\[0\] is .*; it takes a domain .*without @ and \*/],
  ['mcpService', 'policy.login.emailDomains', [], /is \[\]; it takes a list of one or more domains/],
  ['mcpService', 'policy.login', [{ groups: [] }], /\[0\]\.groups is \[\]; it takes a list of one or more/],
  ['mcpService', 'policy.login.claims', [{ claim: 'hd' }], /\[0\] is an object; it takes the rule of a claim/],
  ['mcpService', 'policy.login.email', ['a@b.c'], /is not an option; those that there are: emails/],
  ['mcpService', 'policy.roles', { a: { tool: ['x'] } }, /\.a\.tool is not an option; those that there are: tools/],
  ['mcpService', 'policy.limits.tools', { a: { callsPerDay: -1 } }, /\.a\.callsPerDay is -1; it takes a whole/],
  ['mcpService', 'policy.refusal', 'never', /is "never"; it takes unknown or forbidden/],
  ['mcpService, host', 'policy.trustEmails', 'yes', /is "yes"; it takes true or false/],
  ['oauthBroker', 'policy', {}, /is an object; it takes a Policy/],
  ['mcpService', 'maxBodyBytes', -1, /is -1; it takes a whole number from 1/],
  ['mcpService', 'maxBodyBytes', Infinity, /is Infinity; it takes a whole number from 1/],
  ['mcpService', 'maxBodyBytes', '4mb', /is "4mb"; it takes a whole number from 1/],
  ['mcpService', 'requestsPerMinute', 0, /is 0; it takes a whole number from 1/],
  ['mcpService', 'limits.maxStreams', -5, /is -5; it takes a whole number from 1/],
  ['mcpService', 'limits.maxStream', 5, /is not an option; those that there are: .*maxStreams/],
  ['mcpService', 'limits.idleSeconds', '60', /is "60"; it takes a whole number of seconds/],
  ['mcpService', 'streams.heartbeatMs', 3_000_000_000, /is 3000000000; it takes a whole number of milliseconds/],
  ['mcpService', 'lifetimes.accessTokenSeconds', 0.5, /is 0\.5; it takes a whole number of seconds/],
  ['mcpService', 'drainSeconds', NaN, /is NaN; it takes a number of seconds/],
  [
    'mcpService',
    'clients',
    [{ clientId: '', redirectUris: ['https://app.example/cb'] }],
    /\[0\]\.clientId is ""; it takes a client id/
  ],
  [
    'mcpService',
    'clients',
    [{ clientId: 'a', clientSecret: '', redirectUris: ['https://app.example/cb'] }],
    /\[0\]\.clientSecret is a text of 0 characters/
  ],
  [
    'mcpService',
    'clients',
    [{ clientId: 'a', redirectUris: [] }],
    /\[0\]\.redirectUris is \[\]; it takes a list of one or more/
  ],
  [
    'mcpService',
    'clients',
    [{ clientId: 'a', redirectUris: ['javascript:alert(1)'] }],
    /\[0\] is not valid: The redirect URI javascript/
  ],
  [
    'mcpService',
    'clients',
    ['a', 'a'].map(clientId => ({ clientId, redirectUris: ['https://app.example/cb'] })),
    /\[1\]\.clientId is "a"; another client already has it/
  ],
  ['mcpService', 'redirectSchemes', ['javascript'], /\[0\] is "javascript"; it takes a private-use URI scheme/],
  ['mcpService', 'redirectSchemes', ['cursor:'], /\[0\] is "cursor:"; it takes/],
  ['mcpService', 'allowLoopbackClients', true, /is true; it takes true only if publicUrl is on loopback/],
  ['mcpService', 'allowLoopbackClients', 'no', /is "no"; it takes true or false/],
  ['mcpService', 'observers', [{}], /\[0\] is an object; it takes a function/],
  ['mcpService', 'mcpObserver', {}, /is an object; it takes an observer: an object with some of the methods request, /],
  ['mcpService', 'mcpObserver', { ended: true }, /it takes an observer: an object with some of the methods request, /],
  [
    'mcpService',
    'requestStateKeys',
    [Buffer.alloc(16)],
    /\[0\] is an object; it takes a Uint8Array of at least 32 bytes/
  ],
  ['mcpService', 'auth', 'broker', /is "broker"; it takes an object with mode/],
  [
    'mcpService',
    'auth',
    { mode: 'resourceserver' },
    /\.mode is "resourceserver"; it takes broker, resource-server or host/
  ],
  ['mcpService, host', 'auth.verifyAccessToken', undefined, /is missing; it takes a function: token => caller/],
  ['mcpService, host', 'auth.authorizationServers', [], /is \[\]; it takes a list of one or more issuers/],
  [
    'mcpService, resource-server',
    'auth.issuer',
    'login.example.com',
    /is "login\.example\.com"; it takes an https URL/
  ],
  ['mcpService, resource-server', 'auth.algorithms', ['HS256'], /\[0\] is "HS256"; it takes RS256/],
  ['mcpService, resource-server', 'auth.introspection', { clientId: 'us' }, /\.clientSecret is missing/],
  ['mcpDiscovery', 'servicePrefix', 'ai', /is "ai"; it takes the prefix/],
  ['mcpDiscovery', 'forOrigin', 'no', /is "no"; it takes true or false/],
  ['oauthBroker', 'keyring', {}, /is an object; it takes a Keyring/],
  ['oauthBroker', 'resourcePaths', ['mcp'], /is \["mcp"\]; it takes a list of one or more paths/],
  ['bearerAuth', 'scopes', 'mcp', /is "mcp"; it takes a list of scopes/],
  ['bearerAuth', 'resourceMetadataUrl', publicUrl, /is "https.*"; it takes a function/],
  ['bearerAuth', 'onRefuse', () => {}, /is not an option; those that there are: .*onRefused/],
  ['mcpTransports', 'sessions', stores, /is an object; it takes a session store/]
]

for (const [name, option, value, how] of wrong) {
  const isStores = typeof value === 'object' && value !== null && 'bus' in value
  const shown = isStores ? 'stores' : JSON.stringify(value) ?? String(value)
  t.test(`${name}: ${option} = ${shown}`, async t => {
    const failure = await start(name, withValue(good[name], option, value))
    t.type(failure, ConfigError)
    if (!(failure instanceof ConfigError)) return
    t.ok(failure.message.startsWith(`${name.split(',')[0]}: ${option}`), failure.message)
    t.match(failure.message, how)
    t.notMatch(failure.message, /\n/)
  })
}

/** Calls a function as JavaScript may. */
const called = (make: (...args: never[]) => unknown, args: readonly unknown[]): unknown =>
  Reflect.apply(make, undefined, args)

const wrongStores: Array<[string, () => unknown, RegExp]> = [
  [
    'createMemoryStores: sessionIdleSeconds',
    () => called(createMemoryStores, [{ sessionIdleSeconds: '60' }]),
    /is "60"; it takes a whole number of seconds/
  ],
  [
    'createMemoryStores: sessionIdleSeconds',
    () => called(createMemoryStores, [{}]),
    /is missing; it takes a whole number of seconds/
  ],
  [
    'createMemoryStores: maxSession',
    () => called(createMemoryStores, [{ sessionIdleSeconds: 60, maxSession: 5 }]),
    /is not an option/
  ],
  [
    'createMemoryStores: eventLog.maxBytes',
    () => createMemoryStores({ sessionIdleSeconds: 60, eventLog: { maxBytes: 0 } }),
    /is 0; it takes a whole number from 1/
  ],
  ['createMemoryStores: the options', () => called(createMemoryStores, []), /is missing; it takes an object/],
  [
    'createRedisStores: url',
    () => createRedisStores({ url: 'localhost:6379', sessionIdleSeconds: 60 }),
    /is a text of 14 characters; it takes redis:/
  ],
  [
    'createRedisStores: keyPrefix',
    () => createRedisStores({ url: 'redis://127.0.0.1:1', sessionIdleSeconds: 60, keyPrefix: '{x}' }),
    /is "\{x\}"; it takes up to 64/
  ],
  [
    'createRedisStores: bus.maxBytes',
    () => createRedisStores({ url: 'redis://127.0.0.1:1', sessionIdleSeconds: 60, bus: { maxBytes: -1 } }),
    /is -1; it takes a whole number/
  ]
]

t.test('the stores, too, say what is wrong with their options', async t => {
  for (const [option, make, how] of wrongStores) {
    t.throws(make, { constructor: ConfigError, message: how }, option)
    t.throws(make, { message: new RegExp(`^${option} `) })
  }
})

t.test('no options at all', async t => {
  for (const name of Object.keys(good).filter(isName)) {
    const failure = await start(name, undefined)
    t.type(failure, ConfigError, name)
    t.match(failure, { message: /^\w+: \w+ is missing; it takes [^\n]+$/ })
  }
})

t.test('nothing of a secret is in the line', async t => {
  for (
    const [option, value] of [['adminToken', 'hush'], ['encryptionKeys', 'k:hush'], [
      'upstream.clientSecret',
      'hush\u0000'
    ], ['introspectionServices', { a: 'hush' }]] as const
  ) {
    const failure = await start('mcpService', withValue(good.mcpService, option, value))
    t.type(failure, ConfigError)
    t.notMatch(String(failure), /hush/, option)
  }
})

/** The options of a section of docs/options.md (made from the types), with their types. */
function documented (section: string): Array<{ name: string, type: string }> {
  const [, text = ''] = new RegExp(`^## ${section}\\n([^#]+)`, 'm').exec(read('docs/options.md')) ?? []
  const rows = [...text.matchAll(/^\| `(\w+)\??` \| `(.+?)` \| /gm)].map(([, name = '', type = '']) => ({
    name,
    type: type.replaceAll('\\|', '|')
  }))
  if (rows.length === 0) throw new Error(`docs/options.md has no options of ${section}`)
  return rows
}

const isText = (value: unknown): value is string => typeof value === 'string'

/** Whether a value of JSON can be of a type of TypeScript: functions and instances cannot. */
function fits (type: string, value: unknown): boolean {
  if (/^(?:"[\w-]+"(?: \| )?)+$/.test(type)) return isText(value) && type.includes(JSON.stringify(value))
  if (type === 'string' || type === 'string | URL' || type === 'URL | string') return isText(value)
  if (type === 'number') return typeof value === 'number'
  if (type === 'boolean') return typeof value === 'boolean'
  if (/^readonly (string\[\]|\[string, \.\.\.string\[\]\])$/.test(type)) {
    return Array.isArray(value) && value.every(isText)
  }
  if (type.startsWith('readonly ')) return Array.isArray(value)
  if (type.startsWith('Readonly<Record<string, string>>')) return isObject(value) && Object.values(value).every(isText)
  return /^(Partial<|UpstreamOptions$|PolicyRules \| Policy$|\{)/.test(type) && isObject(value)
}

const sections: Array<[Name, section: string, path: string]> = [
  ['mcpService', '`mcpService`, mode `broker` \\(the default\\)', ''],
  ['mcpService, resource-server', '`mcpService`, mode `resource-server`', ''],
  ['mcpService, host', '`mcpService`, mode `host`', ''],
  ['mcpDiscovery', '`mcpDiscovery`', ''],
  ['oauthBroker', '`oauthBroker`', ''],
  ['bearerAuth', '`bearerAuth`', ''],
  ['mcpTransports', '`mcpTransports`', ''],
  ['mcpService', '`upstream`', 'upstream.'],
  ['mcpService', '`lifetimes`', 'lifetimes.'],
  ['mcpService', '`limits`', 'limits.'],
  ['mcpTransports', '`streams`', 'streams.']
]

t.test('whatever JSON stands in place of an option, it is of the option\'s type, or refused with one line', async t => {
  const options = sections.flatMap(
    ([plugin, section, path]) => documented(section).map(({ name, type }) => ({ plugin, option: path + name, type }))
  )
  t.ok(options.length > 100, `${options.length} options`)
  const value = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom<unknown>(
      null,
      true,
      false,
      0,
      1,
      -1,
      0.5,
      1e300,
      '',
      'x',
      'mcp',
      '*',
      'true',
      '1',
      publicUrl,
      'http://localhost:5050',
      [],
      {},
      [[]],
      [{}],
      [null],
      [''],
      ['mcp'],
      [publicUrl],
      [1],
      { a: 'x' },
      { a: 1 },
      { mode: 'host' },
      { mode: 'broker' },
      { mode: 1 },
      { __proto__: null, constructor: 'x' },
      JSON.parse('{"__proto__":{"publicUrl":1}}')
    )
  )
  let started = 0
  await fc.assert(fc.asyncProperty(fc.constantFrom(...options), value, async ({ plugin, option, type }, value) => {
    const failure = await start(plugin, withValue(good[plugin], option, value))
    const what = `${plugin}: ${option} (${type}) = ${JSON.stringify(value)}`
    if (failure === undefined) {
      started++
      if (!fits(type, value)) throw new Error(`${what}: starts`)
    } else if (!(failure instanceof ConfigError)) {
      throw new Error(what, { cause: failure })
    } else if (/[\n\r\u2028\u2029]/.test(failure.message) || !failure.message.includes(option.split('.')[0] ?? '')) {
      throw new Error(`${what}: ${failure.message}`)
    }
  }), { numRuns: 1000, seed: 12 })
  t.ok(started > 5, `${started} started`)
})

t.test('a limit that is given as undefined is the default, not no limit', async t => {
  const { limits } = parseStdioOptions({ command: 'x' })
  const given = { command: 'x', limits: Object.fromEntries(Object.keys(limits).map(name => [name, undefined])) }
  t.same(parseStdioOptions(given).limits, limits)
  t.same(withDefaults({ a: 1, b: 2 }, { b: 3 }), { a: 1, b: 3 })
})
