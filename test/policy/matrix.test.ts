import t, { type Test } from 'tap'
import { getMember } from '../../src/members.js'
import type { PolicyRules } from '../../src/policy/rules.js'
import {
  NO_TOKEN,
  WAYS,
  type Asked,
  type EraCaller,
  type HostedService,
  type Told,
  type Way
} from '../attacks/eras.js'
import { post } from '../support/raw-http.js'
import { hostPlug, NAMES, PLUGS, type MakePlug } from './policy-server.js'

/*
 * One rule guards the list and the call: in every era, mode and line of the SDK, for each role and for nobody, what is
 * listed is what can be used, at once or after a login or with a further scope, and what cannot be used responds as if
 * it did not exist.
 */
const people = (subject: string) => ({ subjects: [subject] })

const rules: PolicyRules = {
  roles: {
    guest: {
      people: people('guest'),
      tools: ['open'],
      resources: ['doc://open', 'open://{id}'],
      prompts: ['open']
    },
    // allowed are names that do not exist, too: what is taken back must look like them
    staff: {
      people: people('staff'),
      tools: ['*', '!secret'],
      resources: ['*', '!doc://secret', '!secret://*'],
      prompts: ['*', '!secret']
    },
    admin: { people: people('admin'), tools: ['*'], resources: ['*'], prompts: ['*'] }
  },
  scopes: { write: { tools: ['staff'], resources: ['doc://staff', 'staff://{id}'], prompts: ['staff'] } },
  public: { tools: ['open'], resources: ['doc://open', 'open://{id}'], prompts: ['open'] }
}

type Name = typeof NAMES[number]

/** What somebody sees listed, and what of it can be used; to use the rest takes a login, or a further scope. */
interface Role {
  token: string
  listed: readonly Name[]
  usable: readonly Name[]
  /** The status of a call that takes more, and the scopes that its challenge names. */
  challenge?: readonly [status: number, scopes: Partial<Record<Name, string>>]
}

const ROLES: Readonly<Record<string, Role>> = {
  nobody: {
    token: NO_TOKEN,
    listed: NAMES,
    usable: ['open'],
    challenge: [401, { staff: 'mcp write', secret: 'mcp' }]
  },
  guest: { token: 'guest_mcp', listed: ['open'], usable: ['open'] },
  'staff without a scope': {
    token: 'staff_mcp',
    listed: ['open', 'staff'],
    usable: ['open'],
    challenge: [403, { staff: 'mcp write' }]
  },
  staff: { token: 'staff_mcp.write', listed: ['open', 'staff'], usable: ['open', 'staff'] },
  admin: { token: 'admin_mcp.write', listed: NAMES, usable: NAMES }
}

interface Kind {
  /** What lists them. */
  list: { method: string, member: string, nameOf: string }
  call: (name: string) => Asked
  /** A name in what lists them. */
  toListed: (name: string) => string
}

const prompt = (name: string): Asked => ({
  method: 'completion/complete',
  params: { ref: { type: 'ref/prompt', name }, argument: { name: 'argument', value: '' } }
})
const template = (name: string): Asked => ({
  method: 'completion/complete',
  params: { ref: { type: 'ref/resource', uri: `${name}://{id}` }, argument: { name: 'id', value: '' } }
})
const same = (name: string) => name
const uri = (name: string) => `doc://${name}`
const templateUri = (name: string) => `${name}://{id}`

const PROMPTS = { method: 'prompts/list', member: 'prompts', nameOf: 'name' }
const RESOURCES = { method: 'resources/list', member: 'resources', nameOf: 'uri' }
const TEMPLATES = { method: 'resources/templates/list', member: 'resourceTemplates', nameOf: 'uriTemplate' }

const KINDS: Readonly<Record<string, Kind>> = {
  tool: {
    list: { method: 'tools/list', member: 'tools', nameOf: 'name' },
    call: name => ({ method: 'tools/call', params: { name, arguments: {} } }),
    toListed: same
  },
  resource: {
    list: RESOURCES,
    call: name => ({ method: 'resources/read', params: { uri: uri(name) } }),
    toListed: uri
  },
  template: {
    list: TEMPLATES,
    call: name => ({ method: 'resources/read', params: { uri: `${name}://one` } }),
    toListed: templateUri
  },
  prompt: {
    list: PROMPTS,
    call: name => ({ method: 'prompts/get', params: { name, arguments: {} } }),
    toListed: same
  },
  'completion of a prompt': { list: PROMPTS, call: prompt, toListed: same },
  'completion of a template': { list: TEMPLATES, call: template, toListed: templateUri },
  subscription: {
    list: RESOURCES,
    call: name => ({ method: 'resources/subscribe', params: { uri: uri(name) } }),
    toListed: uri
  },
  'subscription of a template': {
    list: TEMPLATES,
    call: name => ({ method: 'resources/subscribe', params: { uri: `${name}://one` } }),
    toListed: templateUri
  }
}

/** In 2026-07-28, who subscribes listens. */
const LISTENED: typeof KINDS = {
  subscription: {
    list: RESOURCES,
    call: name => ({
      method: 'subscriptions/listen',
      params: { notifications: { resourceSubscriptions: [uri(name)] } }
    }),
    toListed: uri
  },
  'subscription of a template': {
    list: TEMPLATES,
    call: name => ({
      method: 'subscriptions/listen',
      params: { notifications: { resourceSubscriptions: [`${name}://one`] } }
    }),
    toListed: templateUri
  }
}

/** A name that no server has. */
const NOTHING = 'nothing'
const OPEN_TOOL: Asked = { method: 'tools/call', params: { name: 'open', arguments: {} } }

function listed ({ responses: [response] }: Told, { member, nameOf }: Kind['list']): string[] {
  const entries: unknown = response?.result?.[member]
  return Array.isArray(entries) ? entries.map(entry => String(getMember(entry, nameOf))) : []
}

/** What a client can tell of a response, but for the name that it asked for. */
function tell ({ status, headers, responses: [response] }: Told, name: string): unknown {
  const { id, ...message } = response ?? {}
  return [status, headers.get('content-type'), JSON.stringify(message).replaceAll(name, '?')]
}

function isUsable ({ responses: [response] }: Told): boolean {
  return response?.result !== undefined && response.result.isError !== true
}

/** What becomes of a call: it is usable, or takes more. */
interface Outcome {
  isUsable: boolean
  status: number
  /** The scopes that a challenge names. */
  scope: string | undefined
}

const scopeOf = (challenge: string | null): string | undefined => /scope="([^"]*)"/.exec(challenge ?? '')?.[1]

/** A client of 2026-07-28 that may listen gets a stream. */
async function listen ({ url }: HostedService, token: string, { method, params }: Asked): Promise<Outcome> {
  const leave = new AbortController()
  const { status, headers } = await post(url, method, params, { token, signal: leave.signal })
  leave.abort()
  const isUsable = headers.get('content-type') === 'text/event-stream'
  return { isUsable, status, scope: scopeOf(headers.get('www-authenticate')) }
}

async function use (asked: Asked, { service, caller, role: { token } }: Round): Promise<Outcome> {
  if (asked.method === 'subscriptions/listen') return await listen(service, token, asked)
  const told = await caller.ask(token, [asked])
  return { isUsable: isUsable(told), status: told.status, scope: scopeOf(told.challenge) }
}

interface Round {
  service: HostedService
  caller: EraCaller
  role: Role
  ran: readonly string[]
}

/** One line each: what a role sees listed, what it can use, what the rest takes, and what has run. */
async function agree (t: Test, what: string, kind: Kind, round: Round): Promise<void> {
  const { caller, role, ran } = round
  const names = listed(await caller.ask(role.token, [{ method: kind.list.method }]), kind.list)
  const before = ran.length
  const usable: string[] = []
  const challenged: Record<string, unknown> = {}
  for (const name of NAMES) {
    const { isUsable, status, scope } = await use(kind.call(name), round)
    if (isUsable) usable.push(name)
    else if (scope !== undefined) challenged[name] = [status, scope]
  }
  const [status, scopes] = role.challenge ?? [0, {}]
  const unusable = NAMES.filter(name => !role.usable.includes(name))
  t.strictSame(
    [names, usable, challenged, ran.slice(before).filter(what => unusable.some(name => what.includes(name)))],
    [
      role.listed.map(kind.toListed),
      role.usable,
      Object.fromEntries(Object.entries(scopes).map(([name, scope]) => [name, [status, scope]])),
      []
    ],
    `${what}: list and call agree`
  )
}

/** One line each: what is hidden cannot be told from what does not exist. */
async function hides (t: Test, what: string, kind: Kind, { caller, role }: Round): Promise<void> {
  const { token } = role
  const [unknown, hidden] = [
    await caller.ask(token, [kind.call(NOTHING)]),
    await caller.ask(token, [kind.call('secret')])
  ]
  t.strictSame(tell(hidden, 'secret'), tell(unknown, NOTHING), `${what}: hidden is as unknown`)
}

async function batch (t: Test, what: string, kind: Kind, { caller, role, ran }: Round): Promise<void> {
  const { token } = role
  const alone = await caller.ask(token, [kind.call('secret')])
  const before = ran.length
  const { status, responses: [one, hidden, other] } = await caller.ask(token, [
    OPEN_TOOL,
    kind.call('secret'),
    { method: 'tools/list' }
  ], true)
  t.strictSame(
    [status, one?.result !== undefined, hidden?.error, other?.result !== undefined, ran.slice(before)],
    [alone.status, true, alone.responses[0]?.error, true, ['tool open']],
    `${what}: of a batch, the others run`
  )
}

/** One line each: of a batch with a call that takes more, none runs. */
async function challengedBatch (t: Test, what: string, kind: Kind, { caller, role, ran }: Round): Promise<void> {
  const before = ran.length
  const { status, challenge } = await caller.ask(role.token, [OPEN_TOOL, kind.call('staff')], true)
  t.strictSame(
    [status, scopeOf(challenge), ran.slice(before)],
    [role.challenge?.[0], role.challenge?.[1].staff, []],
    `${what}: of a batch, none runs`
  )
}

async function matrix (t: Test, name: string, way: Way, makePlug: MakePlug): Promise<void> {
  const { service, ran } = await hostPlug(t, way, makePlug, rules)
  const kinds = Object.entries({ ...KINDS, ...name.startsWith('2026') ? LISTENED : {} })
  // last the one with the least: instances have served those with more
  for (const [who, role] of Object.entries(ROLES).reverse()) {
    const round = { service, role, ran, caller: await way.connect(t, service, role.token) }
    for (const [what, kind] of kinds) {
      await agree(t, `${who}, ${what}`, kind, round)
      if (way.takesBatches && role.challenge !== undefined) await challengedBatch(t, `${who}, ${what}`, kind, round)
      // a template has any, and most servers let anybody subscribe to anything
      if (role.listed.includes('secret') || /template|subscription/.test(what)) continue
      await hides(t, `${who}, ${what}`, kind, round)
      if (way.takesBatches) await batch(t, `${who}, ${what}`, kind, round)
    }
  }
}

for (const [name, way] of Object.entries(WAYS)) {
  for (const [line, makePlug] of Object.entries(PLUGS)) {
    t.test(`${name}, ${line}`, async t => { await matrix(t, name, way, makePlug) })
  }
}
