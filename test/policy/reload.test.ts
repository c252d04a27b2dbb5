import { mkdir, mkdtemp, readFile, rename, rm, symlink, unlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/config.js'
import { ConfiguredPolicies } from '../../src/config/configured-policies.js'
import { ConfiguredPolicy, configurePolicy } from '../../src/config/configured-policy.js'
import { runFile } from '../operations/service-process.js'
import { modernRequest } from '../../src/testing/modern-request.js'
import { RawClient } from '../support/mcp-harness.js'
import { newTokens, register } from '../support/oauth-flow.js'
import { startService } from '../support/service.js'
import { freePort } from '../support/free-port.js'

const policyOf = (tool: string) => `# for ${tool}\nroles:\n  reader:\n    tools: [${tool}]\n`
const CALLER = { scopes: ['mcp'], extra: { issuer: 'https://login.example.com', subject: 'ann' } }

/** Lines of a log, as they come. */
class Lines {
  readonly all: string[] = []
  #taken = 0
  #wake = () => {}

  error = (_: object, message: string) => { this.#add(`error ${message}`) }
  warn = (_: object, message: string) => { this.#add(`warn ${message}`) }
  info = (_: object, message: string) => { this.#add(`info ${message}`) }

  /** The next line that nobody has taken. */
  async next (): Promise<string> {
    for (;;) {
      const line = this.all[this.#taken]
      if (line !== undefined) {
        this.#taken++
        return line
      }
      // the watch alone does not keep a process alive
      const alive = setInterval(() => {}, 60_000)
      await new Promise<void>(resolve => { this.#wake = resolve })
      clearInterval(alive)
    }
  }

  #add (line: string): void {
    this.all.push(line)
    this.#wake()
  }
}

async function makeFolder (t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'policy-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** A policy file that is watched, at `file`. */
function watch (t: Test, policyFile: string) {
  const log = new Lines()
  const configured = new ConfiguredPolicy({ policyFile, mcpScopes: ['mcp'] })
  configured.watch(log, 10)
  t.teardown(() => { configured.close() })
  const allows = (name: string) => configured.policy.accessOf(CALLER).judge({ kind: 'tools', name }).kind === 'allowed'
  return { log, configured, allows }
}

/** How a file gets another text: in each way, the policy is the new one, and back. */
const ways: ReadonlyArray<[way: string, write: (file: string, text: string) => Promise<void>]> = [
  ['written in place', writeFile],
  ['renamed over it, as editors do', async (file, text) => {
    await writeFile(`${file}.new`, text)
    await rename(`${file}.new`, file)
  }],
  ['removed, then written', async (file, text) => {
    await unlink(file)
    await writeFile(file, text)
  }]
]

t.test('a file that changes is read again', async t => {
  for (const [way, write] of ways) {
    const file = join(await makeFolder(t), 'policy.yaml')
    await writeFile(file, policyOf('add'))
    const { log, allows } = watch(t, file)
    t.strictSame([allows('add'), allows('echo')], [true, false])
    for (const [tool, other] of [['echo', 'add'], ['add', 'echo']] as const) {
      await write(file, policyOf(tool))
      t.equal(await log.next(), 'info the policy file was read: roles.reader changed', way)
      t.strictSame([allows(tool), allows(other)], [true, false], `${way}: ${tool}`)
    }
  }
})

t.test('a ConfigMap of Kubernetes is read again: a symbolic link far from the file is swapped', async t => {
  const folder = await makeFolder(t)
  for (const tool of ['add', 'echo']) {
    await mkdir(join(folder, `..${tool}`))
    await writeFile(join(folder, `..${tool}`, 'policy.yaml'), policyOf(tool))
  }
  await symlink('..add', join(folder, '..data'))
  await symlink('..data/policy.yaml', join(folder, 'policy.yaml'))
  const { log, allows } = watch(t, join(folder, 'policy.yaml'))
  for (const tool of ['echo', 'add']) {
    await symlink(`..${tool}`, join(folder, '..tmp'))
    await rename(join(folder, '..tmp'), join(folder, '..data'))
    t.match(await log.next(), /roles\.reader changed/)
    t.ok(allows(tool), tool)
  }
})

t.test('a bad file changes nothing, and is said once, with the line', async t => {
  const file = join(await makeFolder(t), 'policy.yaml')
  await writeFile(file, policyOf('add'))
  const { log, allows } = watch(t, file)
  const said = 'error the policy file is not used, the rules before it stay: '
  const bad: ReadonlyArray<[string, () => Promise<void>, string]> = [
    ['unknown name', () => writeFile(file, 'roles:\n  reader:\n    tool: [echo]\n'),
      `${file}:3:5: roles.reader.tool is not known; do you mean tools?`],
    ['emptied', () => writeFile(file, ''), `${file}: the file is empty; it takes an object of rules, at least {}`],
    ['too large', () => writeFile(file, `#${' '.repeat(1024 * 1024)}`),
      `${file}: the file is larger than 1048576 bytes`],
    ['not UTF-8', () => writeFile(file, Buffer.from([0x23, 0xff])), `${file}: the file is not valid UTF-8`],
    ['removed', () => unlink(file), `${file}: POLICY_FILE cannot be read (ENOENT)`],
    ['a folder', async () => { await mkdir(file) }, `${file}: POLICY_FILE must be a regular file`]
  ]
  for (const [name, write, message] of bad) {
    await write()
    t.equal(await log.next(), `${said}${message}`, name)
    t.ok(allows('add'), `${name}: the last good one`)
  }
  await rm(file, { recursive: true })
  t.match(await log.next(), /ENOENT/)
  await writeFile(file, policyOf('echo'))
  t.equal(await log.next(), 'info the policy file was read: roles.reader changed')
  t.strictSame([allows('add'), allows('echo')], [false, true], 'a good one again')
  t.equal(log.all.length, bad.length + 2, 'each once')
})

t.test('what changed is said; rules that can never match are, too', async t => {
  const file = join(await makeFolder(t), 'policy.yaml')
  await writeFile(file, policyOf('add'))
  const { log, configured } = watch(t, file)
  await writeFile(file, 'roles:\n  writer: { tools: [a, "!a"] }\npublic: { tools: [search] }\n')
  t.equal(await log.next(), 'info the policy file was read: roles.reader removed, roles.writer added, public added')
  t.equal(await log.next(), 'warn policy: roles.writer.tools: a never counts, as !a after it takes it back')
  const replaced = { times: 0 }
  configured.policy.onReplaced(() => { replaced.times++ })
  await utimes(file, 1, 1)
  t.equal(await log.next(), 'info the policy file was read: nothing changed', 'only touched')
  t.equal(replaced.times, 0, 'nobody is disturbed')
})

t.test('the rules of the environment and of the file about who may log in must both hold', async t => {
  const policyFile = join(await makeFolder(t), 'policy.yaml')
  await writeFile(policyFile, 'login: { groups: [mcp-users] }\n')
  const environment = { login: { emailDomains: ['example.com'] }, trustEmails: true }
  const configured = new ConfiguredPolicy({ policyFile, policy: environment, mcpScopes: ['mcp'] })
  const decide = (claims: object) => configured.policy.decideLogin({ ...claims }, []).allow
  const people: ReadonlyArray<[boolean, object]> = [
    [true, { email: 'ann@example.com', groups: ['mcp-users'] }],
    [false, { email: 'ann@example.com' }],
    [false, { email: 'ann@example.org', groups: ['mcp-users'] }]
  ]
  const check = (when: string) => {
    for (const [allowed, claims] of people) t.equal(decide(claims), allowed, `${when} ${JSON.stringify(claims)}`)
  }
  check('at first')
  await writeFile(policyFile, 'login: { groups: [mcp-users] }\nroles: { all: { tools: ["*"] } }\n')
  configured.reload(new Lines())
  check('after a reload')
})

t.test('a bad file stops the start, with one line', async t => {
  const POLICY_FILE = join(await makeFolder(t), 'policy.yaml')
  await writeFile(POLICY_FILE, 'roles:\n  reader:\n    scopes: [admin]\n')
  const config = loadConfig({ POLICY_FILE }, { dotenv: false })
  t.throws(() => configurePolicy(config), {
    code: 'config_invalid',
    message: `${POLICY_FILE}:3:14: roles.reader.scopes[0] is "admin"; it takes one of MCP_SCOPES: mcp`
  })
  t.equal(configurePolicy(loadConfig({}, { dotenv: false })), undefined, 'no file, no policy')
})

t.test('registration with a token needs tokens, at the start and at a reload', async t => {
  const POLICY_FILE = join(await makeFolder(t), 'policy.yaml')
  const asks = 'clients:\n  registration: token\n'
  const message = `${POLICY_FILE}:2:3: clients.registration is token, which needs INITIAL_ACCESS_TOKENS.`
  await writeFile(POLICY_FILE, asks)
  const without = loadConfig({ POLICY_FILE }, { dotenv: false })
  t.throws(() => new ConfiguredPolicies(without), { code: 'config_invalid', message })
  const tokens = { INITIAL_ACCESS_TOKENS: 'a-token-with-which-to-register' }
  t.doesNotThrow(() => new ConfiguredPolicies(loadConfig({ POLICY_FILE, ...tokens }, { dotenv: false })))

  await writeFile(POLICY_FILE, 'clients:\n  registration: off\n')
  const policies = new ConfiguredPolicies(without)
  await writeFile(POLICY_FILE, asks)
  const lines = new Lines()
  policies.reload(lines)
  t.match(lines.all, [`error the policy file is not used, the rules before it stay: ${message}`])
  t.match(policies.common?.rules, { clients: { registration: 'off' } })
})

t.test('the home page names what everybody may know of', async t => {
  const policyFile = join(await makeFolder(t), 'policy.yaml')
  await writeFile(policyFile, 'login: { groups: [staff] }\n')
  const policies = new ConfiguredPolicies(loadConfig({ POLICY_FILE: policyFile }, { dotenv: false }))
  const { app } = await startService(t, { PUBLIC_TOOLS: 'true' }, {}, { policies })
  const shown = async () => {
    const { body } = await app.inject('/')
    return ['Adds two numbers.', 'Divides l by r.'].filter(text => body.includes(text))
  }
  t.same(await shown(), ['Adds two numbers.', 'Divides l by r.'], 'all, if no rule is about tools')
  await writeFile(policyFile, 'roles: { staff: { tools: ["*"] } }\npublic: { tools: [add] }\n')
  policies.reload(new Lines())
  t.same(await shown(), ['Adds two numbers.'], 'what is public')
  await writeFile(policyFile, 'roles: { staff: { tools: ["*"] } }\n')
  policies.reload(new Lines())
  t.same(await shown(), [], 'nothing is')
})

t.test('a call is refused after the rules have changed, and allowed again, without a new login', async t => {
  const policyFile = join(await makeFolder(t), 'policy.yaml')
  await writeFile(policyFile, policyOf('add'))
  const policies = new ConfiguredPolicies({
    policyFile,
    policy: undefined,
    mcpScopes: ['mcp'],
    servers: undefined,
    initialAccessTokens: []
  })
  for (const SESSION_MODE of ['stateful', 'stateless']) {
    const service = await startService(t, { SESSION_MODE }, {}, { policies })
    const { accessToken } = await newTokens(service, await register(service))
    const client = await new RawClient(service, accessToken).connect()
    const calls: Record<string, () => Promise<Response>> = {
      [SESSION_MODE]: () => client.request('tools/call', { name: 'add', arguments: { l: 1, r: 2 } }),
      '2026-07-28': () => {
        const { headers, ...request } = modernRequest(1, 'tools/call', { name: 'add', arguments: { l: 1, r: 2 } }, {
          'io.modelcontextprotocol/clientCapabilities': {}
        })
        const authorization = `Bearer ${accessToken}`
        return fetch(`${service.url}/mcp`, { ...request, headers: { ...headers, authorization } })
      }
    }
    for (const [era, call] of Object.entries(calls)) {
      for (const [tool, said] of [['add', /"text":"3"/], ['echo', /Unknown tool: add/], ['add', /"text":"3"/]] as const) {
        await writeFile(policyFile, policyOf(tool))
        policies.reload(new Lines())
        t.match(await (await call()).text(), said, `${era}: ${tool} is allowed`)
      }
    }
  }
})

t.test('a process reads it again on SIGHUP, and closes on SIGTERM', async t => {
  const POLICY_FILE = join(await makeFolder(t), 'policy.yaml')
  await writeFile(POLICY_FILE, policyOf('add'))
  const environment = { PORT: String(await freePort()), DEMO_UPSTREAM_PORT: String(await freePort()), POLICY_FILE }
  const service = runFile(t, 'test/operations/fixture-process', environment)
  await service.line(/MCP server: /)
  await service.line(/policy: roles\.reader\.tools: add names none of the server's tools/)
  service.kill('SIGHUP')
  await service.line(/the policy file was read: nothing changed/)
  await writeFile(POLICY_FILE, 'tools: [a]\n')
  service.kill('SIGHUP')
  await service.line(/the rules before it stay: .*policy\.yaml:1:1: tools is not known/)
  await writeFile(POLICY_FILE, policyOf('lose'))
  await service.line(/the policy file was read: roles\.reader changed/)
  service.kill('SIGTERM')
  t.equal(await service.exited, 0)
  t.match(await readFile(POLICY_FILE, 'utf8'), /lose/)

  await writeFile(POLICY_FILE, 'tools: [a]\n')
  const refused = runFile(t, 'test/operations/fixture-process', environment)
  t.equal(await refused.exited, 1)
  t.strictSame(refused.output.filter(line => line !== ''), [
    `${POLICY_FILE}:1:1: tools is not known; known are: ` +
      'login, clients, trust_emails, roles, scopes, public, refusal, limits, client_limits'
  ])
})
