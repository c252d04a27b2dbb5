import { mock } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import pino from 'pino'
import t, { type Test } from 'tap'
import { TemporarilyUnavailableError } from '../../src/errors.js'
import { Replica } from '../../src/mcp/replica.js'
import type { LeaseStore } from '../../src/stores/leases.js'
import { MemoryBus } from '../../src/stores/memory/bus.js'
import { MemoryLeaseStore } from '../../src/stores/memory/leases.js'

/*
 * Who is alive: nobody who is, is taken for dead, whatever happens to the store, to the way there, or to who judges.
 */
const STEP_MS = 100
const log = pino({ level: 'silent' })

/** What can be wrong with a process or its way to the store. */
type Way = 'fine' | 'cut' | 'slow'

/** Replicas over one store, in a time that passes when the test says so. */
class World {
  nowMs = 1_000_000
  /** How often it was asked whether a lease is held. */
  asked = 0
  #leases = this.#newStore()
  readonly #replicas: Replica[] = []
  readonly #waiting: Array<() => void> = []

  constructor (t: Test) {
    mock.timers.enable({ apis: ['setInterval'] })
    t.teardown(async () => {
      await Promise.all(this.#replicas.map(replica => replica.close()))
      mock.timers.reset()
    })
  }

  #newStore (): MemoryLeaseStore {
    return new MemoryLeaseStore({ now: () => this.nowMs })
  }

  /** The store restarts without its data. */
  forget (): void {
    this.#leases = this.#newStore()
  }

  join (): { replica: Replica, way: (way: Way) => void } {
    let way: Way = 'fine'
    const go = async <T> (work: () => Promise<T>): Promise<T> => {
      if (way === 'cut') throw new TemporarilyUnavailableError('cut')
      const result = await work()
      if (way === 'slow') await new Promise<void>(resolve => { this.#waiting.push(resolve) })
      return result
    }
    const leases: LeaseStore = {
      acquire: (...lease) => go(() => this.#leases.acquire(...lease)),
      isHeld: name => {
        this.asked++
        return go(() => this.#leases.isHeld(name))
      },
      release: (...lease) => this.#leases.release(...lease)
    }
    const replica = new Replica({ leases, bus: new MemoryBus(), log, now: () => this.nowMs })
    this.#replicas.push(replica)
    return {
      replica,
      way: next => {
        way = next
        for (const resolve of this.#waiting.splice(0)) resolve()
      }
    }
  }

  /** Lets time pass. @param meanwhile called every 100 ms */
  async pass (ms: number, meanwhile: () => Promise<void> = async () => {}): Promise<void> {
    for (let passed = 0; passed < ms; passed += STEP_MS) {
      this.nowMs += STEP_MS
      mock.timers.tick(STEP_MS)
      await turn()
      await meanwhile()
    }
  }
}

interface Trouble {
  what: string
  begin: (world: World, judge: (way: Way) => void, judged: (way: Way) => void) => void
  ms: number
}

const both: Trouble['begin'] = (_, judge, judged) => {
  judge('cut')
  judged('cut')
}
const troubles: Trouble[] = [
  ...[1000, 2000, 3000, 3600, 3900, 5000, 60_000].map(ms => ({ what: `no store for ${ms} ms`, begin: both, ms })),
  { what: 'the store is slow to reply', begin: (_, judge) => { judge('slow') }, ms: 6000 },
  { what: 'the store restarts empty', begin: world => { world.forget() }, ms: 0 },
  {
    what: 'the store is away, and comes back empty',
    begin: (world, judge, judged) => {
      both(world, judge, judged)
      world.forget()
    },
    ms: 3000
  },
  { what: 'all stand still', begin: world => { world.nowMs += 6000 }, ms: 0 },
  { what: 'the judge has no store for a moment', begin: (_, judge) => { judge('cut') }, ms: 2500 }
]

t.test('who lives is not taken for dead', async t => {
  for (const { what, begin, ms } of troubles) {
    // where in the time between two renewals it begins, and how much longer the other one takes to come back
    for (const [offset, later] of [[0, 0], [300, 900], [600, 0], [900, 900]] as const) {
      await t.test(`${what}, from ${offset}, back ${later} later`, async t => {
        const world = new World(t)
        const judged = world.join()
        await world.pass(offset)
        const judge = world.join()
        const deaths: number[] = []
        const look = async () => {
          if (!await judge.replica.isAlive(judged.replica.id).catch(() => true)) deaths.push(world.nowMs)
        }
        await world.pass(10_000, look)
        begin(world, judge.way, judged.way)
        // a look that waits for a reply must not hold up the time
        await world.pass(ms, async () => { void look() })
        judge.way('fine')
        await world.pass(later, look)
        judged.way('fine')
        await world.pass(15_000, look)
        t.same(deaths, [])
      })
    }
  }
})

t.test('who has died is found dead, and never before it knows', async t => {
  const world = new World(t)
  const judge = world.join()
  const judged = world.join()
  t.equal(judged.replica.isCertainlyAlive, false, 'before it has a lease')
  await world.pass(10_000)
  t.equal(judged.replica.isCertainlyAlive, true)
  judged.way('cut')
  const diedAt = world.nowMs
  let alive = true
  let deadAt = 0
  await world.pass(9000, async () => {
    if (!alive) return
    alive = await judge.replica.isAlive(judged.replica.id)
    if (!alive) {
      deadAt = world.nowMs - diedAt
      t.equal(judged.replica.isCertainlyAlive, false, 'what it does may have been answered for it')
    }
  })
  t.ok(deadAt >= 3000 && deadAt <= 6000, `after ${deadAt} ms`)
})

t.test('a death is told to all who watch, at most 6 s after it, and for one question in a look', async t => {
  for (const offset of [0, 200, 500, 700]) {
    await t.test(`dead ${offset} ms later`, async t => {
      const world = new World(t)
      const judge = world.join()
      const judged = world.join()
      await world.pass(10_000 + offset)
      const told = Array.from({ length: 300 }, () => 0)
      const ends = told.map((_, at) => judge.replica.watch(judged.replica.id, () => { told[at] = world.nowMs }))
      judged.way('cut')
      const diedAt = world.nowMs
      const askedBefore = world.asked
      await world.pass(3000)
      t.ok(world.asked - askedBefore <= 3000 / 250, 'questions in three seconds')
      t.same(new Set(told), new Set([0]))
      // those that are told in later slices need real time
      for (let waited = 0; waited < 3100; waited += STEP_MS) await world.pass(STEP_MS)
      t.ok(told.filter(at => at > 0 && at - diedAt <= 6000).length >= 100, 'the first slice in time')
      for (const end of ends) end()
      const askedAtEnd = world.asked
      await world.pass(2000)
      t.equal(world.asked, askedAtEnd, 'nobody watches, nothing is asked')
    })
  }
})

t.test('a lease counts from when its renewal was sent', async t => {
  const world = new World(t)
  const { replica, way } = world.join()
  await world.pass(3000)
  way('slow')
  await world.pass(4500)
  t.equal(replica.isCertainlyAlive, false)
  way('fine')
  await world.pass(STEP_MS)
  t.equal(replica.isCertainlyAlive, true, 'the last of them was sent just now')
})
