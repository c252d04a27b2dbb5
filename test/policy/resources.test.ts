import t from 'tap'
import { ConfigError } from '../../src/errors.js'
import type { Primitive } from '../../src/policy/access.js'
import { Policy } from '../../src/policy/policy.js'
import type { PrimitivePatterns } from '../../src/policy/rules.js'

const caller = {
  scopes: ['mcp'],
  extra: { issuer: 'https://login.example', subject: 'a' }
}

function judge (patterns: PrimitivePatterns, primitive: Primitive): string {
  return new Policy({ roles: { all: patterns } }).accessOf(caller).judge(primitive).kind
}

const uris: ReadonlyArray<[what: string, patterns: string[], uri: string, verdict: 'allowed' | 'refused']> = [
  ['a URI', ['note://a'], 'note://a', 'allowed'],
  ['another', ['note://a'], 'note://b', 'refused'],
  ['a URI that the SDKs normalize', ['http://example.com'], 'http://example.com', 'allowed'],
  ['one taken back', ['note://*', '!note://secret'], 'note://secret', 'refused'],
  ['... in upper case', ['note://*', '!note://secret'], 'NOTE://secret', 'refused'],
  ['... in upper case, where any scheme is allowed', ['*', '!note://secret'], 'NOTE://secret', 'refused'],
  ['... with a space before it', ['*', '!note://secret'], ' note://secret', 'refused'],
  ['... with a line end in it', ['*', '!note://secret'], 'note://sec\nret', 'refused'],
  ['... percent-encoded', ['note://*', '!note://secret'], 'note://%73ecret', 'refused'],
  ['... percent-encoded twice', ['note://*', '!note://secret'], 'note://%2573ecret', 'refused'],
  ['... percent-encoded, as a template', ['*', '!note://{id}'], 'note://%73ecret', 'refused'],
  ['... encoded in the pattern', ['*', '!note://s%65cret'], 'note://secret', 'refused'],
  ['a path out of what is allowed', ['file:///public/*'], 'file:///public/../secret', 'refused'],
  ['... with encoded dots', ['file:///public/*'], 'file:///public/%2e%2e/secret', 'refused'],
  ['... with an encoded slash', ['file:///public/*'], 'file:///public/..%2fsecret', 'refused'],
  ['... with both encoded twice', ['file:///public/*'], 'file:///public/%252e%252e%252fsecret', 'refused'],
  ['... which stays in it', ['file:///public/*'], 'file:///public/a/../b', 'allowed'],
  ['an encoded slash', ['file:///{path}'], 'file:///a%2Fb', 'allowed'],
  ['an encoded slash, of a URI without', ['file:///a%2Fb'], 'file:///a/b', 'refused'],
  ['a URI of a template', ['note://{id}'], 'note://a', 'allowed'],
  ['a URI that it does not match', ['note://{id}'], 'note://a/b', 'refused'],
  ['a URI of a template that is taken back', ['note://*', '!note://{id}'], 'note://a', 'refused'],
  ['a URI taken back of a template', ['note://{id}', '!note://secret'], 'note://secret', 'refused'],
  ['a URI given again', ['note://*', '!note://{id}', 'note://a'], 'note://a', 'allowed'],
  ['a URI in Unicode', ['note://café'], 'note://café', 'allowed'],
  ['a URI in Unicode, encoded', ['*', '!note:///café'], 'note:///caf%C3%A9', 'refused']
]

t.test('URIs are judged in every spelling', async t => {
  for (const [what, resources, name, verdict] of uris) {
    t.equal(judge({ resources }, { kind: 'resources', name }), verdict, `${what}: ${name.trim()}`)
  }
})

const names: ReadonlyArray<[what: string, tools: string[], name: string, verdict: 'allowed' | 'refused']> = [
  ['composed', ['caf\u00e9'], 'caf\u00e9', 'allowed'],
  ['decomposed is another name', ['caf\u00e9'], 'cafe\u0301', 'refused'],
  ['decomposed, of one that is taken back', ['*', '!caf\u00e9'], 'cafe\u0301', 'refused'],
  ['composed, of one that is taken back decomposed', ['*', '!cafe\u0301'], 'caf\u00e9', 'refused'],
  ['another case is another name', ['drop'], 'DROP', 'refused'],
  ['another case, of one that is taken back', ['*', '!drop'], 'DROP', 'refused'],
  ['... of one that is given again', ['*', '!DROP', 'drop'], 'drop', 'allowed'],
  ['a template among tools is a name', ['a{b}'], 'a{b}', 'allowed']
]

t.test('names are compared exactly, and taken back in every spelling', async t => {
  for (const [what, tools, name, verdict] of names) t.equal(judge({ tools }, { kind: 'tools', name }), verdict, what)
})

t.test('templates are judged by their text', async t => {
  const template = (resources: string[], name: string) =>
    judge({ resources }, { kind: 'resources', name, isTemplate: true })
  t.equal(template(['note://{id}'], 'note://{id}'), 'allowed')
  t.equal(template(['note://{id}'], 'note://{name}'), 'allowed', 'by another variable: its URIs are the same')
  t.equal(template(['file:///a/{id}'], 'file:///a/{id}'), 'allowed', 'braces in a path')
  t.equal(template(['file:///a/*'], 'file:///a/{id}'), 'allowed')
  t.equal(template(['note://*', '!note://{id}'], 'note://{id}'), 'refused')
  t.equal(template(['note://a'], 'note://{id}'), 'refused')
})

t.test('a pattern that cannot be read is refused', async t => {
  for (const pattern of ['note://{id}/*', `note://${'{a}'.repeat(20_000)}`]) {
    t.throws(() => new Policy({ public: { resources: [pattern] } }), ConfigError, pattern.slice(0, 20))
  }
})

t.test('a scope is needed in every spelling', async t => {
  const policy = new Policy({ scopes: { secret: { resources: ['note://secret'], tools: ['caf\u00e9'] } } })
  for (const name of ['note://secret', 'NOTE://secret', 'note://%73ecret']) {
    t.equal(policy.accessOf(caller).judge({ kind: 'resources', name }).kind, 'scopes', name)
  }
  t.equal(policy.accessOf(caller).judge({ kind: 'tools', name: 'cafe\u0301' }).kind, 'scopes')
})

t.test('what is not known is allowed if everything is', async t => {
  const may = (tools: string[]) => new Policy({ roles: { all: { tools } } }).accessOf(caller).mayUseAll('tools')
  t.ok(may(['*']))
  t.ok(may(['!a', '*', 'b']))
  t.notOk(may(['*', '!a']))
  t.notOk(may(['a*']))
  t.ok(new Policy({}).accessOf(caller).mayUseAll('tools'))
  t.notOk(new Policy({}).accessOf(undefined).mayUseAll('tools'))
  t.notOk(new Policy({ scopes: { write: { tools: ['w*'] } } }).accessOf(caller).mayUseAll('tools'))
})
