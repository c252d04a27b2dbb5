import fc from 'fast-check'
import t from 'tap'
import type { CallerInfo } from '../../src/caller.js'
import type { Primitive } from '../../src/policy/access.js'
import { Patterns } from '../../src/policy/patterns.js'
import { matchPerson, type Claims } from '../../src/policy/people.js'
import { Policy } from '../../src/policy/policy.js'
import type { PeopleRule, PolicyRules } from '../../src/policy/rules.js'

const verified = { email_verified: true }

const people: ReadonlyArray<[string, PeopleRule, Claims, boolean]> = [
  ['nothing', {}, {}, true],
  ['an address', { emails: ['ann@example.com'] }, { email: 'ann@example.com', ...verified }, true],
  ['an address in another case', { emails: ['Ann@Example.com'] }, { email: 'aNN@exAMPle.COM', ...verified }, true],
  ['an address that is not verified', { emails: ['ann@example.com'] }, { email: 'ann@example.com' }, false],
  ['verified as a text', { emails: ['ann@example.com'] }, { email: 'ann@example.com', email_verified: 'true' }, true],
  ['verified: 1', { emails: ['ann@example.com'] }, { email: 'ann@example.com', email_verified: 1 }, false],
  ['the Kelvin sign', { emails: ['kim@example.com'] }, { email: '\u212aim@example.com', ...verified }, false],
  ['a domain', { emailDomains: ['example.com'] }, { email: 'x@EXAMPLE.com', ...verified }, true],
  ['a subdomain', { emailDomains: ['example.com'] }, { email: 'x@sub.example.com', ...verified }, false],
  ['a longer name', { emailDomains: ['example.com'] }, { email: 'x@evilexample.com', ...verified }, false],
  ['two @', { emailDomains: ['example.com'] }, { email: 'x@evil.test@example.com', ...verified }, false],
  ['a quoted @', { emailDomains: ['example.com'] }, { email: '"x@evil.test"@example.com', ...verified }, false],
  ['a line end', { emailDomains: ['example.com'] }, { email: 'x@example.com\n', ...verified }, false],
  ['a domain in Unicode', { emailDomains: ['bücher.test'] }, { email: 'x@xn--bcher-kva.test', ...verified }, true],
  ['a list as address', { emailDomains: ['example.com'] }, { email: ['x@example.com'], ...verified }, false],
  ['a subject', { subjects: ['a1'] }, { sub: 'a1' }, true],
  ['a subject in another case', { subjects: ['a1'] }, { sub: 'A1' }, false],
  ['a subject beside addresses', { subjects: ['a1'], emails: ['b@example.com'] }, { sub: 'a1' }, true],
  ['a group', { groups: ['eng', 'ops'] }, { groups: ['ops'] }, true],
  ['one group as a text', { groups: ['ops'] }, { groups: 'ops' }, true],
  ['part of a group', { groups: ['ops'] }, { groups: 'ops-guests' }, false],
  ['no groups', { groups: ['ops'] }, {}, false],
  ['a group without the subject', { groups: ['ops'], subjects: ['a'] }, { groups: ['ops'], sub: 'b' }, false],
  ['a claim', { claims: [{ claim: 'hd', is: 'example.com' }] }, { hd: 'example.com' }, true],
  ['a claim that is a number', { claims: [{ claim: 'level', is: '2' }] }, { level: 2 }, true],
  ['a claim that is a list', { claims: [{ claim: 'hd', is: 'a' }] }, { hd: ['a'] }, false],
  ['a claim that is inherited', { claims: [{ claim: 'constructor.name', is: 'Object' }] }, {}, false],
  ['a claim with dots', { claims: [{ claim: 'https://a.example/r', contains: 'x' }] }, { 'https://a.example/r': ['x'] },
    true],
  ['a path', { claims: [{ claim: 'realm_access.roles', contains: 'x' }] }, { realm_access: { roles: ['x'] } }, true],
  ['a word of a text', { claims: [{ claim: 'scope', contains: 'b' }] }, { scope: 'a b' }, true],
  ['half a word', { claims: [{ claim: 'scope', contains: 'b' }] }, { scope: 'a bc' }, false],
  ['one of two claims', { claims: [{ claim: 'a', is: '1' }, { claim: 'b', is: '1' }] }, { a: 1 }, false]
]

t.test('whom a rule is about', async t => {
  for (const [name, rule, claims, holds] of people) {
    t.equal(matchPerson(rule, claims, { trustEmails: false }).holds, holds, name)
  }
  const unverified = { email: 'ann@example.com', email_verified: false }
  t.ok(matchPerson({ emails: ['ann@example.com'] }, unverified, { trustEmails: true }).holds, 'addresses are trusted')
})

t.test('patterns name what a regular expression would, and take back what ! names', async t => {
  const letters = fc.array(fc.constantFrom('a', 'b', '*'), { maxLength: 8 }).map(all => all.join(''))
  const name = fc.array(fc.constantFrom('a', 'b'), { maxLength: 10 }).map(all => all.join(''))
  fc.assert(fc.property(letters, name, (pattern, name) => {
    const expected = new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(name)
    return new Patterns([pattern]).findMatch(name) === (expected ? pattern : undefined)
  }))
  const patterns = new Patterns(['notes_*', '!notes_delete*', 'notes_delete_draft'])
  t.strictSame(['notes_add', 'notes_delete', 'notes_delete_draft', 'other'].map(name => patterns.findMatch(name)), [
    'notes_*',
    undefined,
    'notes_delete_draft',
    undefined
  ])
})

const rules: PolicyRules = {
  roles: {
    reader: { scopes: ['mcp'], tools: ['get_*'] },
    editor: { people: { groups: ['editors'] }, tools: ['get_*', 'put_*'], prompts: ['*'] }
  },
  scopes: { write: { tools: ['put_*', 'get_secret'] } },
  public: { tools: ['about'], resources: ['help://*'] }
}

function caller (groups: readonly string[], scopes: string[]): CallerInfo {
  const extra = { issuer: 'https://login.example', subject: 'a', claims: { groups } }
  return { token: 't', clientId: 'c', scopes, extra }
}

const cases: ReadonlyArray<[string, CallerInfo | undefined, Primitive, string]> = [
  ['nobody, public', undefined, { kind: 'tools', name: 'about' }, 'allowed'],
  ['nobody, a public resource', undefined, { kind: 'resources', name: 'help://a' }, 'allowed'],
  ['nobody, protected', undefined, { kind: 'tools', name: 'get_a' }, 'login'],
  ['nobody, in no role', undefined, { kind: 'tools', name: 'drop' }, 'refused'],
  ['a reader', caller([], ['mcp']), { kind: 'tools', name: 'get_a' }, 'allowed'],
  ['a reader, by a scope that no role of theirs gives', caller([], ['mcp']), { kind: 'tools', name: 'get_secret' },
    'refused'],
  ['a reader, a tool of editors', caller([], ['mcp', 'write']), { kind: 'tools', name: 'put_a' }, 'refused'],
  ['an editor without the scope', caller(['editors'], ['mcp']), { kind: 'tools', name: 'put_a' }, 'scopes'],
  ['an editor with it', caller(['editors'], ['mcp', 'write']), { kind: 'tools', name: 'put_a' }, 'allowed'],
  ['an editor, a scope that the server declares', caller(['editors'], ['mcp']),
    { kind: 'tools', name: 'get_a', scopes: ['x'] }, 'scopes'],
  ['a reader, a prompt', caller([], ['mcp']), { kind: 'prompts', name: 'p' }, 'refused'],
  ['a name of another kind', caller([], ['mcp']), { kind: 'resources', name: 'get_a' }, 'refused']
]

t.test('what a caller may use', async t => {
  const policy = new Policy(rules)
  for (const [name, caller, primitive, kind] of cases) {
    t.equal(policy.accessOf(caller).judge(primitive).kind, kind, name)
  }
  t.equal(new Policy({}).accessOf(undefined).judge({ kind: 'tools', name: 'x' }).kind, 'login', 'no rules: log in')
  t.equal(new Policy({}).accessOf(caller([], ['mcp'])).judge({ kind: 'tools', name: 'x' }).kind, 'allowed')
})

t.test('who may log in, and with which scopes', async t => {
  const policy = new Policy({ ...rules, login: { groups: ['staff', 'editors'] } })
  t.match(policy.decideLogin({ groups: ['guests'] }, ['mcp']), { allow: false, why: /^login.groups/ })
  t.match(policy.decideLogin({ groups: ['staff'] }, ['mcp', 'write']), { allow: true, scopes: ['mcp'] })
  t.match(policy.decideLogin({ groups: ['editors'] }, ['mcp', 'write']), { allow: true, scopes: ['mcp', 'write'] })
  const closed = new Policy({ roles: { editor: { people: { groups: ['editors'] } } } })
  t.match(closed.decideLogin({ groups: [] }, ['mcp']), { allow: false, why: /^roles/ })
})

t.test('rules that are replaced count at once, for known callers too', async t => {
  const policy = new Policy(rules)
  const ann = caller(['editors'], ['mcp', 'write'])
  t.equal(policy.accessOf(ann).judge({ kind: 'tools', name: 'put_a' }).kind, 'allowed')
  let told = 0
  const unsubscribe = policy.onReplaced(() => { told++ })
  policy.replace({ roles: { reader: { tools: ['get_*'] } } })
  t.equal(policy.accessOf(ann).judge({ kind: 'tools', name: 'put_a' }).kind, 'refused')
  unsubscribe()
  policy.replace({})
  t.equal(told, 1)
})

t.test('limits: the highest that a role names, or else that of all', async t => {
  const all = { callsPerMinute: 10, callsPerDay: 50, tools: { 'slow_*': { concurrentCalls: 1 } } }
  const tools = { slow_a: { concurrentCalls: 0 }, 'slow_*': { concurrentCalls: 3, callsPerDay: 4 } }
  const b = { people: { groups: ['b'] }, limits: { callsPerMinute: 99, tools } }
  const c = { people: { groups: ['c'] }, limits: { callsPerMinute: 5, concurrentCalls: 2 } }
  const policy = new Policy({ limits: all, roles: { a: {}, b, c }, clientLimits: { callsPerDay: 7 } })
  const limitsOf = (...groups: string[]) => {
    const limits = policy.limitsOf(caller(groups, []))
    return [limits?.all, limits?.ofTool('slow_a'), limits?.ofTool('slow_b'), limits?.ofTool('fast'), limits?.ofClient]
  }
  const client = { callsPerDay: 7 }
  t.strictSame(limitsOf(), [
    { callsPerMinute: 10, callsPerDay: 50 },
    { concurrentCalls: 1 },
    { concurrentCalls: 1 },
    undefined,
    client
  ])
  t.strictSame(limitsOf('b'), [
    { callsPerMinute: 99, callsPerDay: 50 },
    { concurrentCalls: 0 },
    { callsPerDay: 4, concurrentCalls: 3 },
    undefined,
    client
  ])
  t.strictSame(limitsOf('c')[0], { callsPerMinute: 5, callsPerDay: 50, concurrentCalls: 2 })
  t.strictSame(limitsOf('b', 'c')[0], { callsPerMinute: 99, callsPerDay: 50, concurrentCalls: 2 })
  t.equal(new Policy({ roles: { a: {} } }).limitsOf(caller([], [])), undefined)
  t.equal(new Policy({ limits: {} }).limitsOf(caller([], [])), undefined)
})
