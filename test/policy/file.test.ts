import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { peopleRule, policyRules } from '../../src/policy/check-rules.js'
import { PolicyFileError } from '../../src/policy/file/faults.js'
import { parsePolicyFile } from '../../src/policy/file/parse.js'
import type { PolicyRules } from '../../src/policy/rules.js'
import { findDeadRules, findUnknownTools } from '../../src/policy/dead-rules.js'
import { root } from '../support/root.js'

const EVERYTHING = `
login:
  emails: [ann@example.com]
  email_domains: [example.com]
  subjects: ['1234']
  groups: [mcp-users]
  claims: [hd=example.com, realm_access.roles~mcp]
clients:
  registration: token
  allowed: [claude.ai, '*.example.com', 'cursor:']
trust_emails: true
roles:
  reader:
    tools: ['get_*', '!get_secret']
    resources: ['note://*', 'file:///{name}']
    prompts: ['*']
  editor:
    people: { groups: [editors] }
    scopes: [mcp, 'notes:write']
    tools: ['*']
    limits: { calls_per_minute: 60, calls_per_day: 0, concurrent_calls: 2 }
scopes:
  'notes:write': { tools: [delete_*] }
public: { tools: [search] }
refusal: forbidden
limits:
  calls_per_minute: 120
  tools: { 'report_*': { calls_per_day: 20 } }
client_limits: { calls_per_minute: 3000 }
`

const RULES: PolicyRules = {
  login: {
    emails: ['ann@example.com'],
    emailDomains: ['example.com'],
    subjects: ['1234'],
    groups: ['mcp-users'],
    claims: [{ claim: 'hd', is: 'example.com' }, { claim: 'realm_access.roles', contains: 'mcp' }]
  },
  clients: { registration: 'token', allowed: ['claude.ai', '*.example.com', 'cursor:'] },
  trustEmails: true,
  roles: {
    reader: {
      tools: ['get_*', '!get_secret'],
      resources: ['note://*', 'file:///{name}'],
      prompts: ['*']
    },
    editor: {
      people: { groups: ['editors'] },
      scopes: ['mcp', 'notes:write'],
      tools: ['*'],
      limits: { callsPerMinute: 60, callsPerDay: 0, concurrentCalls: 2 }
    }
  },
  scopes: { 'notes:write': { tools: ['delete_*'] } },
  public: { tools: ['search'] },
  refusal: 'forbidden',
  limits: { callsPerMinute: 120, tools: { 'report_*': { callsPerDay: 20 } } },
  clientLimits: { callsPerMinute: 3000 }
}

t.test('every member is read, as YAML and as JSON', async t => {
  const SCOPES = ['mcp', 'notes:write']
  const { rules } = parsePolicyFile('policy.yaml', EVERYTHING, SCOPES)
  t.strictSame(rules, RULES)
  const json = JSON.stringify({ roles: { reader: { tools: ['get_*'] } } }, null, '\t')
  t.strictSame(parsePolicyFile('policy.json', json, SCOPES).rules, { roles: { reader: { tools: ['get_*'] } } })
  t.strictSame(parsePolicyFile('a', '\ufeff# all\n{}\n').rules, {}, 'a byte order mark, a comment, no rules')
  const shared = 'login: &staff { groups: [staff] }\nroles:\n  all:\n    people: *staff\n    tools: ["*"]\n'
  t.strictSame(parsePolicyFile('a', shared).rules.roles?.all?.people, { groups: ['staff'] }, 'an alias')
  t.strictSame(parsePolicyFile('a', 'login: [{ groups: [a] }, { groups: [b] }]').rules.login, [
    { groups: ['a'] },
    { groups: ['b'] }
  ], 'several rules of who may log in')
})

t.test('the file has every member that rules in code have', async t => {
  t.strictSame(Object.keys(RULES).sort(), Object.keys(policyRules.properties).sort())
  t.strictSame(Object.keys(RULES.login ?? {}).sort(), Object.keys(peopleRule.properties).sort())
})

t.test('a rule is found again in the file', async t => {
  const { locate } = parsePolicyFile('policy.yaml', EVERYTHING)
  t.strictSame(locate(['login', 'emailDomains', 'example.com']), { line: 4, column: 19 })
  t.strictSame(locate(['roles', 'reader', 'tools', '!get_secret']), { line: 14, column: 22 })
  t.strictSame(locate(['roles', 'editor']), { line: 17, column: 3 })
  t.strictSame(locate(['limits', 'tools', 'report_*', 'callsPerDay']), { line: 28, column: 26 })
  t.strictSame(locate(['roles', 'nobody']), { line: 12, column: 1 }, 'as far as it is there')
})

const bomb = [
  'a0: &a0 [x, x, x, x, x, x, x, x, x]',
  ...Array.from({ length: 8 }, (_, index) => `a${index + 1}: &a${index + 1} [${`*a${index}, `.repeat(9)}]`)
].join('\n')

/** text of a file -> where it is wrong, and what is said. */
const wrong: ReadonlyArray<[name: string, text: string, message: RegExp]> = [
  ['an unknown name', 'roles:\n  reader:\n    tool: [a]\n', /^p:3:5: roles\.reader\.tool is not known; do you mean tools\?$/],
  ['a name of the code', 'login:\n  emailDomains: [a.test]', /^p:2:3: login\.emailDomains .* mean email_domains\?$/],
  ['a name far from all', 'users: [a]', /^p:1:1: users is not known; known are: login, clients, trust_emails, /],
  ['an unknown name in a list', 'login:\n  - groups: [a]\n  - group: [b]', /^p:3:5: login\[1\]\.group is not known; do you/],
  ['a key twice', 'roles:\n  a: { tools: [x] }\n  a: { tools: [y] }', /^p:3:3: Map keys must be unique/],
  ['a member twice in JSON', '{"public": {},\n "public": {}}', /^p:2:2: Map keys must be unique/],
  ['a tab', 'roles:\n\treader:\n', /^p:2:1: Tabs are not allowed as indentation/],
  ['two documents', 'public: {tools: [a]}\n---\nlogin: {}\n', /^p:2:1: more than one YAML document$/],
  ['nothing', '', /^p: the file is empty; it takes an object of rules, at least \{\}$/],
  ['only a comment', '# later\n', /^p: the file is empty/],
  ['a list', '- a', /^p:1:1: the file is a list; it takes an object with login, /],
  ['a text', 'hello', /^p:1:1: the file is "hello"; it takes an object/],
  ['a text where a list is due', 'public:\n  tools: search', /^p:2:3: public\.tools is "search"; it takes a list of one or/],
  ['an empty list', 'roles:\n  a:\n    tools: []', /^p:3:5: roles\.a\.tools is an empty list; it takes a list of one/],
  ['an empty member', 'roles:\n  a:\n    people:\n', /^p:3:5: roles\.a\.people is empty; it takes an object with/],
  ['no roles', 'roles: {}', /^p:1:1: roles is an empty object; it takes an object with one or more roles/],
  ['a number as a subject', 'login:\n  subjects: [12]', /^p:2:14: login\.subjects\[0\] is 12; it takes a text \(a number in/],
  ['one twice', 'login:\n  groups: [a, b, a]', /^p:2:18: login\.groups\[2\] is "a"; it takes each once$/],
  ['an address', 'login:\n  emails: [ann]', /^p:2:12: login\.emails\[0\] is "ann"; it takes an e-mail address/],
  ['a domain', 'login:\n  email_domains: ["@a.test"]', /^p:2:19: .*; it takes a domain such as example\.com/],
  ['a claim', 'login:\n  claims:\n    - hd', /^p:3:7: login\.claims\[0\] is "hd"; it takes claim=value, or claim~value/],
  ['a scope that is not there', 'roles:\n  a:\n    tools: [x]\n    scopes: [admin]',
    /^p:4:14: roles\.a\.scopes\[0\] is "admin"; it takes one of MCP_SCOPES: mcp notes$/],
  ['a scope that is not there, as a name', 'scopes:\n  admin: { tools: [a] }',
    /^p:2:3: scopes\.admin: the name "admin" is not valid; it takes one of MCP_SCOPES: mcp notes$/],
  ['a word', 'refusal: never', /^p:1:1: refusal is "never"; it takes unknown or forbidden$/],
  ['less than nothing', 'limits:\n  calls_per_day: -1', /^p:2:3: limits\.calls_per_day is -1; it takes a whole number/],
  ['a fraction', 'limits: { calls_per_minute: 1.5 }', /^p:1:11: .* is 1\.5; it takes a whole number from 0$/],
  ['a limit of a tool', 'limits:\n  tools:\n    x: { per_day: 1 }', /^p:3:10: limits\.tools\.x\.per_day is not known; known/],
  ['! without quotes', 'public:\n  tools: [a, !b]', /^p:2:14: Unresolved tag: !b; a pattern with ! or \* at its/],
  ['* without quotes', 'public:\n  tools: [*]', /^p:2:11: Alias cannot be an empty string.* must be in quotes$/],
  ['*x without quotes', 'public:\n  tools:\n    - *_read', /^p:3:7: \*_read is an alias of nothing; a pattern with ! or/],
  ['a template with *', 'public:\n  resources: ["a://{x}/*"]', /^p:2:15: .*; it takes a URI, a URI template or a pattern/],
  ['aliases that multiply', bomb, /^p: the aliases cannot be resolved: Excessive alias count/],
  ['an alias of itself', 'roles: &a\n  x: *a', /^p:2:3: roles\.x\.x is not known/],
  ['a merge', 'a: &a {}\nlogin:\n  <<: *a', /^p:1:1: a is not known/],
  ['deep in JSON', '['.repeat(50_000), /^p:1:21: nested more than 20 deep$/],
  ['deep in YAML', '- '.repeat(50_000), /^p:1:\d+: nested more than 20 deep$/],
  ['the prototype', 'roles:\n  __proto__: { tools: [a] }', /^p:2:3: this name cannot be used$/],
  ['a list as a name', 'roles:\n  ? [a]\n  : { tools: [x] }', /: this name cannot be used$/],
  ['a bracket that is not closed', 'roles:\n  a: { tools: [x }\n', /^p:2:\d+: /]
]

t.test('what is wrong is refused, with line and column', async t => {
  for (const [name, text, message] of wrong) {
    try {
      parsePolicyFile('p', text, ['mcp', 'notes'])
      t.fail(`${name}: it is taken`)
    } catch (error) {
      if (!(error instanceof PolicyFileError)) throw error
      t.match(error.lines[0], message, name)
      t.notMatch(error.message, /\n/, `${name}: one line`)
    }
  }
})

t.test('every fault is found, in the order of lines', async t => {
  const text = 'limits: { calls: 1 }\nroles:\n  a: { tool: [x], scopes: [y] }\n'
  t.throws(() => parsePolicyFile('p', text, ['mcp']), {
    lines: [/^p:1:11: limits\.calls /, /^p:3:8: roles\.a\.tool /, /^p:3:28: roles\.a\.scopes\[0\] /],
    message: /\(2 more: fastify-mcp-oauth policy check\)$/
  })
})

t.test('the example of the documentation has every member, and no rule in it is dead', async t => {
  const page = readFileSync(join(root, 'docs/policy.md'), 'utf8')
  const [, example = ''] = /<!-- test\/policy\/file\.test\.ts[^\n]*\n```yaml\n([^]*?)```/.exec(page) ?? []
  const scopes = ['mcp', 'notes:write']
  const { rules } = parsePolicyFile('docs/policy.md', example, scopes)
  t.strictSame(Object.keys(rules).sort(), Object.keys(RULES).sort())
  t.strictSame(Object.keys(rules.login ?? {}).sort(), Object.keys(RULES.login ?? {}).sort())
  t.strictSame(findDeadRules(rules, scopes), [])
})

const hd = (is: string) => ({ claim: 'hd', is })

t.test('dead rules are found, and only what is sure', async t => {
  const cases: ReadonlyArray<[name: string, rules: PolicyRules, says: ReadonlyArray<string | RegExp>]> = [
    ['nothing', {}, []],
    ['taken back whole', { public: { tools: ['get_a', '!get_*'] } },
      ['public.tools: get_a never counts, as !get_* after it takes it back']],
    ['taken back in part', { public: { tools: ['get_*', '!get_a'] } }, []],
    ['nothing before it', { public: { tools: ['!x', '*'] } },
      ['public.tools: !x takes back nothing, as nothing before it is named']],
    ['a role of nothing', { roles: { a: {} } }, ['roles.a names no tools, resources or prompts: it allows nothing']],
    ['a role without scopes', { roles: { a: { tools: ['x'], scopes: [] } } }, [/^roles\.a\.scopes is empty/]],
    ['an unknown scope', { roles: { a: { tools: ['x'], scopes: ['b'] } } },
      ['roles.a.scopes: b is not one of MCP_SCOPES (mcp)']],
    ['a scope of no role', { roles: { a: { tools: ['x'], scopes: [] } }, scopes: { mcp: { tools: ['x'] } } },
      [/^roles\.a\.scopes/, /^scopes\.mcp: no role gives this scope/]],
    ['a scope that a role gives', { roles: { a: { tools: ['x'] } }, scopes: { mcp: { tools: ['x'] } } }, []],
    ['two values of a claim', { login: [{ claims: [hd('a')] }, { claims: [hd('b')] }] },
      ['login: nobody can log in, as hd=a and hd=b cannot both hold']],
    ['two domains', { login: [{ emailDomains: ['a.test'] }, { emailDomains: ['b.test'] }] },
      [/^login: nobody can log in, as a\.test and b/]],
    ['an address of the domain', { login: [{ emailDomains: ['A.test'] }, { emails: ['x@a.TEST'] }] }, []],
    ['an address, or a subject', { login: [{ emailDomains: ['a.test'] }, { emails: ['x@b.test'], subjects: ['1'] }] },
      []],
    ['two subjects', { login: [{ subjects: ['1'] }, { subjects: ['2', '3'] }] }, [/^login: nobody/]],
    ['two groups', { login: [{ groups: ['1'] }, { groups: ['2'] }] }, []],
    ['another domain in the claim', { login: { emailDomains: ['a.test'], claims: [hd('b.test')] } }, []],
    ['people who cannot log in', {
      login: { emailDomains: ['a.test'] },
      roles: { a: { people: { emails: ['x@b.test'] }, tools: ['x'] } }
    }, [/^roles\.a: nobody has this role, as a\.test and x@b\.test cannot both hold$/]]
  ]
  for (const [name, rules, says] of cases) {
    const found = findDeadRules(rules, ['mcp'])
    t.match(found.map(rule => rule.says), says, name)
    t.equal(found.length, says.length, `${name}: no more`)
  }
  const rules: PolicyRules = {
    roles: { a: { tools: ['get_*', '!put_x'], limits: { tools: { old: {} } } } },
    limits: { tools: { 'get_*': {}, gone: {} } }
  }
  t.strictSame(findUnknownTools(rules, ['get_note']).map(({ at }) => at.join('.')), [
    'roles.a.tools.!put_x',
    'limits.tools.gone',
    'roles.a.limits.tools.old'
  ])
})
