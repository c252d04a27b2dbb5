import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { buildApp } from '../src/app.js'
import { loadConfig } from '../src/config/config.js'
import { EnvironmentSchema } from '../src/config/environment.js'
import { ConfigError } from '../src/errors.js'
import { emitted } from './support/emitted.js'
import { root, runnable } from './support/root.js'
import { createServer } from './support/sample-server.js'
import { QUIET } from './support/service.js'

const OAUTH_ISSUER_URL = 'https://login.example.com'
const KEY = `1:${'A'.repeat(43)}`
const names = Object.keys(EnvironmentSchema.properties)

/** What stops a start with these variables; it does not listen. */
async function failure (environment: NodeJS.ProcessEnv): Promise<unknown> {
  try {
    const app = await buildApp(
      loadConfig({ ...QUIET, OAUTH_ISSUER_URL, ...environment }, { dotenv: false }),
      { createServer }
    )
    await app.close()
    return undefined
  } catch (error) {
    return error
  }
}

const wrong: Array<[string, string, NodeJS.ProcessEnv?]> = [
  ['TRUST_PROXY', 'yes'],
  ['TRUST_PROXY', '-1'],
  ['TRUST_PROXY', '10.0.0.0/33'],
  ['TRUST_PROXY', '999.1.1.1'],
  ['TRUST_PROXY', ','],
  ['TRUST_PROXY', 'loopback,nobody'],
  ['PUBLIC_URL', 'http://mcp.example.com'],
  ['PUBLIC_URL', 'mcp.example.com'],
  ['PUBLIC_URL', 'https://mcp.example.com/?'],
  ['PUBLIC_URL', 'https://a@mcp.example.com'],
  ['PUBLIC_URL', 'https:mcp.example.com'],
  ['PREREGISTERED_CLIENTS', '[{"clientId":"a","redirectUris":["nope"]}]'],
  ['PREREGISTERED_CLIENTS', '[{"clientId":"a","clientSecret":"","redirectUris":["https://a.example"]}]'],
  [
    'PREREGISTERED_CLIENTS',
    '[{"clientId":"a","redirectUris":["https://a.example"]},{"clientId":"a","redirectUris":["https://a.example"]}]'
  ],
  ['REDIRECT_SCHEMES', 'java script'],
  ['REDIRECT_SCHEMES', 'javascript'],
  ['REDIRECT_SCHEMES', 'https'],
  ['ALLOWED_HOSTS', 'https://mcp.example.com'],
  ['ALLOWED_ORIGINS', 'https://app.example.com/path'],
  ['ALLOWED_ORIGINS', 'app.example.com'],
  ['ALLOWED_ORIGINS', 'https://*'],
  ['ALLOWED_ORIGINS', 'https://*.com'],
  ['ALLOWED_ORIGINS', 'https://app.*.com'],
  ['ALLOWED_ORIGINS', 'https://*app.example.com'],
  ['ALLOWED_ORIGINS', 'https://*.*.example.com'],
  ['ALLOWED_ORIGINS', 'https://*.10.0.0.1'],
  ['ALLOWED_ORIGINS', 'https://*.[::1]'],
  ['ALLOWED_ORIGINS', 'https://*.example.com/path'],
  ['ALLOWED_ORIGINS', 'https://app.example.com:*'],
  ['ALLOWED_ORIGINS', 'chrome-extension://*'],
  ['ALLOWED_ORIGINS', '*.example.com'],
  ['ALLOWED_ORIGINS', 'null'],
  ['ALLOWED_ORIGINS', 'file://'],
  ['ALLOWED_HOSTS', '*.example.com'],
  ['ALLOWED_HOSTS', 'mcp.example.com:99999'],
  ['OAUTH_SCOPES', 'a"b'],
  ['MCP_SCOPES', 'mcp mcp'],
  ['INTROSPECTION_SERVICES', `a:${'x'.repeat(16)},a:${'y'.repeat(16)}`],
  ['OAUTH_ISSUER_URL', 'https:login.example.com'],
  ['OAUTH_CLIENT_ID', ' ', { OAUTH_CLIENT_SECRET: 's' }],
  ['ENCRYPTION_KEYS', 'short'],
  ['ENCRYPTION_KEYS', `${KEY},${KEY}`],
  ['ADMIN_TOKEN', 'x'],
  ['METRICS_TOKEN', 'x'],
  ['REDIS_URL', 'localhost:6379', { ENCRYPTION_KEYS: KEY }],
  ['REDIS_URL', 'redis://', { ENCRYPTION_KEYS: KEY }],
  ['REDIS_KEY_PREFIX', '{x}', { ENCRYPTION_KEYS: KEY, REDIS_URL: 'redis://127.0.0.1:1' }],
  ['INSTANCE_IDLE_SECONDS', '2147484'],
  ['SESSION_IDLE_SECONDS', '9007199254740993'],
  ['SHUTDOWN_SECONDS', '99999999'],
  ['MAX_STREAMS', '1e99'],
  ['MAX_STREAMS', '1e999'],
  ['PORT', '-1e999'],
  ['OAUTH_SUBJECT_CLAIM', ' '],
  ['OAUTH_CLIENTS_WITHOUT_AUDIENCE', 'a\u0001', { AUTH_MODE: 'resource-server' }],
  ['OAUTH_REQUESTS_PER_MINUTE', 'x'.repeat(5000)],
  ['ALLOWED_ORIGINS', 'x'.repeat(5000)],
  ['AUTH_MODE', 'resource_server'],
  ['SESSION_MODE', 'stateles'],
  ['PORT', '70000'],
  ['DEMO_UPSTREAM_PORT', '-1']
]

for (const [name, value, others = {}] of wrong) {
  t.test(`${name}=${value} stops the start with one line that names it`, async t => {
    const error = await failure({ ...others, [name]: value })
    t.type(error, ConfigError)
    if (!(error instanceof ConfigError)) return
    t.match(error.message, new RegExp(`^${name}\\b`), error.message)
    t.notMatch(error.message, /[\n\r]/)
    t.ok(error.message.length < 400, 'a line that can be read')
  })
}

const ODD = ['yes', '-1', '1e999', ' ', 'https://', 'http://mcp.example.com', '[{}]', 'a\nb', 'x'.repeat(5000), '%']

t.test('every variable with every odd value works, or is named in one line', async t => {
  for (const mode of [{}, { AUTH_MODE: 'resource-server' }]) {
    for (const name of names) {
      for (const value of ODD) {
        const error = await failure({ LOG_LEVEL: 'silent', ...mode, [name]: value })
        if (error === undefined) continue
        const line = error instanceof ConfigError ? error.message : ''
        if (line.includes(name) && !/[\n\r\u2028\u2029]/.test(line) && line.length < 600) continue
        t.fail(`${name}=${value.slice(0, 40)}: ${String(error)}`)
      }
    }
  }
})

/** Does something in a directory whose `.env` is made by `make`. */
function inDirectory<T> (t: Test, make: (path: string) => void, work: () => T): T {
  const directory = mkdtempSync(join(tmpdir(), 'environment-'))
  t.teardown(() => { rmSync(directory, { recursive: true, force: true }) })
  make(join(directory, '.env'))
  const before = process.cwd()
  process.chdir(directory)
  try {
    return work()
  } finally {
    process.chdir(before)
  }
}

t.test('.env', async t => {
  const cannotRead = { message: /^The file \.env cannot be read \(EISDIR\); it takes [^\n]+$/ }
  t.throws(() => inDirectory(t, mkdirSync, () => loadConfig({})), cannotRead)
  const text = 'LOG_LEVEL=\nPORT=6060\nOAUTH_ISSUER_URL=\nPUBLIC_TOOLS=true\nFOREIGN=1\n'
  const load = (environment: NodeJS.ProcessEnv) =>
    inDirectory(t, path => { writeFileSync(path, text) }, () => loadConfig(environment))
  t.match(load({}), { port: 6060, logLevel: 'info', publicTools: true, upstream: undefined }, 'empty is unset')
  t.match(load({ PORT: '7070', PUBLIC_TOOLS: '' }), { port: 7070, publicTools: true }, 'the environment comes first')
})

t.test('what looks odd, and works', async t => {
  for (
    const environment of [{ TRUST_PROXY: '0' }, { TRUST_PROXY: 'loopback, 10.0.0.0/8,::1' }, { PORT: '0' }, {
      PORT: '65535'
    }, { ALLOWED_ORIGINS: 'https://app.example.com/,vscode-webview://x' }, {
      ALLOWED_ORIGINS: 'https://*.example.com/,http://*.localhost:3000,chrome-extension://abc/,HTTPS://App.Example.com:443'
    }, { ALLOWED_HOSTS: 'mcp.example.com:443,[::1]:5050,MCP.example.com.' }]
  ) {
    t.equal(await failure(environment), undefined, JSON.stringify(environment))
  }
})

t.test('whatever a variable is set to, it works, or one line names a variable', async () => {
  const text = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc.integer().map(String),
    fc.double().map(String),
    fc.webUrl(),
    fc.ipV4(),
    fc.ipV6(),
    fc.json(),
    fc.domain(),
    fc.constantFrom(
      'true',
      'false',
      '*',
      ',',
      '{}',
      '[]',
      '[{}]',
      'null',
      '-1',
      '0',
      '1e99',
      'https://',
      'https://x/%',
      '::',
      '10.0.0.0/0',
      '::ffff:1.2.3.4/10',
      '__proto__',
      '%'
    )
  ).filter(value => !value.includes('\0'))
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...names.filter(name => !/^(LOG_LEVEL|REDIS_)/.test(name))),
      text,
      async (name, value) => {
        const error = await failure({ [name]: value })
        if (error === undefined) return
        if (!(error instanceof ConfigError)) {
          throw new Error(`${name}=${value}`, { cause: error })
        }
        if (/[\n\r\u2028\u2029]/.test(error.message) || !names.some(known => error.message.includes(known))) {
          throw new Error(`${name}=${value}: ${error.message}`)
        }
      }
    ),
    { numRuns: 120, seed: 12 }
  )
})

t.test('the process says so on one line, and ends with exit code 1', async t => {
  const cases = [['TRUST_PROXY', 'yes'], ['PUBLIC_URL', 'http://mcp.example.com'], [
    'PREREGISTERED_CLIENTS',
    '[{"clientId":"a","redirectUris":["nope"]}]'
  ]] as const
  await Promise.all(cases.map(async ([name, value]) => {
    const child = spawn(process.execPath, runnable('src/server'), {
      cwd: root,
      env: { PATH: process.env.PATH, ...QUIET, OAUTH_ISSUER_URL, [name]: value },
      stdio: ['ignore', 'pipe', 'pipe']
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        output += chunk.toString()
      })
    }
    const [code] = await emitted(child, 'close')
    t.equal(code, 1, name)
    t.match(output, new RegExp(`^${name}\\b[^\\n]+\\n$`), output)
  }))
})
