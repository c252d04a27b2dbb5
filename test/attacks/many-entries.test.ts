import t from 'tap'
import { Places, type Holder } from '../../src/mcp/admission/places.js'
import { ToolRates } from '../../src/mcp/admission/tool-rates.js'
import { BoundedMap } from '../../src/collections/bounded-map.js'
import { MemoryAuthorizationTransactionStore } from '../../src/stores/memory/authorizations.js'
import { ExpiringMap } from '../../src/stores/memory/expiring-map.js'
import { MemoryMetadataDocumentStore } from '../../src/stores/memory/metadata-documents.js'
import { MemoryRegistrationStore } from '../../src/stores/memory/registrations.js'
import { MemorySessionStore } from '../../src/stores/memory/sessions.js'
import { MemoryUpstreamDeletionQueue } from '../../src/stores/memory/upstream-deletions.js'
import type { SessionRecord } from '../../src/stores/sessions.js'
import { countSteps } from '../support/steps.js'

/*
 * What a stranger can make the service do often takes as many steps when much is kept as when little is: in a store
 * that is full, too.
 */

interface Full {
  /** Does what is counted, once more. */
  act (index: number): unknown
  close?(): void
}

const NOW = 1_700_000_000_000
const now = () => NOW
const later = NOW / 1000 + 600
const unbounded = { perOwner: Infinity, perPerson: Infinity }

const session = (id: string, subject: string, clientId = 'c'): SessionRecord => ({
  id,
  kind: 'streamable-http',
  owner: { issuer: 'i', subject, clientId },
  initialized: true,
  subscriptions: [],
  lastSeenAt: NOW / 1000,
  expiresAt: later
})

async function sessions (
  size: number,
  whose: (index: number) => [subject: string, clientId: string],
  bounds = unbounded,
  maxSessions = Infinity
): Promise<Full> {
  const store = new MemorySessionStore({ idleSeconds: 3600, maxSessions, now })
  for (let index = 0; index < size; index++) await store.create(session(`s${index}`, ...whose(index)), bounds)
  return {
    act: async index => {
      await store.touch(`s${index}`, NOW / 1000)
      await store.create(session(`more${index}`, ...whose(size + index)), bounds)
    },
    close: () => { store.close() }
  }
}

async function registrations (size: number, maxOfAddress: number, addressOf: (index: number) => string): Promise<Full> {
  const store = new MemoryRegistrationStore({
    now,
    maxRegistrations: size,
    bounds: { maxOfAddress, maxBytesOfAddress: Infinity, max: size, maxBytes: Infinity }
  })
  const add = (index: number) =>
    store.add({ clientId: `c${index}`, expiresAt: later }, addressOf(index))
  for (let index = 0; index < size; index++) await add(index)
  return {
    act: async index => {
      await add(size + index)
      await store.takeExpired(10)
    }
  }
}

/** Places that are all taken. */
function places (size: number, state: Holder['state'], people: number, later: Holder['state'] = state): Full {
  const all = new Places({ limit: 'streams', things: 'streams', perPerson: size, inAll: size })
  let current = state
  const holder = (person: string): Holder => ({ person, get state () { return current }, giveWay () {} })
  for (let index = 0; index < size; index++) all.add(holder(`p${index % people}`))
  current = later
  return {
    act: index => {
      try {
        all.take(holder(`another${index}`))
      } catch (error) {
        if (later !== 'busy') throw error
      }
    }
  }
}

const fulls: Record<string, (size: number) => Full | Promise<Full>> = {
  'a bounded map': size => {
    const map = new BoundedMap<string, number>(size)
    for (let index = 0; index < size; index++) map.set(`k${index}`, index)
    return { act: index => map.set(`more${index}`, index) }
  },
  'an expiring map': size => {
    const map = new ExpiringMap<number>({ maxEntries: size, now })
    for (let index = 0; index < size; index++) map.set(`k${index}`, index, later)
    return { act: index => { map.set(`more${index}`, index, later) }, close: () => { map.close() } }
  },
  'sessions of one owner': size => sessions(size, () => ['s', 'c']),
  'sessions of one owner who has all they may have': size =>
    sessions(size, () => ['s', 'c'], { perOwner: size, perPerson: Infinity }),
  'sessions of one person who has all they may have': size =>
    sessions(size, index => ['s', `c${index}`], { perOwner: Infinity, perPerson: size }),
  'sessions of many persons': size => sessions(size, index => [`s${index}`, 'c']),
  'sessions in a full store': size =>
    sessions(size, index => [index < size ? `s${index % (size / 4)}` : `more${index}`, 'c'], unbounded, size),
  'registrations of one address': size => registrations(size, size, () => 'a'),
  'registrations of many addresses': size => registrations(size, Infinity, index => `a${index}`),
  authorizations: async size => {
    const store = new MemoryAuthorizationTransactionStore({ now })
    const add = (index: number) => store.end(`a${index}`, { address: `a${index}`, ttlSeconds: 600 })
    for (let index = 0; index < size; index++) await add(index)
    return { act: index => add(size + index), close: () => { store.close() } }
  },
  'metadata documents': async size => {
    const store = new MemoryMetadataDocumentStore({ now, maxEntries: size })
    const put = (index: number) =>
      store.put({ clientId: `c${index}`, metadata: {}, freshUntil: later, staleUntil: later })
    for (let index = 0; index < size; index++) await put(index)
    return { act: index => put(size + index), close: () => { store.close() } }
  },
  'deletions upstream': async size => {
    const queue = new MemoryUpstreamDeletionQueue({ max: size, now })
    await queue.add(Array.from({ length: size }, (_, index) => ({ clientId: 'c', sealed: `s${index}` })))
    await queue.claim(size - 100, 600)
    return { act: () => queue.claim(1, 600) }
  },
  'rates of tools': size => {
    const rates = new ToolRates(1_000_000, () => NOW)
    // more than it keeps buckets for
    for (let index = 0; index < size * 3; index++) rates.take(`p${index}`, ['tool'])
    return { act: index => { rates.take(`another${index}`, ['tool']) } }
  },
  'streams of many persons, all taken': size => places(size, 'lasting', size / 4),
  'streams of one person, all taken': size => places(size, 'lasting', 1),
  'instances that are idle': size => places(size, 'idle', size / 4),
  'instances that are busy': size => places(size, 'busy', size / 4),
  'instances that have become idle': size => places(size, 'busy', size / 4, 'idle'),
  'instances that have become busy': size => places(size, 'idle', size / 4, 'busy')
}

const ACTS = 20

async function stepsAt (size: number, make: (size: number) => Full | Promise<Full>): Promise<number> {
  const full = await make(size)
  try {
    // what is done once, for all that is there, is not done at each request
    await full.act(ACTS)
    return await countSteps(async () => {
      for (let index = 0; index < ACTS; index++) await full.act(index)
    })
  } finally {
    full.close?.()
  }
}

for (const [name, make] of Object.entries(fulls)) {
  t.test(name, async t => {
    const [few, many] = [await stepsAt(200, make), await stepsAt(20_000, make)]
    t.ok(many <= few + 10 * ACTS, `${few} steps with 200, ${many} with 20,000`)
  })
}
