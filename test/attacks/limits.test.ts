import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import * as z from 'zod'
import { mcpService } from '../../src/service/mcp-service.js'
import type { SessionLimits } from '../../src/mcp/limits.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import type { Stores } from '../../src/stores/stores.js'
import { injectFetch } from '../../src/testing/index.js'
import { emitted } from '../support/emitted.js'
import { parseObject, valueAt } from '../support/json.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'
import { ways, type GreedyClient, type Way } from './greedy-clients.js'
import { greedyOptions } from './greedy-options.js'
import { GreedyPlug } from './greedy-plug.js'

/*
 * One line for each combination of era, mode, store and kind of limit: a person with as many client ids and sessions as
 * they like gets what one person may have, the refusal says which limit it was and when to try again, nothing of what
 * was refused has run, and somebody else is served meanwhile.
 */

interface Hosted {
  plug: GreedyPlug
  /** A client of somebody: a new client id, and where there are sessions a new session, each time. */
  client (person: string): Promise<GreedyClient>
  close (): Promise<void>
}

async function host (way: Way, stores: Stores, limits: Partial<SessionLimits>): Promise<Hosted> {
  const app: FastifyInstance = Fastify()
  const plug = new GreedyPlug()
  await app.register(mcpService, {
    ...greedyOptions(way, plug),
    stores,
    limits
  })
  let clients = 0
  return {
    plug,
    client: async person => await way.connect(injectFetch(app), `${person}.client-${++clients}`),
    close: async () => {
      plug.release()
      await app.close()
    }
  }
}

const REFUSAL = z.object({
  id: z.unknown(),
  error: z.object({
    code: z.number(),
    message: z.string(),
    data: z.looseObject({ limit: z.string().optional(), retryAfterMs: z.number().optional() }).optional()
  })
})

/** What a response says: that it was let in, or which limit has refused it. */
async function outcome (response: Response): Promise<string> {
  if (response.status < 300) return 'let in'
  const refusals: unknown = JSON.parse(await response.text())
  const { error: { code, message, data = {} }, id } = REFUSAL.parse(Array.isArray(refusals) ? refusals[0] : refusals)
  const retryAfter = response.headers.get('retry-after')
  const agrees = data.retryAfterMs === undefined
    ? retryAfter === null
    : Number(retryAfter) === Math.ceil(data.retryAfterMs / 1000)
  if (code !== -32000 || !agrees) {
    return `${response.status} ${code} ${message} ${JSON.stringify(data)}, Retry-After: ${retryAfter}`
  }
  return `${response.status} ${data.limit}${id === null ? ' (no id)' : ''}`
}

type Check = (way: Way, stores: Stores) => Promise<string>

/** Has what it hosts closed, whatever comes of it. */
async function hosting (
  way: Way,
  stores: Stores,
  limits: Partial<SessionLimits>,
  check: (hosted: Hosted) => Promise<string>
): Promise<string> {
  const hosted = await host(way, stores, limits)
  try {
    return await check(hosted)
  } finally {
    await hosted.close()
  }
}

/** `count` calls of `wait` by new clients of alice, which run; some in batches of two. */
async function hold (hosted: Hosted, way: Way, count: number): Promise<void> {
  for (let held = 0; held < count;) {
    const batch = way.can.has('batch') && held + 2 <= count ? ['wait', 'wait'] : ['wait']
    const client = await hosted.client('alice')
    void client.call(...batch).catch(() => {})
    held += batch.length
    await hosted.plug.areRunning(held)
  }
}

const tooMany = (way: Way, tool: string) => way.can.has('batch') ? [tool, tool] : [tool]

/** Alice asks for more while three requests of hers run, and bob for one. */
const whileThreeRun = (limits: Partial<SessionLimits>): Check => (way, stores) =>
  hosting(way, stores, limits, async hosted => {
    await hold(hosted, way, 3)
    const refused = await outcome(await (await hosted.client('alice')).call(...tooMany(way, 'quick')))
    const bob = await outcome(await (await hosted.client('bob')).call('quick'))
    return `${refused}; bob ${bob}; ${hosted.plug.runs} ran`
  })

const checks: Record<string, { where?: (way: Way) => boolean, check: Check }> = {
  'requests in flight': {
    check: whileThreeRun({ maxRequestsInFlightPerPerson: 3 })
  },
  'requests in flight, in all': {
    check: whileThreeRun({ maxRequestsInFlight: 6 })
  },
  'calls of a tool': {
    check: (way, stores) =>
      hosting(way, stores, { toolCallsPerMinute: 3 }, async hosted => {
        for (let calls = 0; calls < 2; calls++) await (await hosted.client('alice')).call('quick')
        const client = await hosted.client('alice')
        const refused = way.can.has('batch')
          ? await outcome(await client.call('quick', 'quick'))
          : await client.call('quick').then(() => client.call('quick')).then(outcome)
        const other = await outcome(await client.call('other'))
        const bob = await outcome(await (await hosted.client('bob')).call('quick'))
        return `${refused}; another tool ${other}; bob ${bob}`
      })
  },
  'server instances': {
    check: (way, stores) => hosting(way, stores, { maxInstancesPerPerson: 2 }, async hosted => {
      for (let held = 1; held <= 2; held++) {
        void (await hosted.client('alice')).call('wait').catch(() => {})
        await hosted.plug.areRunning(held)
      }
      const refused = await outcome(await (await hosted.client('alice')).call('quick'))
      const bob = await outcome(await (await hosted.client('bob')).call('quick'))
      return `${refused}; bob ${bob}`
    })
  },
  'server instances, in all': {
    check: (way, stores) => hosting(way, stores, { maxLiveInstances: 4 }, async hosted => {
      for (let held = 1; held <= 2; held++) {
        void (await hosted.client('alice')).call('wait').catch(() => {})
        await hosted.plug.areRunning(held)
      }
      const refused = await outcome(await (await hosted.client('alice')).call('quick'))
      const bob = await outcome(await (await hosted.client('bob')).call('quick'))
      return `${refused}; bob ${bob}`
    })
  },
  streams: {
    where: way => way.can.has('listen'),
    check: (way, stores) => hosting(way, stores, { maxStreamsPerPerson: 3 }, async hosted => {
      const opened: string[] = []
      for (let open = 0; open < 4; open++) opened.push(await outcome(await openStream(way, hosted, 'alice')))
      const bob = await outcome(await openStream(way, hosted, 'bob'))
      return `${opened.at(-1)}; bob ${bob}`
    })
  },
  'streams, in all': {
    where: way => way.can.has('listen'),
    check: (way, stores) => hosting(way, stores, { maxStreams: 4 }, async hosted => {
      const opened: string[] = []
      for (let open = 0; open < 5; open++) opened.push(await outcome(await openStream(way, hosted, 'alice')))
      const bob = await outcome(await openStream(way, hosted, 'bob'))
      return `${opened.at(-1)}; bob ${bob}`
    })
  },
  subscriptions: {
    where: way => way.can.has('subscribe'),
    check: (way, stores) =>
      hosting(
        way,
        stores,
        { maxSubscriptionsPerPerson: 3 },
        async hosted => await oneSubscriptionTooMany(hosted, uri => uri)
      )
  },
  'bytes of subscriptions': {
    where: way => way.can.has('subscribe'),
    check: (way, stores) =>
      hosting(
        way,
        stores,
        { maxSubscriptionBytesPerPerson: 3500 },
        async hosted => await oneSubscriptionTooMany(hosted, uri => uri.padEnd(1000, 'x'))
      )
  },
  'bytes of subscriptions, in all': {
    where: way => way.can.has('subscribe'),
    check: (way, stores) =>
      hosting(
        way,
        stores,
        { maxSubscriptionBytes: 7000 },
        async hosted => await oneSubscriptionTooMany(hosted, uri => uri.padEnd(1000, 'x'))
      )
  },
  'bytes of a URI': {
    where: way => way.can.has('subscribe'),
    check: (way, stores) =>
      hosting(
        way,
        stores,
        {},
        async hosted => await outcome(await (await hosted.client('alice')).subscribe(['file:///'.padEnd(8193, 'x')]))
      )
  },
  'suspended calls': {
    where: way => way.can.has('suspend'),
    check: (way, stores) => hosting(way, stores, { maxSuspendedCallsPerPerson: 2 }, async hosted => {
      const givenUp = emitted(hosted.plug, 'given-up')
      for (const person of ['bob', 'alice', 'alice', 'alice']) {
        const { result } = parseObject(await (await (await hosted.client(person)).call('ask')).text())
        if (valueAt(result, 'resultType') !== 'input_required') return String(JSON.stringify(result))
      }
      const [person] = await givenUp
      return `one of ${person} is given up`
    })
  },
  'open responses': {
    check: (way, stores) => hosting(way, stores, { maxOpenResponsesPerPerson: 3 }, async hosted => {
      // over HTTP+SSE the streams are the responses that stay open
      const clients: GreedyClient[] = []
      for (let count = 0; count < 3; count++) clients.push(await hosted.client('alice'))
      if (!way.name.includes('SSE')) {
        for (const [index, client] of clients.entries()) {
          void client.call('wait').catch(() => {})
          await hosted.plug.areRunning(index + 1)
        }
      }
      const client = way.name.includes('SSE') ? await hosted.client('alice') : clients[0]
      const refused = await outcome(await client?.call('quick') ?? new Response())
      const bob = await outcome(await (await hosted.client('bob')).call('quick'))
      return `${refused}; bob ${bob}`
    })
  },
  'bytes of requests': {
    check: (way, stores) => hosting(way, stores, { maxRequestBytesPerPerson: 5000 }, async hosted => {
      const alice = await hosted.client('alice')
      const refused = await outcome(await alice.callWith('quick', { padding: 'x'.repeat(5000) }))
      const bob = await outcome(await (await hosted.client('bob')).call('quick'))
      return `${refused}; bob ${bob}; ${hosted.plug.runs} ran`
    })
  }
}

/** A stream to listen of a new client; for HTTP+SSE the client's own. */
async function openStream (way: Way, hosted: Hosted, person: string): Promise<Response> {
  const client = await hosted.client(person)
  return way.name.includes('SSE') ? await client.call('quick') : await client.listen()
}

/** One subscription each by new clients: three of alice, which are let in, one more, and one of bob. */
async function oneSubscriptionTooMany (hosted: Hosted, uriOf: (uri: string) => string): Promise<string> {
  const outcomes: string[] = []
  for (const [index, person] of ['alice', 'alice', 'alice', 'alice', 'bob'].entries()) {
    outcomes.push(await outcome(await (await hosted.client(person)).subscribe([uriOf(`file:///${index}`)])))
    // a session subscribes once there is a response
    await new Promise(resolve => setImmediate(resolve))
  }
  return `${outcomes.slice(0, 3).join(', ')}; ${outcomes[3]}; bob ${outcomes[4]}`
}

const LET_IN = 'let in, let in, let in'
const expected: Record<string, string | ((way: Way) => string)> = {
  'requests in flight': '429 requests_in_flight; bob let in; 4 ran',
  'requests in flight, in all': '429 requests_in_flight; bob let in; 4 ran',
  'calls of a tool': '429 tool_calls; another tool let in; bob let in',
  'server instances': '429 instances; bob let in',
  'server instances, in all': '429 instances; bob let in',
  streams: way => `429 streams${way.name.startsWith('2026') ? '' : ' (no id)'}; bob let in`,
  'streams, in all': way => `503 streams${way.name.startsWith('2026') ? '' : ' (no id)'}; bob let in`,
  subscriptions: `${LET_IN}; 429 subscriptions; bob let in`,
  'bytes of subscriptions': `${LET_IN}; 429 subscription_bytes; bob let in`,
  'bytes of subscriptions, in all': `${LET_IN}; 429 subscription_bytes; bob let in`,
  'bytes of a URI': '429 uri_bytes',
  'suspended calls': 'one of alice is given up',
  'open responses': '429 open_responses (no id); bob let in',
  'bytes of requests': '429 request_bytes (no id); bob let in; 1 ran'
}

async function matrix (t: Test, store: string, stores: Stores): Promise<void> {
  for (const [kind, { where = () => true, check }] of Object.entries(checks)) {
    for (const way of ways.filter(where)) {
      const expectation = expected[kind]
      t.equal(
        await check(way, stores),
        typeof expectation === 'function' ? expectation(way) : expectation,
        `${way.name} | ${way.sessionMode} | ${store} | ${kind}`
      )
    }
  }
}

t.test('limits, with what is kept in memory', async t => {
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  t.teardown(() => stores.close())
  await matrix(t, 'memory', stores)
})

redisTest('limits, with what is kept in Redis', async (t, server) => {
  const [stores] = await redisReplicas(t, server, {}, 1)
  if (stores === undefined) throw new Error('no stores')
  await matrix(t, 'Redis', stores)
})
