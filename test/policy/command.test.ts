import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { run as runDoctor } from '../../src/cli/doctor.js'
import { run } from '../../src/cli/policy.js'
import { freePort } from '../support/free-port.js'
import { runnable } from '../support/root.js'

const POLICY = `login:
  email_domains: [example.com]
roles:
  reader:
    tools: ['get_*', '!get_secret']
    resources: ['note://*']
  editor:
    people: { groups: [editors] }
    tools: ['*']
    limits: { calls_per_minute: 60, tools: { 'report_*': { calls_per_day: 20 } } }
scopes:
  'notes:write': { tools: [delete_*] }
public: { prompts: [help] }
limits:
  calls_per_minute: 10
  calls_per_day: 500
client_limits: { concurrent_calls: 9 }
`
const ANN = { sub: '1', email: 'ann@example.com', email_verified: true, groups: ['editors'] }
const BOB = { sub: '2', email: 'bob@example.com', email_verified: true }

async function writePolicy (t: Test, text = POLICY): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'policy-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const file = join(folder, 'policy.yaml')
  await writeFile(file, text)
  return file
}

/** What the command prints, as lines, and its exit code. The folder of the file is left out. */
async function ask (args: string[], env: NodeJS.ProcessEnv) {
  const printed: string[] = []
  const code = await run(args, { env, write: line => { printed.push(line) } })
  return { code, lines: printed.join('').replaceAll(/\/\S*\/(?=policy\.yaml)/g, '').trimEnd().split('\n') }
}

const explain = (claims: unknown, env: NodeJS.ProcessEnv, ...others: string[]) =>
  ask(['explain', '--claims', JSON.stringify(claims), ...others], env)

t.test('it says what a person gets, and by which line', async t => {
  const env = { POLICY_FILE: await writePolicy(t), MCP_SCOPES: 'mcp notes:write' }
  const ann = await explain(ANN, env)
  t.strictSame(ann, {
    code: 0,
    lines: [
      'May log in.',
      '  ✓ policy.yaml:2:19  emailDomains: example.com',
      'Roles:',
      '  ✓ policy.yaml:4:3  reader: everybody',
      '  ✓ policy.yaml:8:24  editor: groups: editors',
      'Scopes: mcp (asked for: mcp)',
      'Tools:',
      '  ✓ get_*  allowed, by policy.yaml:5:13',
      '  ✓ get_secret  allowed, by policy.yaml:9:13',
      '  ✓ *  allowed, by policy.yaml:9:13',
      '  ! delete_*  needs the scopes notes:write, which the client can ask for, by policy.yaml:12:3',
      'Resources:',
      '  ✓ note://*  allowed, by policy.yaml:6:17',
      'Prompts:',
      '  ✓ help  allowed, by policy.yaml:13:21',
      'Limits:',
      '  calls_per_minute 60, by policy.yaml:10:15',
      '  calls_per_day 500, by policy.yaml:16:3',
      '  each tool report_*: calls_per_day 20, by policy.yaml:10:60',
      '  the client: concurrent_calls 9, by policy.yaml:17:18'
    ]
  })
  const bob = await explain(BOB, env)
  t.equal(bob.code, 0)
  t.match(bob.lines, [
    'May log in.',
    '  ✓ policy.yaml:2:19  emailDomains: example.com',
    'Roles:',
    '  ✓ policy.yaml:4:3  reader: everybody',
    '  ✗ policy.yaml:8:15  editor: groups: none of editors',
    'Scopes: mcp (asked for: mcp)',
    'Tools:',
    '  ✓ get_*  allowed, by policy.yaml:5:13',
    '  ✗ get_secret  refused as unknown: no role allows it',
    '  ✗ *  refused as unknown: no role allows it',
    '  ✗ delete_*  refused as unknown: no role allows it'
  ])
  t.strictSame(bob.lines.slice(-4), [
    'Limits:',
    '  calls_per_minute 10, by policy.yaml:15:3',
    '  calls_per_day 500, by policy.yaml:16:3',
    '  the client: concurrent_calls 9, by policy.yaml:17:18'
  ])
})

t.test('somebody who may not log in', async t => {
  const env = { POLICY_FILE: await writePolicy(t), MCP_SCOPES: 'mcp notes:write' }
  const unverified = await explain({ ...ANN, email_verified: false }, env)
  t.equal(unverified.code, 1)
  t.match(unverified.lines, [
    /^May not log in: login\.emails: the login server does not say that the address is verified$/,
    /^ {2}✗ policy\.yaml:2:19 {2}emails: the login server/
  ])
  const POLICY_FILE = await writePolicy(t, 'roles: { a: { people: { groups: [x] } } }')
  const outsider = await explain({ sub: '3' }, { POLICY_FILE })
  t.equal(outsider.code, 1)
  t.match(outsider.lines, [
    'May not log in: roles: the person has none',
    'Roles:',
    '  ✗ policy.yaml:1:25  a: groups: none of x'
  ])
})

t.test('variables and the file must both hold, and are both named', async t => {
  const env = {
    ALLOWED_GROUPS: 'editors',
    REQUIRED_CLAIMS: 'hd=example.com',
    POLICY_FILE: await writePolicy(t, 'login:\n  - email_domains: [example.com]\n  - subjects: ["1"]\n')
  }
  const cases: ReadonlyArray<[claims: object, code: number, lines: string[]]> = [
    [{ ...ANN, hd: 'example.com' }, 0, [
      'May log in.',
      '  ✓ ALLOWED_GROUPS, REQUIRED_CLAIMS  groups: editors; claims: hd=example.com',
      '  ✓ policy.yaml:2:21  emailDomains: example.com',
      '  ✓ policy.yaml:3:16  subjects: 1'
    ]],
    [{ ...ANN, sub: '4' }, 1, [
      'May not log in: login.claims: hd=example.com does not hold',
      '  ✗ REQUIRED_CLAIMS  claims: hd=example.com does not hold',
      '  ✓ policy.yaml:2:21  emailDomains: example.com',
      '  ✗ policy.yaml:3:5  subjects: not among them'
    ]]
  ]
  for (const [claims, code, lines] of cases) {
    const said = await explain(claims, env)
    t.equal(said.code, code)
    t.strictSame(said.lines.slice(0, lines.length), lines)
  }
})

t.test('a client that may be used, and others', async t => {
  const POLICY_FILE = await writePolicy(t, 'clients:\n  allowed: [notes-app, claude.ai]\n')
  const cases: ReadonlyArray<[client: string, code: number, said: string]> = [
    ['notes-app', 0, '  ✓ policy.yaml:2:3  may be used'],
    ['https://claude.ai/client.json', 0, '  ✓ policy.yaml:2:3  may be used'],
    ['https://evil.example/client.json', 1,
      '  ✗ policy.yaml:2:3  may not be used: neither its host nor its id is listed'],
    ['other', 0, '  ! policy.yaml:2:3  may be used only if one of its redirect URIs is listed']
  ]
  for (const [client, code, line] of cases) {
    const said = await explain({ sub: '1' }, { POLICY_FILE }, '--client', client)
    t.strictSame([said.code, said.lines[3]], [code, line], client)
  }
  const byVariable = await explain({ sub: '1' }, { ALLOWED_CLIENTS: 'notes-app' }, '--client', 'notes-app')
  t.equal(byVariable.lines[3], '  ✓ ALLOWED_CLIENTS  may be used')
})

t.test('limits of variables count if the file has none', async t => {
  const env = {
    RATE_LIMIT_CALLS_PER_MINUTE: '7',
    RATE_LIMIT_CALLS_PER_DAY: '8',
    POLICY_FILE: await writePolicy(t, 'limits:\n  calls_per_day: 9\n')
  }
  t.strictSame((await explain({ sub: '1' }, env)).lines.slice(-3), [
    'Limits:',
    '  calls_per_minute 7, by RATE_LIMIT_CALLS_PER_MINUTE',
    '  calls_per_day 9, by policy.yaml:2:3'
  ])
})

t.test('nobody logs in without a role that gives the base scope', async t => {
  const POLICY_FILE = await writePolicy(t, 'roles: { a: { tools: [x], scopes: [notes] } }')
  const { code, lines } = await explain({ sub: '1' }, { POLICY_FILE, MCP_SCOPES: 'mcp notes' }, '--scopes', 'notes')
  t.equal(code, 1)
  t.match(lines, ['May not log in: no role gives the scope mcp', 'Roles:'])
})

t.test('one tool, with the scopes of the client', async t => {
  const env = { POLICY_FILE: await writePolicy(t), MCP_SCOPES: 'mcp notes:write' }
  const cases: ReadonlyArray<[tool: string, scopes: string, code: number, line: RegExp]> = [
    ['delete_note', 'mcp', 1, /^ {2}! delete_note {2}needs the scopes notes:write/],
    ['delete_note', 'mcp notes:write', 0, /^ {2}✓ delete_note {2}allowed, by policy\.yaml:9:13$/],
    ['get_note', 'mcp', 0, /^ {2}✓ get_note {2}allowed, by policy\.yaml:5:13$/]
  ]
  for (const [tool, scopes, code, line] of cases) {
    const told = await explain(ANN, env, '--tool', tool, '--scopes', scopes, '--client', 'notes-app')
    t.equal(told.code, code, `${tool} with ${scopes}`)
    t.ok(told.lines.some(text => line.test(text)), `${tool}: ${told.lines.join('\n')}`)
  }
})

t.test('without a file', async t => {
  const { code, lines } = await explain({ sub: '1' }, {})
  t.equal(code, 0)
  t.strictSame(lines, [
    'May log in.',
    '  there is no rule about who may log in',
    'Scopes: mcp (asked for: mcp)',
    'Everything else is allowed: there are no roles.',
    'Limits: none by the policy.'
  ])
})

t.test('check names every fault, and rules that can never match', async t => {
  const bad = await ask(['check', await writePolicy(t, 'role: {}\nlimits:\n  calls: 1\n')], {})
  t.strictSame(bad, {
    code: 1,
    lines: [
      'policy.yaml:1:1: role is not known; do you mean roles?',
      'policy.yaml:3:3: limits.calls is not known; known are: calls_per_minute, calls_per_day, concurrent_calls, tools'
    ]
  })
  const idle = await ask(['check'], { POLICY_FILE: await writePolicy(t, 'roles:\n  a:\n    tools: [x, "!x"]\n') })
  t.strictSame(idle, {
    code: 0,
    lines: [
      'policy.yaml:3:13: warning: roles.a.tools: x never counts, as !x after it takes it back',
      'policy.yaml: the policy file is valid'
    ]
  })
  t.match(await ask(['check'], {}), { code: 2, lines: [/POLICY_FILE is not set/] })
  t.match(await ask(['check', '/nonexistent'], {}), { code: 1, lines: [/cannot be read \(ENOENT\)$/] })
})

t.test('arguments that are wrong', async t => {
  for (
    const args of [
      [],
      ['explain'],
      ['explain', '--claims', '[]'],
      ['explain', '--claims', '{'],
      ['explain', '--claims', '{}', 'more'],
      ['check', 'a', 'b'],
      ['check', '--unknown'],
      ['forget']
    ]
  ) {
    t.equal((await ask(args, {})).code, 2, args.join(' '))
  }
  t.match(await ask(['--help'], {}), { code: 0, lines: [/^Usage: fastify-mcp-oauth policy check/] })
})

t.test('as a process with .env, and nothing in it steers the terminal', async t => {
  const file = await writePolicy(t, 'roles: { "a\\e[2J": { tools: ["x"] } }')
  await writeFile(join(dirname(file), '.env'), 'POLICY_FILE=policy.yaml\n')
  const child = spawn(process.execPath, [...runnable('src/cli'), 'policy', 'explain', '--claims', '{"sub":"1"}'], {
    cwd: dirname(file),
    env: { PATH: process.env.PATH },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const [printed, ended] = await Promise.all([text(child.stdout), once(child, 'close')])
  t.match(ended, [0])
  t.match(printed, /✓ policy\.yaml:1:10 {2}a\[2J: everybody/)
  // eslint-disable-next-line no-control-regex
  t.notMatch(printed, /\x1b/)
})

t.test('the doctor warns of rules that can never match, and says where', async t => {
  const examine = async (POLICY_FILE: string) => {
    const printed: string[] = []
    await runDoctor([`http://127.0.0.1:${await freePort()}/mcp`], {
      env: { POLICY_FILE },
      write: line => { printed.push(line) }
    })
    return printed.join('')
  }
  const file = await writePolicy(t, 'roles:\n  a:\n    tools: [x, "!x"]\n')
  t.match(await examine(file), `! policy: roles.a.tools: x never counts, as !x after it takes it back
    Mend or remove it: ${file}:3:13.`)
  t.match(await examine(await writePolicy(t)), '✗ policy: ')
  t.match(await examine(await writePolicy(t, '{}')), '✓ policy: every rule can match')
})
