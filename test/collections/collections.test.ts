import { mock } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import t from 'tap'
import { BoundedMap } from '../../src/collections/bounded-map.js'
import { Groups } from '../../src/collections/groups.js'
import { PriorityQueue } from '../../src/collections/priority-queue.js'
import { RecencyMap } from '../../src/collections/recency-map.js'
import { Rounds } from '../../src/collections/rounds.js'

/* Each does what its slow but obvious double does, whatever happens to it. */

const key = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', '__proto__')
const changes = fc.array(fc.record({ key, number: fc.integer({ min: 0, max: 20 }), removes: fc.boolean() }), {
  maxLength: 60
})

const lowest = (numbers: Map<string, number>) => numbers.size === 0 ? undefined : Math.min(...numbers.values())

t.test('a priority queue', async () => {
  fc.assert(fc.property(changes, all => {
    const [queue, double] = [new PriorityQueue<string>(), new Map<string, number>()]
    for (const { key, number, removes } of all) {
      if (removes) {
        if (queue.delete(key) !== double.delete(key)) return false
      } else {
        queue.set(key, number)
        double.set(key, number)
      }
      if (queue.size !== double.size || queue.first?.priority !== lowest(double)) return false
      if (queue.first !== undefined && double.get(queue.first.key) !== queue.first.priority) return false
    }
    const limit = 10
    const upTo = queue.keysUpTo(limit).sort()
    const expectedKeys = [...double].filter(([, number]) => number <= limit).map(([key]) => key).sort()
    if (JSON.stringify(upTo) !== JSON.stringify(expectedKeys)) return false
    const taken: number[] = []
    for (let key = queue.takeUpTo(limit); key !== undefined; key = queue.takeUpTo(limit)) {
      taken.push(double.get(key) ?? NaN)
    }
    const expected = [...double.values()].filter(number => number <= limit).sort((a, b) => a - b)
    return JSON.stringify(taken) === JSON.stringify(expected)
  }))
})

t.test('a map in the order of use', async () => {
  fc.assert(fc.property(changes, all => {
    const [map, double] = [new RecencyMap<string, number>(), new Map<string, number>()]
    for (const { key, number, removes } of all) {
      const was = double.delete(key)
      if (removes) {
        if (map.delete(key) !== was) return false
      } else {
        map.set(key, number)
        double.set(key, number)
      }
      const [first] = double
      if (JSON.stringify([...map]) !== JSON.stringify([...double])) return false
      if (JSON.stringify(map.first) !== JSON.stringify(first)) return false
      if (map.size !== double.size || map.has(key) !== double.has(key) || map.get(key) !== double.get(key)) return false
    }
    return true
  }))
})

t.test('a bounded map', async () => {
  fc.assert(fc.property(changes, fc.integer({ min: 0, max: 4 }), (all, most) => {
    const evicted: string[] = []
    const expected: string[] = []
    const map = new BoundedMap<string, number>(most, (_, key) => { evicted.push(key) })
    const double = new Map<string, number>()
    for (const { key, number, removes } of all) {
      double.delete(key)
      if (removes) map.delete(key)
      else {
        map.set(key, number)
        double.set(key, number)
        const [oldest] = double.keys()
        if (double.size > most && oldest !== undefined) {
          double.delete(oldest)
          expected.push(oldest)
        }
      }
      if (JSON.stringify([...map]) !== JSON.stringify([...double])) return false
    }
    return JSON.stringify(evicted) === JSON.stringify(expected)
  }))
})

t.test('groups', async () => {
  fc.assert(fc.property(changes, all => {
    const [groups, double] = [new Groups<string, number>(), new Map<string, number[]>()]
    for (const { key, number, removes } of all) {
      const others = (double.get(key) ?? []).filter(other => other !== number)
      double.set(key, removes ? others : [...others, number])
      if (removes) groups.delete(key, number)
      else groups.add(key, number)
      const sizes = [...double.values()].map(({ length }) => length)
      const { largest } = groups
      if (groups.count(largest ?? '') !== Math.max(0, ...sizes)) return false
      if (groups.size !== sizes.filter(size => size > 0).length) return false
      for (const [key, things] of double) {
        if (groups.count(key) !== things.length || groups.get(key)?.first !== things[0]) return false
      }
    }
    return true
  }))
})

/** Counts what is done, altogether and in one turn of the event loop. */
class Acts {
  readonly of = new Map<number, number>()
  total = 0
  most = 0
  #ofTurn = 0

  add (item: number): void {
    this.of.set(item, (this.of.get(item) ?? 0) + 1)
    this.total++
    if (this.#ofTurn++ === 0) setImmediate(() => { this.#ofTurn = 0 })
    this.most = Math.max(this.most, this.#ofTurn)
  }
}

t.test('rounds', async t => {
  const count = 300
  const items = new Set(Array.from({ length: count }, (_, index) => index))

  await t.test('each has a turn in an interval, a few together', async t => {
    mock.timers.enable({ apis: ['setInterval'] })
    t.teardown(() => { mock.timers.reset() })
    const acts = new Acts()
    const rounds = new Rounds({ items, act: item => { acts.add(item) }, intervalMs: 30_000 })
    t.teardown(() => { rounds.stop() })
    for (let ms = 0; ms < 30_000; ms += 100) {
      mock.timers.tick(100)
      await turn()
    }
    t.equal(acts.most, 1)
    t.ok(acts.of.size >= count - 1 && acts.total <= count, `${acts.of.size} of ${count}, ${acts.total} times`)
    items.clear()
    mock.timers.tick(30_000)
    t.ok(acts.total <= count)
    rounds.stop()
    items.add(1)
    mock.timers.tick(60_000)
    t.ok(acts.total <= count, 'nothing comes after it was stopped')
  })

  await t.test('all soon, a hundred together, however often it is asked for', async t => {
    for (let index = 0; index < count; index++) items.add(index)
    const acts = new Acts()
    const rounds = new Rounds({ items, act: item => { acts.add(item) }, intervalMs: 3_600_000 })
    t.teardown(() => { rounds.stop() })
    const alive = setInterval(() => {}, 1000)
    t.teardown(() => { clearInterval(alive) })
    const hurrying = rounds.hurry()
    for (let again = 0; again < 3; again++) await rounds.hurry()
    await hurrying
    t.equal(acts.most, 100)
    t.equal(acts.total, 2 * count, 'once more for all that asked meanwhile')
  })
})
