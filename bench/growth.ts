import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { BoundedMap } from '../src/collections/bounded-map.js'
import { Places, type Holder } from '../src/mcp/admission/places.js'
import { ExpiringMap } from '../src/stores/memory/expiring-map.js'
import { MemoryRegistrationStore } from '../src/stores/memory/registrations.js'
import { MemorySessionStore } from '../src/stores/memory/sessions.js'
import { createRedisStores } from '../src/stores/redis/stores.js'
import type { SessionRecord, SessionStore } from '../src/stores/sessions.js'
import { startRedis } from '../test/replicas/cluster.js'
import { end } from '../test/replicas/processes.js'
import { freePort } from '../test/support/free-port.js'

/*
 * What one more costs when a thousand, a hundred thousand or a million are there already: microseconds each, and the
 * ratio to a thousand. `npx tsx bench/growth.ts`; needs redis-server, and half an hour with it (`--memory`: without).
 */

const SIZES = [1000, 100_000, 1_000_000]
const SIZES_IN_REDIS = process.argv.includes('--memory') ? [] : [1000, 100_000]
const ACTS = 20_000
const AT_ONCE = 200

type Act = (index: number) => unknown

const later = Math.floor(Date.now() / 1000) + 3600
const session = (id: string, subject: string): SessionRecord => ({
  id,
  kind: 'streamable-http',
  owner: { issuer: 'i', subject, clientId: 'c' },
  initialized: true,
  subscriptions: [],
  lastSeenAt: later - 3600,
  expiresAt: later
})

async function beginSessions (store: SessionStore, size: number, subject: (index: number) => string): Promise<Act> {
  const bounds = { perOwner: size, perPerson: size }
  const create = (index: number) => store.create(session(`s${index}`, subject(index)), bounds)
  for (let index = 0; index < size; index += AT_ONCE) {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, size - index) }, (_, next) => create(index + next)))
  }
  return index => create(size + index)
}

const inMemory: Record<string, (size: number) => Act | Promise<Act>> = {
  'BoundedMap.set, full': size => {
    const map = new BoundedMap<string, number>(size)
    for (let index = 0; index < size; index++) map.set(`k${index}`, index)
    return index => map.set(`more${index}`, index)
  },
  'ExpiringMap.set, full': size => {
    const map = new ExpiringMap<number>({ maxEntries: size })
    for (let index = 0; index < size; index++) map.set(`k${index}`, index, later)
    return index => { map.set(`more${index}`, index, later) }
  },
  'sessions.create, one owner who has all they may': size =>
    beginSessions(new MemorySessionStore({ idleSeconds: 3600, maxSessions: Infinity }), size, () => 's'),
  'sessions.create, an owner each': size =>
    beginSessions(new MemorySessionStore({ idleSeconds: 3600, maxSessions: Infinity }), size, index => `s${index}`),
  'sessions.create, full store': size =>
    beginSessions(
      new MemorySessionStore({ idleSeconds: 3600, maxSessions: size }),
      size,
      index => index < size ? `s${Math.floor(index / 10)}` : `other${index}`
    ),
  'registrations.add, full store': async size => {
    const bounds = { maxOfAddress: size, maxBytesOfAddress: Infinity, max: size, maxBytes: Infinity }
    const store = new MemoryRegistrationStore({ maxRegistrations: size, bounds })
    const add = (index: number) => store.add({ clientId: `c${index}`, expiresAt: later }, `a${index}`)
    for (let index = 0; index < size; index++) await add(index)
    return index => add(size + index)
  },
  'places.take, all taken': size => {
    const places = new Places({ limit: 'streams', things: 'streams', perPerson: size, inAll: size })
    const holder = (person: string): Holder => ({ person, state: 'lasting', giveWay () {} })
    for (let index = 0; index < size; index++) places.add(holder(`p${Math.floor(index / 10)}`))
    return index => { places.take(holder(`more${index}`)) }
  }
}

async function measure (name: string, sizes: readonly number[], make: (size: number) => Act | Promise<Act>) {
  const microseconds: number[] = []
  for (const size of sizes) {
    const act = await make(size)
    // in a full store, what gives way must not run out
    const acts = Math.min(ACTS, size / 2)
    const start = performance.now()
    for (let index = 0; index < acts; index++) await act(index)
    microseconds.push((performance.now() - start) * 1000 / acts)
  }
  const figures = sizes.map((size, index) => {
    const each = microseconds[index] ?? NaN
    return `${size.toLocaleString('en')}: ${each.toFixed(1)} us (x${(each / (microseconds[0] ?? NaN)).toFixed(1)})`
  })
  process.stdout.write(`${name.padEnd(50)} ${figures.join('  ')}\n`)
}

for (const [name, make] of Object.entries(inMemory)) await measure(name, SIZES, make)

if (SIZES_IN_REDIS.length > 0) {
  const dir = mkdtempSync(join(tmpdir(), 'bench-growth-'))
  const port = await freePort()
  const server = await startRedis(dir, port)
  const admin = new Redis(port)
  try {
    for (const [name, subject] of [['one owner who has all they may', () => 's'], ['an owner each', String]] as const) {
      await measure(`sessions.create in Redis, ${name}`, SIZES_IN_REDIS, async size => {
        await admin.flushall()
        const { sessions } = createRedisStores({ url: `redis://127.0.0.1:${port}`, sessionIdleSeconds: 3600 })
        return await beginSessions(sessions, size, subject)
      })
    }
  } finally {
    admin.disconnect()
    await end(server, 'SIGTERM')
    rmSync(dir, { recursive: true })
  }
}
process.exit()
