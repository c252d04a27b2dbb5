import t, { type Test } from 'tap'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import type { SessionStores } from '../../src/stores/stores.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'
import { host, WAYS, type Asked, type EraCaller, type Way } from './eras.js'
import { SCOPED, type MakeScoped } from './scoped-servers.js'

/*
 * Whoever has a token without the scope, and picks the era, the transport and the request that suits them.
 */
const SCOPE_LESS = 'mallory_mcp'
const SCOPED_TOKEN = 'mallory_mcp.admin'

/** What needs the scope. */
const GUARDED: Readonly<Record<string, Asked>> = {
  tool: { method: 'tools/call', params: { name: 'guarded', arguments: {} } },
  resource: { method: 'resources/read', params: { uri: 'guarded://one' } },
  template: { method: 'resources/read', params: { uri: 'secret://two' } },
  prompt: { method: 'prompts/get', params: { name: 'guarded' } }
}
/** The same, by another name. */
const DETOURS: Readonly<Record<string, Asked>> = {
  'URI in upper case': { method: 'resources/read', params: { uri: 'GUARDED://one' } },
  'template in upper case': { method: 'resources/read', params: { uri: 'SECRET://two' } },
  'completion of a prompt': {
    method: 'completion/complete',
    params: { ref: { type: 'ref/prompt', name: 'guarded' }, argument: { name: 'name', value: '' } }
  },
  'completion of a template': {
    method: 'completion/complete',
    params: { ref: { type: 'ref/resource', uri: 'secret://{id}' }, argument: { name: 'id', value: '' } }
  }
}
const SESSION_DETOURS: typeof DETOURS = {
  'URI with a space': { method: 'resources/read', params: { uri: ' guarded://one' } },
  subscription: { method: 'resources/subscribe', params: { uri: 'guarded://one' } },
  'subscription by template': { method: 'resources/subscribe', params: { uri: 'secret://two' } }
}
const LISTEN_DETOURS: typeof DETOURS = {
  listen: {
    method: 'subscriptions/listen',
    params: { notifications: { resourceSubscriptions: ['open://one', 'secret://two'] } }
  }
}
const OPEN: Asked = { method: 'tools/call', params: { name: 'open', arguments: {} } }

async function refused (
  t: Test,
  caller: EraCaller,
  asked: readonly Asked[],
  batch: boolean,
  ran: readonly string[],
  what: string
): Promise<void> {
  const before = ran.length
  const { status, challenge, responses } = await caller.ask(SCOPE_LESS, asked, batch)
  t.strictSame([status, responses.length, ran.slice(before)], [403, 0, []], `${what} is refused before anything runs`)
  t.match(
    challenge,
    /^Bearer error="insufficient_scope", .*scope="mcp admin"/,
    'the challenge names what the token has and lacks'
  )
}

async function attack (t: Test, name: string, way: Way, makeServer: MakeScoped, stores: SessionStores): Promise<void> {
  const ran: string[] = []
  const { sessionMode, reuseInstances = false } = way
  const service = await host(t, {
    createServer: () => makeServer(what => ran.push(what)),
    stores,
    sessionMode,
    reuseInstances
  })
  const caller = await way.connect(t, service, SCOPE_LESS)
  const detours = { ...DETOURS, ...name.startsWith('2026') ? LISTEN_DETOURS : SESSION_DETOURS }
  if (reuseInstances) {
    t.equal(
      (await caller.ask(SCOPED_TOKEN, [GUARDED.tool ?? OPEN])).responses[0]?.error,
      undefined,
      'an instance has served who may'
    )
  }
  for (const [what, asked] of Object.entries({ ...GUARDED, ...detours })) {
    await refused(t, caller, [asked], false, ran, `${what}, alone,`)
    if (way.takesBatches) await refused(t, caller, [OPEN, asked], true, ran, `${what}, in a batch,`)
  }
  ran.length = 0
  for (const [what, asked] of Object.entries(GUARDED)) {
    t.type(
      (await caller.ask(SCOPED_TOKEN, [asked])).responses[0]?.result,
      'object',
      `who has the scope gets the ${what}`
    )
  }
  t.equal(ran.length, Object.keys(GUARDED).length)
  t.type((await caller.ask(SCOPE_LESS, [OPEN])).responses[0]?.result, 'object', 'what needs no scope is open')
}

function matrix (
  store: string,
  test: (name: string, check: (t: Test, stores: SessionStores) => Promise<void>) => void
): void {
  for (const [name, way] of Object.entries(WAYS)) {
    for (const [sdk, makeServer] of Object.entries(SCOPED)) {
      test(
        `scope bypass: ${name} × ${sdk} × tool, resource, template, prompt × alone${
          way.takesBatches ? ', batch' : ''
        } × ${store}`,
        (t, stores) => attack(t, name, way, makeServer, stores)
      )
    }
  }
}

matrix('memory', (name, check) => {
  t.test(name, async t => {
    const stores = createMemoryStores({ sessionIdleSeconds: 60 })
    t.teardown(() => stores.close())
    await check(t, stores)
  })
})

redisTest('Redis', async (t, server) => {
  const [stores] = await redisReplicas(t, server, {}, 1)
  if (stores === undefined) throw new Error('no stores')
  const checks: Array<() => Promise<unknown>> = []
  matrix('Redis', (name, check) => { checks.push(async () => { await t.test(name, t => check(t, stores)) }) })
  for (const check of checks) await check()
})
