import { setImmediate } from 'node:timers/promises'
import { CLIENT_CAPABILITIES_META_KEY } from '@modelcontextprotocol/server'
import t, { type Test } from 'tap'
import * as z from 'zod'
import { loadConfig } from '../../src/config/config.js'
import type { PolicyRules } from '../../src/policy/rules.js'
import { DAY_MS } from '../../src/stores/call-limits.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import type { Stores } from '../../src/stores/stores.js'
import { modernRequest } from '../../src/testing/modern-request.js'
import { MCP_URL, ways, type Way } from '../attacks/greedy-clients.js'
import { parseObject, valueAt } from '../support/json.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'
import { LimitedService } from './limited-service.js'

/*
 * One line for each combination of era, mode, store and kind of limit. Each call is made by a client of its own, with
 * a client id and a session of its own; in Redis, at two replicas in turn.
 */

const REFUSAL = z.object({
  error: z.object({
    code: z.literal(-32000),
    data: z.object({ limit: z.string(), retryAfterMs: z.number().optional() })
  })
})

/** What a response says; a refusal with when to try again. */
async function outcome (response: Response): Promise<string> {
  if (response.status < 300) return 'in'
  const refusals: unknown = JSON.parse(await response.text())
  const parsed = REFUSAL.safeParse(Array.isArray(refusals) ? refusals[0] : refusals)
  if (!parsed.success) return `${response.status} ${JSON.stringify(refusals)}`
  const { limit, retryAfterMs } = parsed.data.error.data
  const seconds = retryAfterMs === undefined ? null : String(Math.ceil(retryAfterMs / 1000))
  if (response.headers.get('retry-after') !== seconds) return `Retry-After ${response.headers.get('retry-after')}`
  if (limit === 'calls_per_day' && Math.abs(DAY_MS - Date.now() % DAY_MS - (retryAfterMs ?? 0)) > 5000) {
    return `${retryAfterMs} ms to midnight`
  }
  return `${response.status} ${limit}${retryAfterMs === undefined ? ' for ever' : ''}`
}

function counted (outcomes: readonly string[]): string {
  const kinds = [...new Set(outcomes)].sort((a, b) => Number(b === 'in') - Number(a === 'in'))
  return kinds.map(kind => `${outcomes.filter(other => other === kind).length} ${kind}`).join(', ')
}

type Check = (service: LimitedService) => Promise<string>

/** As many calls at once, of each tool, by the same person. */
const callsAtOnce = (tools: readonly string[]): Check => async service => {
  const clients = await Promise.all(tools.map(async () => await service.client('alice')))
  const outcomes = await Promise.all(
    clients.map(async (client, index) => await outcome(await client.call(tools[index] ?? '')))
  )
  const bob = await outcome(await (await service.client('bob')).call('quick'))
  await setImmediate()
  const told = counted(service.refused.map(limit => `told of ${limit}`))
  return `${counted(outcomes)}; bob ${bob}; ${service.plug.runs} ran; ${told}`
}

/** Until the last call of somebody is over, everywhere. */
async function isLetIn (service: LimitedService, person: string): Promise<string> {
  for (;;) {
    const said = await outcome(await (await service.client(person)).call('quick'))
    if (said !== '429 concurrent_calls') return said
    await setImmediate()
  }
}

interface Kind {
  where?: (way: Way) => boolean
  policy: PolicyRules
  check: Check
  expected: string
}

const kinds: Record<string, Kind> = {
  'calls per minute': {
    policy: { limits: { callsPerMinute: 3 } },
    check: callsAtOnce(['quick', 'quick', 'other', 'other', 'quick']),
    expected: '3 in, 2 429 calls_per_minute; bob in; 4 ran; 2 told of calls_per_minute'
  },
  'calls per day': {
    policy: { limits: { callsPerDay: 2 } },
    check: callsAtOnce(['quick', 'quick', 'other']),
    expected: '2 in, 1 429 calls_per_day; bob in; 3 ran; 1 told of calls_per_day'
  },
  'no calls': {
    policy: { roles: { all: { tools: ['*'], limits: { tools: { other: { callsPerMinute: 0 } } } } } },
    check: callsAtOnce(['quick', 'quick', 'other']),
    expected: '2 in, 1 429 calls_per_minute for ever; bob in; 3 ran; 1 told of calls_per_minute'
  },
  'calls of a tool': {
    policy: { limits: { tools: { 'qu*': { callsPerMinute: 1 } } } },
    check: callsAtOnce(['quick', 'quick', 'other', 'other']),
    expected: '3 in, 1 429 calls_per_minute; bob in; 4 ran; 1 told of calls_per_minute'
  },
  'calls by a client': {
    policy: { clientLimits: { callsPerMinute: 2 }, limits: { callsPerMinute: 1 } },
    check: async service => {
      const outcomes: string[] = []
      for (const [person, client] of [['alice', 'a'], ['bob', 'a'], ['carol', 'a'], ['carol', 'b'], ['carol', 'c']]) {
        outcomes.push(await outcome(await (await service.client(person ?? '', client)).call('quick')))
      }
      return outcomes.join(', ')
    },
    // carol's first call took nothing
    expected: 'in, in, 429 calls_per_minute, in, 429 calls_per_minute'
  },
  batches: {
    where: way => way.can.has('batch'),
    policy: { limits: { callsPerMinute: 3 } },
    check: async service => {
      const outcomes: string[] = []
      for (const count of [2, 4, 2, 1, 1]) {
        const tools = Array.from({ length: count }, () => 'quick')
        outcomes.push(await outcome(await (await service.client('alice')).call(...tools)))
      }
      return `${outcomes.join(', ')}; ${service.plug.runs} ran`
    },
    expected: 'in, 429 calls_per_minute for ever, 429 calls_per_minute, in, 429 calls_per_minute; 3 ran'
  },
  // the last: calls of `wait` return at once from then on
  'concurrent calls': {
    policy: { limits: { tools: { wait: { concurrentCalls: 5 } }, concurrentCalls: 1 } },
    check: async service => {
      const waiting = service.client('alice').then(async client => await client.call('wait'))
      await service.plug.areRunning(1)
      const said = await outcome(await (await service.client('alice')).call('quick'))
      const bob = await outcome(await (await service.client('bob')).call('quick'))
      service.plug.release()
      await (await waiting).text()
      return `${said}; bob ${bob}; then ${await isLetIn(service, 'alice')}`
    },
    expected: '429 concurrent_calls; bob in; then in'
  }
}

async function matrix (t: Test, store: string, replicas: readonly Stores[]): Promise<void> {
  for (const way of ways) {
    const service = await LimitedService.start(way, replicas)
    try {
      for (const [name, { where = () => true, policy, check, expected }] of Object.entries(kinds)) {
        if (!where(way)) continue
        const line = `${way.name} | ${way.sessionMode} | ${store} | ${name}`
        service.begin(policy, line.replaceAll(/[^\w]/g, '-'))
        t.equal(await check(service), expected, line)
      }
    } finally {
      await service.close()
    }
  }
}

t.test('limits of calls, in memory', async t => {
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  t.teardown(() => stores.close())
  await matrix(t, 'memory', [stores])
})

redisTest('limits of calls, at two replicas', async (t, server) => {
  await matrix(t, 'Redis', await redisReplicas(t, server))
})

t.test('limits of the environment', async t => {
  const load = (environment: NodeJS.ProcessEnv) => loadConfig(environment, { dotenv: false }).policy?.limits
  t.equal(load({}), undefined)
  t.strictSame(load({ RATE_LIMIT_CALLS_PER_MINUTE: '60' }), { callsPerMinute: 60 })
  t.strictSame(
    load({ RATE_LIMIT_CALLS_PER_DAY: '0', CONCURRENT_CALLS_PER_PERSON: '2', RATE_LIMIT_CALLS_PER_MINUTE: '' }),
    { callsPerDay: 0, concurrentCalls: 2 }
  )
  for (const wrong of ['-1', '1.5', 'many', '1e999']) {
    t.throws(() => load({ RATE_LIMIT_CALLS_PER_DAY: wrong }), /^RATE_LIMIT_CALLS_PER_DAY is .* a whole number from 0/, wrong)
  }
})

const capabilities = { [CLIENT_CAPABILITIES_META_KEY]: { elicitation: { form: {} } } }

t.test('what continues a call counts once; what does not runs nothing', async t => {
  for (const way of ways.filter(({ can }) => can.has('suspend'))) {
    const stores = createMemoryStores({ sessionIdleSeconds: 60 })
    const service = await LimitedService.start(way, [stores], { limits: { callsPerMinute: 2, concurrentCalls: 1 } })
    t.teardown(async () => {
      await service.close()
      await stores.close()
    })
    const call = async (params: Record<string, unknown>) => {
      const asked = { name: 'ask', arguments: {}, ...params }
      const { headers, ...request } = modernRequest(1, 'tools/call', asked, capabilities)
      return await service.fetchAt(0)(`${MCP_URL}/mcp`, {
        ...request,
        headers: { ...headers, authorization: 'Bearer alice.client' }
      })
    }
    const ask = async () => valueAt(parseObject(await (await call({})).text()), 'result')
    const [first, second] = [await ask(), await ask()]
    t.equal(await outcome(await call({})), '429 calls_per_minute', way.name)
    const inputResponses = (asked: unknown) =>
      Object.fromEntries(
        Object.keys(z.looseObject({}).parse(valueAt(asked, 'inputRequests'))).map(key => [
          key,
          { action: 'accept', content: { colour: 'red' } }
        ])
      )
    for (const asked of [first, second]) {
      const requestState = valueAt(asked, 'requestState')
      const answered = parseObject(await (await call({ requestState, inputResponses: inputResponses(asked) })).text())
      t.match(JSON.stringify(answered), /red/, way.name)
    }
    const forging = { requestState: 'forged', inputResponses: inputResponses(first) }
    const forged = parseObject(await (await call(forging)).text())
    t.equal(valueAt(forged, 'error', 'code'), -32602, way.name)
  }
})

t.test('a request with input that is repeated after its connection was cut counts once', async t => {
  const [way] = ways.filter(({ name }) => name === '2026-07-28 native')
  if (way === undefined) throw new Error('There is no such way.')
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  const service = await LimitedService.start(way, [stores], { limits: { callsPerMinute: 1, concurrentCalls: 1 } })
  t.teardown(async () => {
    await service.close()
    await stores.close()
  })
  const brought = { requestState: 'state', inputResponses: { colour: { action: 'accept', content: {} } } }
  const call = async (input: Record<string, unknown>, signal?: AbortSignal) => {
    const wait = { name: 'wait', arguments: {}, ...input }
    const { headers, ...request } = modernRequest(1, 'tools/call', wait, capabilities)
    return await service.fetchAt(0)(`${MCP_URL}/mcp`, {
      ...request,
      headers: { ...headers, authorization: 'Bearer alice.client' },
      ...signal && { signal }
    })
  }
  const cut = new AbortController()
  const first = call(brought, cut.signal)
  first.catch(() => {})
  await service.plug.areRunning(1)
  cut.abort()
  const repeated = call(brought)
  t.equal(await outcome(await call({ ...brought, requestState: 'other' })), '429 calls_per_minute')
  service.plug.release()
  t.match(await (await repeated).text(), /waited/)
  t.equal(service.plug.runs, 1)
})

t.test('resources and prompts are calls; lists and pings are not', async t => {
  const [way] = ways.filter(({ name }) => name === '2026-07-28 native')
  if (way === undefined) throw new Error('There is no such way.')
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  const service = await LimitedService.start(way, [stores], { limits: { callsPerMinute: 2 } })
  t.teardown(async () => {
    await service.close()
    await stores.close()
  })
  const send = async (method: string, params: Record<string, unknown> = {}) => {
    const { headers, ...request } = modernRequest(1, method, params, capabilities)
    const response = await service.fetchAt(0)(`${MCP_URL}/mcp`, {
      ...request,
      headers: { ...headers, authorization: 'Bearer alice.client' }
    })
    return response.status
  }
  for (let times = 0; times < 4; times++) t.equal(await send('tools/list'), 200)
  await send('resources/read', { uri: 'note://a' })
  await send('prompts/get', { name: 'a' })
  t.strictSame(
    [
      await send('resources/read', { uri: 'note://a' }),
      await send('prompts/get', { name: 'a' }),
      await send('tools/call', { name: 'quick', arguments: {} }),
      await send('tools/list')
    ],
    [429, 429, 429, 200]
  )
})
