import t, { type Test } from 'tap'
import { getMember, isObject } from '../../../src/members.js'
import type { ServerContext } from '../../../src/mcp/create-server.js'
import type { PolicyRules } from '../../../src/policy/rules.js'
import { createMemoryStores } from '../../../src/stores/memory/stores.js'
import type { Stores } from '../../../src/stores/stores.js'
import { callerOf, host, ISSUER, newEncryptionKeys, type HostedService } from '../../attacks/eras.js'
import { RawClient } from '../../support/mcp-harness.js'
import { next, parseData, post, readEvents, type SseEvent } from '../../support/raw-http.js'
import { redisReplicas, redisTest } from '../../support/redis-server.js'
import { PLUGS, type MakePlug } from '../policy-server.js'

/*
 * Somebody gets more rights, or fewer, in the middle of a session or beside a listener of 2026-07-28, at another
 * replica than the one where they listen: calls and lists follow the token at once, everywhere, and the client hears
 * of it once.
 */
const rules: PolicyRules = {
  roles: {
    all: { tools: ['open', 'staff'], resources: ['doc://open', 'doc://staff'] },
    admin: { people: { groups: ['admins'] }, tools: ['secret'], resources: ['doc://secret'] }
  },
  scopes: { write: { tools: ['staff'], resources: ['doc://staff'] } }
}
const LISTS = ['tools', 'prompts', 'resources'].map(list => `notifications/${list}/list_changed`)
/** Tokens of one person and client: scopes, and groups behind a second underscore. */
const LOW = 'ann_mcp'
const WRITE = 'ann_mcp.write'
const ADMIN = 'ann_mcp_admins'

type Events = AsyncGenerator<SseEvent, undefined>
type At = 'A' | 'B'
type Replicas = Readonly<Record<At, HostedService>>

const verifyAccessToken = (token: string) => {
  const { extra, ...caller } = callerOf(token)
  return { ...caller, extra: { ...extra, claims: { groups: token.split('_')[2]?.split('.') ?? [] } } }
}

interface Told {
  status: number
  challenge: string | null
  result: unknown
  code: unknown
}

interface Client {
  call (at: At, token: string, method: string, params?: Record<string, unknown>): Promise<Told>
  /** Listens to lists and to the resources. */
  listen (at: At, token: string, leave: AbortSignal): Promise<Events>
}

async function told (response: Response): Promise<Told> {
  const text = (await response.text()).trimEnd().split('\n').at(-1)?.replace(/^data: /, '') ?? ''
  const message: unknown = text === '' ? undefined : JSON.parse(text)
  return {
    status: response.status,
    challenge: response.headers.get('www-authenticate'),
    result: getMember(message, 'result'),
    code: getMember(getMember(message, 'error'), 'code')
  }
}

async function session (replicas: Replicas): Promise<Client> {
  const client = await new RawClient(replicas.A, LOW).connect()
  const call: Client['call'] = async (at, token, method, params) =>
    await told(await client.at(replicas[at], token).request(method, params))
  return {
    call,
    listen: async (at, token, signal) => {
      await call('A', LOW, 'resources/subscribe', { uri: 'doc://open' })
      const events = readEvents(await client.at(replicas[at], token).get({}, signal))
      await next(events)
      return events
    }
  }
}

async function listener (replicas: Replicas): Promise<Client> {
  const notifications = {
    toolsListChanged: true,
    promptsListChanged: true,
    resourcesListChanged: true,
    resourceSubscriptions: ['doc://open']
  }
  return {
    call: async (at, token, method, params) => await told(await post(replicas[at].url, method, params, { token })),
    listen: async (at, token, signal) => {
      const stream = await post(replicas[at].url, 'subscriptions/listen', { notifications }, { token, signal })
      const events = readEvents(stream)
      await next(events)
      return events
    }
  }
}

const CLIENTS: Readonly<Record<string, (replicas: Replicas) => Promise<Client>>> = {
  'a session': session,
  'a listener of 2026-07-28': listener
}

/** What comes on a stream before the update of a resource that everybody may read. */
async function heard (events: Events): Promise<unknown[]> {
  const all: unknown[] = []
  for (;;) {
    const message = parseData(await next(events))
    if (!isObject(message) || typeof message.method !== 'string') continue
    const uri = isObject(message.params) ? message.params.uri : undefined
    if (uri === 'doc://open') return all
    all.push(uri ?? message.method)
  }
}

async function start (t: Test, stores: Readonly<Record<At, Stores>>, makePlug: MakePlug, more = {}) {
  const ran: string[] = []
  const announce: Array<ServerContext['announce']> = []
  const encryptionKeys = newEncryptionKeys()
  const at = async (stores: Stores) => await host(t, {
    createServer: context => {
      announce.push(context.announce)
      return makePlug(what => { if (what.startsWith('tool')) ran.push(what) })
    },
    stores,
    encryptionKeys,
    policy: rules,
    auth: { mode: 'host', authorizationServers: [ISSUER], verifyAccessToken },
    ...more
  })
  const replicas: Replicas = { A: await at(stores.A), B: await at(stores.B) }
  const update = () => { announce[0]?.({ kind: 'resource_updated', uri: 'doc://open' }) }
  return { replicas, ran, update }
}

const STAFF = { name: 'staff', arguments: {} }
const toolsOf = ({ result }: Told): unknown[] => {
  const tools: unknown = getMember(result, 'tools')
  return Array.isArray(tools) ? tools.map(tool => getMember(tool, 'name')) : []
}

async function steps (
  t: Test,
  stores: Readonly<Record<At, Stores>>,
  [connect, makePlug, where]: readonly [typeof CLIENTS[string], MakePlug, At]
): Promise<void> {
  const { replicas, ran, update } = await start(t, stores, makePlug)
  const client = await connect(replicas)
  const leave = new AbortController()
  t.teardown(() => { leave.abort() })
  await client.call('A', LOW, 'tools/list')
  const events = await client.listen(where, LOW, leave.signal)
  update()
  await heard(events)
  // a second change within a second may come later
  const hears = async (what: string, expected: unknown[]) => {
    const first: unknown[] = []
    while (first.length < expected.length) first.push(getMember(parseData(await next(events)), 'method'))
    update()
    t.strictSame([...first, ...await heard(events)], expected, what)
  }

  const refused = await client.call('A', LOW, 'tools/call', STAFF)
  t.match(refused, { status: 403, challenge: /error="insufficient_scope".*scope="mcp write"/ }, 'A: more scopes')
  t.strictSame(ran, [], 'nothing has run')
  await hears('nothing has changed', [])

  t.match((await client.call('B', WRITE, 'tools/call', STAFF)).result, { content: Array }, 'B: it works')
  t.strictSame(ran.splice(0), ['tool staff'])
  await hears('a step-up at B', LISTS)
  t.match((await client.call('A', WRITE, 'tools/call', STAFF)).status, 200, 'A: it works, too')
  t.strictSame(ran.splice(0), ['tool staff'])
  await hears('the same at A', [])

  t.equal((await client.call('A', LOW, 'tools/call', STAFF)).status, 403, 'A: a step-down')
  t.equal((await client.call('B', LOW, 'tools/call', STAFF)).status, 403, 'B: too')
  t.strictSame(ran, [])
  await hears('a step-down at A', LISTS)

  if (where === 'B') return
  const hidden = await client.call('A', LOW, 'tools/call', { name: 'secret', arguments: {} })
  t.not(hidden.code, undefined, 'A: what no role gives does not exist')
  t.strictSame(toolsOf(await client.call('B', LOW, 'tools/list')), ['open', 'staff'])
  t.strictSame(toolsOf(await client.call('B', ADMIN, 'tools/list')), ['open', 'staff', 'secret'], 'B: a new role')
  await hears('a new role at B', LISTS)
  t.strictSame(toolsOf(await client.call('A', LOW, 'tools/list')), ['open', 'staff'], 'A: without it')
  await hears('without it at A', LISTS)
  t.strictSame(ran, [], 'nothing hidden has run')
}

type MakeStores = () => Promise<Readonly<Record<At, Stores>>>

async function matrix (t: Test, stores: MakeStores, plugs: typeof PLUGS): Promise<void> {
  for (const [name, connect] of Object.entries(CLIENTS)) {
    for (const [line, makePlug] of Object.entries(plugs)) {
      for (const where of ['A', 'B'] as const) {
        t.test(`${name}, ${line}, its stream at ${where}`, async t => {
          await steps(t, await stores(), [connect, makePlug, where])
        })
      }
    }
  }
}

t.test('in memory', async t => {
  await matrix(t, async () => {
    const stores = createMemoryStores({ sessionIdleSeconds: 60 })
    t.teardown(() => stores.close())
    return { A: stores, B: stores }
  }, PLUGS)
})

t.test('a challenge that is a result', async t => {
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  t.teardown(() => stores.close())
  for (const [name, connect] of Object.entries(CLIENTS)) {
    for (const [line, makePlug] of Object.entries(PLUGS)) {
      const { replicas, ran } = await start(t, { A: stores, B: stores }, makePlug, { authChallenge: 'tool-result' })
      const client = await connect(replicas)
      for (const at of ['A', 'B'] as const) {
        const { status, challenge, result } = await client.call(at, LOW, 'tools/call', STAFF)
        t.match([status, challenge, result, ran], [200, null, {
          isError: true,
          _meta: { 'mcp/www_authenticate': [/error="insufficient_scope".*scope="mcp write"/] }
        }, []], `${name}, ${line}, ${at}: more scopes`)
      }
      t.match((await client.call('B', WRITE, 'tools/call', STAFF)).result, { content: Array, isError: undefined })
      t.strictSame(ran, ['tool staff'], 'with them, it works')
    }
  }
})

redisTest('in Redis', async (t, server) => {
  await matrix(t, async () => {
    const [A, B] = await redisReplicas(t, server)
    if (A === undefined || B === undefined) throw new Error('There is no store.')
    return { A, B }
  }, Object.fromEntries(Object.entries(PLUGS).slice(0, 1)))
})
