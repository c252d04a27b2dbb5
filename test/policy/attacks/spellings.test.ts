import fc from 'fast-check'
import t from 'tap'
import { Policy } from '../../../src/policy/policy.js'
import type { PolicyRules } from '../../../src/policy/rules.js'
import { callerOf, WAYS, type Asked } from '../../attacks/eras.js'
import { hostPlug } from '../policy-server.js'
import { CARELESS, HIDDEN, lookUp, lookUpUri } from './careless-server.js'

/*
 * Every spelling that a careless server takes for what is hidden: it does not run, is not shown, and needs the scope.
 */
const HIDDEN_URI = `doc://x/${HIDDEN}`
const rules: PolicyRules = {
  roles: {
    all: { tools: ['*', `!${HIDDEN}`], prompts: ['*', `!${HIDDEN}`], resources: ['*', `!${HIDDEN_URI}`] }
  }
}

const NAMES: Readonly<Record<string, string>> = {
  composed: HIDDEN,
  decomposed: HIDDEN.normalize('NFD'),
  'upper case': HIDDEN.toUpperCase(),
  'mixed case': 'S\u00e9CreT',
  'full width': '\uff53\u00e9\uff43\uff52\uff45\uff54',
  'the long s': '\u017f\u00e9cret',
  'circled letters': '\u24e2\u00e9cret',
  'a zero-width space': 's\u00e9\u200bcret',
  'a byte order mark': `\ufeff${HIDDEN}`,
  'a soft hyphen': 's\u00e9cre\u00adt',
  'a space after': `${HIDDEN} `,
  'a line end': `${HIDDEN}\n`,
  'a no-break space before': `\u00a0${HIDDEN}`,
  'many at once': ' \uff33E\u0301\u200dcR\uff25t\t'
}
const encode = (text: string) => [...Buffer.from(text)].map(byte => `%${byte.toString(16).padStart(2, '0')}`).join('')
const URIS: Readonly<Record<string, string>> = {
  ...Object.fromEntries(Object.entries(NAMES).map(([what, name]) => [what, `doc://x/${name.trim()}`])),
  'a scheme in upper case': `DOC://x/${HIDDEN}`,
  'a host in upper case': `doc://X/${HIDDEN}`,
  'percent-encoded': `doc://x/${encode(HIDDEN)}`,
  'percent-encoded in upper case': `doc://x/${encode(HIDDEN.toUpperCase())}`,
  'percent-encoded twice': `doc://x/${encode(encode(HIDDEN))}`,
  'dot segments': `doc://x/open/../${HIDDEN}`,
  'encoded dot segments': `doc://x/open/%2e%2e/${HIDDEN}`,
  'dot segments behind an encoded slash': `doc://x/open%2f..%2f${HIDDEN}`,
  'a full stop': `doc://x/./${HIDDEN}`,
  'space around': ` doc://x/${HIDDEN} `
}

const ref = (of: object): Asked => ({
  method: 'completion/complete',
  params: { ref: of, argument: { name: 'a', value: '' } }
})
const BY_NAME: ReadonlyArray<(name: string) => Asked> = [
  name => ({ method: 'tools/call', params: { name, arguments: {} } }),
  name => ({ method: 'prompts/get', params: { name } }),
  name => ref({ type: 'ref/prompt', name })
]
const BY_URI: ReadonlyArray<(uri: string) => Asked> = [
  uri => ({ method: 'resources/read', params: { uri } }),
  uri => ref({ type: 'ref/resource', uri })
]
const SUBSCRIPTION = (uri: string): Asked => ({ method: 'resources/subscribe', params: { uri } })

/** Invalid params, and a resource that is not found. */
const UNKNOWN: ReadonlySet<unknown> = new Set([-32602, -32002])

t.test('the server is as careless as it says', t => {
  for (const [what, name] of Object.entries(NAMES)) t.equal(lookUp(name), HIDDEN, what)
  for (const [what, uri] of Object.entries(URIS)) t.equal(lookUpUri(uri), HIDDEN_URI, what)
  t.end()
})

for (const [name, way] of Object.entries(WAYS)) {
  for (const [line, makePlug] of Object.entries(CARELESS)) {
    t.test(`${name}, ${line}`, async t => {
      const { service, ran } = await hostPlug(t, way, makePlug, rules)
      const caller = await way.connect(t, service, 'mallory_mcp')
      const byUri = name.startsWith('2026') ? BY_URI : [...BY_URI, SUBSCRIPTION]
      const spelled = [
        ...Object.entries(NAMES).map(([what, name], i) => [what, BY_NAME[i % BY_NAME.length]?.(name)] as const),
        ...Object.entries(URIS).map(([what, uri], i) => [what, byUri[i % byUri.length]?.(uri)] as const)
      ]
      for (const [what, asked = SUBSCRIPTION('')] of spelled) {
        const { status, responses: [{ error } = {}] } = await caller.ask('mallory_mcp', [asked])
        const isRefused = status === 400 || (status < 300 && UNKNOWN.has(error?.code))
        t.strictSame([isRefused, ran.splice(0)], [true, []], `${asked.method}: ${what}`)
      }
      for (const make of [...BY_NAME.map(ask => ask('open')), ...byUri.map(ask => ask('doc://x/open'))]) {
        const { responses: [response] } = await caller.ask('mallory_mcp', [make])
        t.match(response, { result: Object }, `${make.method}: what is allowed works`)
      }
      t.equal(ran.length, BY_NAME.length + byUri.length)
    })
  }
}

t.test('another spelling has no limit of its own', async t => {
  for (const [line, makePlug] of Object.entries(CARELESS)) {
    const [way] = Object.values(WAYS)
    if (way === undefined) throw new Error('There is no way.')
    const { service, ran } = await hostPlug(t, way, makePlug, { limits: { tools: { Open: { callsPerDay: 2 } } } })
    const client = await way.connect(t, service, 'mallory_mcp')
    const statuses: number[] = []
    for (const name of ['open', 'OPEN', '\uff4fpen ', 'oPen']) {
      const told = await client.ask('mallory_mcp', [{ method: 'tools/call', params: { name, arguments: {} } }])
      statuses.push(told.status)
    }
    t.strictSame([statuses, ran], [[200, 200, 429, 429], ['tool open', 'tool open']], line)
  }
})

const caller = callerOf('mallory_mcp')
const judge = (rules: PolicyRules, kind: 'tools' | 'resources', name: string) =>
  new Policy(rules).accessOf(caller).judge({ kind, name }).kind
const widen = (letter: string) => /[!-~]/.test(letter) ? String.fromCodePoint(letter.charCodeAt(0) + 0xfee0) : letter
const letters = fc.constantFrom<(letter: string) => string>(
  letter => letter,
letter => letter.toUpperCase(),
widen,
letter => widen(letter.toUpperCase()),
letter => letter.normalize('NFD'),
letter => `${letter}\u200b`,
letter => `\u2060${letter}`
)
const spelled = fc.tuple(
  fc.constantFrom('', ' ', '\t', '\u00a0'),
  fc.array(letters, { minLength: HIDDEN.length, maxLength: HIDDEN.length }),
  fc.constantFrom('', ' ', '\r\n', '\u3000')
).map(([before, spell, after]) => before + [...HIDDEN].map((letter, i) => spell[i]?.(letter)).join('') + after)

t.test('whatever the spelling', t => {
  const asWritten = fc.constantFrom(HIDDEN, HIDDEN.toUpperCase(), HIDDEN.normalize('NFD'))
  fc.assert(fc.property(spelled, asWritten, (name, rule) => {
    if (lookUp(name) !== HIDDEN) return false
    const path = name.trim()
    for (const [kind, spelling, pattern] of [
      ['tools', name, rule],
      ['tools', name, `${rule.slice(0, -1)}*`],
      ['resources', `doc://x/${path}`, `doc://x/${rule}`],
      ['resources', `doc://x/${encode(path)}`, 'doc://X/{id}'],
      ['resources', `doc://x/${encode(path)}`, `DOC://x/${rule}`]
    ] as const) {
      if (judge({ roles: { all: { [kind]: ['*', `!${pattern}`] } } }, kind, spelling) !== 'refused') return false
      if (judge({ scopes: { write: { [kind]: [pattern] } } }, kind, spelling) !== 'scopes') return false
    }
    const limits = { tools: { [rule]: { callsPerDay: 0 } } }
    return new Policy({ limits }).limitsOf(caller)?.ofTool(name)?.callsPerDay === 0
  }), { numRuns: 500 })
  t.end()
})

t.test('a later pattern gives one spelling again, or excepts it', t => {
  const tools = ['*', '!Drop', 'drop']
  const names = ['drop', 'Drop', 'DROP', 'drop ']
  t.strictSame(
    names.map(name => judge({ roles: { all: { tools } } }, 'tools', name)),
    ['allowed', 'refused', 'allowed', 'allowed'],
    'what a careless server takes for it, too'
  )
  t.strictSame(
    names.map(name => judge({ scopes: { write: { tools: ['*', '!drop'] } } }, 'tools', name)),
    ['allowed', 'scopes', 'scopes', 'scopes']
  )
  t.end()
})
