import type { Test } from 'tap'
import { toOwner, type Owner } from '../../src/caller.js'
import { SessionsFullError } from '../../src/errors.js'
import { makeAnonymousCaller } from '../../src/mcp/anonymous-callers.js'
import type { SessionRecord, SessionStore } from '../../src/stores/sessions.js'
import { atOnce, countsOf, epoch, type Clock, type Make } from './backend.js'

const alice: Owner = { issuer: 'https://login.example', subject: 'alice', clientId: 'client-1' }
const bob: Owner = { ...alice, subject: 'bob' }

let sequence = 0

/** Somebody who has not logged in: another one each time. */
const nobody = (address: string): Owner => toOwner(makeAnonymousCaller(address))

/** So many sessions an owner, and as many as they like a person. */
const each = (perOwner: number) => ({ perOwner, perPerson: 1000 })

function recordFor (clock: Clock, changes: Partial<SessionRecord> = {}): SessionRecord {
  return {
    id: `session-${++sequence}`,
    kind: 'streamable-http',
    owner: alice,
    initialized: false,
    subscriptions: [],
    lastSeenAt: epoch(clock),
    expiresAt: epoch(clock, 1000),
    ...changes
  }
}

/** What every `SessionStore` keeps to. */
export async function sessionStoreContract (
  t: Test,
  makeStore: Make<SessionStore, { idleSeconds: number, maxSessions?: number }>
): Promise<void> {
  // by a real clock they wait for most of their time
  t.jobs = 6
  t.test('a record comes back as it was given', { buffered: true }, async t => {
    const { replicas, clock } = await makeStore(t, { idleSeconds: 60 })
    const record = recordFor(clock, {
      initializeParams: {
        protocolVersion: '2025-11-25',
        capabilities: { roots: {}, x: { 'y.z': [1, null, 'ü', { __proto__: null, constructor: 'x' }] } }
      },
      protocolVersion: '2025-11-25',
      logLevel: 'warning',
      subscriptions: ['file:///b', 'file:///a']
    })
    t.same(await replicas[0].create(record, each(10)), [])
    for (const replica of replicas) t.same(await replica.get(record.id), record)
    const bare = recordFor(clock, { kind: 'sse', replicaId: 'replica' })
    await replicas[0].create(bare, each(10))
    t.strictSame(await replicas[0].get(bare.id), bare, 'without what is not known yet')
  })

  t.test('who changes what they got changes nothing', { buffered: true }, async t => {
    const { replicas: [store], clock } = await makeStore(t, { idleSeconds: 60 })
    const record = recordFor(clock)
    await store.create(record, each(10))
    record.subscriptions.push('file:///given')
    const got = await store.get(record.id)
    got?.subscriptions.push('file:///got')
    t.same((await store.get(record.id))?.subscriptions, [])
  })

  t.test('changes', { buffered: true }, async t => {
    const { replicas, clock } = await makeStore(t, { idleSeconds: 60 })
    const { id } = recordFor(clock)
    const record = recordFor(clock, { id })
    await replicas[0].create(record, each(10))
    const store = replicas.at(-1) ?? replicas[0]
    t.equal(await store.change(id, { initializeParams: { a: 1 }, protocolVersion: '2025-06-18' }, 'r'), 1)
    t.equal(await store.change(id, { initialized: true }, 'r'), 2)
    await store.change(id, { logLevel: 'error' }, 'r')
    await store.change(id, { logLevel: 'debug' }, 'r')
    await store.change(id, { access: 'reader' }, 'r')
    for (const uri of ['file:///c', 'file:///a', 'file:///b', 'file:///a']) await store.change(id, { subscribe: uri }, 'r')
    await store.change(id, { unsubscribe: 'file:///c' }, 'r')
    await store.change(id, { unsubscribe: 'file:///never' }, 'r')
    for (const replica of replicas) {
      t.same(await replica.get(id), {
        ...record,
        initializeParams: { a: 1 },
        protocolVersion: '2025-06-18',
        initialized: true,
        logLevel: 'debug',
        subscriptions: ['file:///a', 'file:///b'],
        access: 'reader',
        version: 11
      })
    }
    t.equal(await store.change('unknown', { initialized: true }, 'r'), undefined)
  })

  t.test('changes at once are all made', { buffered: true }, async t => {
    const { replicas, clock } = await makeStore(t, { idleSeconds: 60 })
    const record = recordFor(clock)
    await replicas[0].create(record, each(10))
    const uris = Array.from({ length: 50 }, (_, index) => `file:///${index}`)
    const versions = await atOnce(
      replicas,
      50,
      (replica, index) => replica.change(record.id, { subscribe: uris[index] ?? '' }, 'r')
    )
    t.same(versions.sort((a = 0, b = 0) => a - b), uris.map((_, index) => index + 1), 'each has a version of its own')
    t.same((await replicas[0].get(record.id))?.subscriptions.sort(), uris.sort())
  })

  t.test('a session moves from where it is said to run, and from nowhere else', { buffered: true }, async t => {
    const { replicas, clock } = await makeStore(t, { idleSeconds: 60 })
    const { id } = recordFor(clock)
    const unbound = recordFor(clock)
    await replicas[0].create(recordFor(clock, { id, replicaId: 'first' }), each(10))
    await replicas[0].create(unbound, each(10))
    const places = Array.from({ length: 20 }, (_, index) => `second-${index}`)
    await atOnce(replicas, 20, (replica, index) =>
      replica.change(id, { movesTo: places[index] ?? '', from: 'first' }, 'r'))
    const { replicaId = '', version } = await replicas[0].get(id) ?? {}
    t.ok(places.includes(replicaId), 'one of those that want it has it')
    t.equal(version, 20, 'the others learn that there is something to read')
    await replicas[0].change(id, { movesTo: 'third', from: replicaId }, 'r')
    await replicas[0].change(id, { movesTo: 'fourth', from: undefined }, 'r')
    await replicas[0].change(unbound.id, { movesTo: 'first', from: 'third' }, 'r')
    await replicas[0].change(unbound.id, { movesTo: 'second', from: undefined }, 'r')
    for (const replica of replicas) {
      t.equal((await replica.get(id))?.replicaId, 'third')
      t.equal((await replica.get(unbound.id))?.replicaId, 'second')
    }
  })

  t.test('a session that nobody touches ends', { buffered: true }, async t => {
    const { replicas: [store], clock } = await makeStore(t, { idleSeconds: 5 })
    const idle = recordFor(clock)
    const touched = recordFor(clock)
    await store.create(idle, each(10))
    await store.create(touched, each(10))
    await clock.pass(3)
    t.equal(await store.touch(touched.id, epoch(clock)), true)
    await clock.pass(3)
    t.equal(await store.get(idle.id), undefined)
    t.equal((await store.get(touched.id))?.id, touched.id)
    for (
      const [what, outcome] of [
        ['touch', await store.touch(idle.id, epoch(clock))],
        ['change', await store.change(idle.id, { initialized: true }, 'r') !== undefined],
        ['delete', await store.delete(idle.id)]
      ] as const
    ) t.equal(outcome, false, `${what} finds nothing`)
    t.equal(await store.get(idle.id), undefined, 'and brings nothing back')
  })

  t.test('a touch never goes back', { buffered: true }, async t => {
    const { replicas: [store], clock } = await makeStore(t, { idleSeconds: 60 })
    const record = recordFor(clock)
    await store.create(record, each(10))
    await store.touch(record.id, record.lastSeenAt + 5)
    await store.touch(record.id, record.lastSeenAt + 2)
    t.equal((await store.get(record.id))?.lastSeenAt, record.lastSeenAt + 5)
  })

  t.test('a session ends with its lifetime, however much it is used', { buffered: true }, async t => {
    const { replicas: [store], clock } = await makeStore(t, { idleSeconds: 60 })
    const record = recordFor(clock, { expiresAt: epoch(clock, 2) })
    await store.create(record, each(10))
    t.equal(await store.touch(record.id, epoch(clock)), true)
    await clock.pass(2.1)
    t.equal(await store.get(record.id), undefined)
    t.equal(await store.touch(record.id, epoch(clock)), false)
  })

  t.test('a session is deleted once', { buffered: true }, async t => {
    const { replicas, clock } = await makeStore(t, { idleSeconds: 60 })
    const record = recordFor(clock)
    await replicas[0].create(record, each(10))
    t.same(countsOf(await atOnce(replicas, 50, replica => replica.delete(record.id))), { true: 1, false: 49 })
    t.equal(await replicas[0].get(record.id), undefined)
  })

  t.test('one more than an owner may have ends the least recently seen', { buffered: true }, async t => {
    const { replicas: [store], clock } = await makeStore(t, { idleSeconds: 60 })
    const [first, second, third, fourth] = [recordFor(clock), recordFor(clock), recordFor(clock), recordFor(clock)]
    const others = [
      recordFor(clock, { owner: bob }),
      recordFor(clock, { owner: { ...alice, clientId: 'client-2' } }),
      recordFor(clock, { owner: { ...alice, issuer: 'https://other.example' } })
    ]
    for (const record of [...others, first, second]) t.same(await store.create(record, each(2)), [])
    await clock.pass(1)
    await store.touch(first.id, epoch(clock))
    t.same(await store.create(third, each(2)), [second.id])
    t.same(await store.create(fourth, each(2)), [first.id])
    for (const { id } of [first, second]) t.equal(await store.get(id), undefined)
    for (const { id } of [third, fourth, ...others]) t.equal((await store.get(id))?.id, id)
    t.same(
      (await store.create(recordFor(clock), each(1))).sort(),
      [third.id, fourth.id].sort(),
      'several, where the limit went down'
    )
  })

  t.test('one more than a person may have ends their least recently seen one', { buffered: true }, async t => {
    const { replicas: [store], clock } = await makeStore(t, { idleSeconds: 60 })
    const bounds = { perOwner: 2, perPerson: 3 }
    const by = (clientId: string) => recordFor(clock, { owner: { ...alice, clientId } })
    const others = [
      recordFor(clock, { owner: bob }),
      recordFor(clock, { owner: { ...alice, issuer: 'https://other.example' } })
    ]
    const [first, second, third, fourth, fifth, sixth] = [by('a'), by('b'), by('c'), by('d'), by('d'), by('d')]
    for (const record of [...others, first, second, third]) t.same(await store.create(record, bounds), [])
    await clock.pass(1)
    await store.touch(first.id, epoch(clock))
    t.same(await store.create(fourth, bounds), [second.id])
    t.same(await store.create(fifth, bounds), [third.id])
    t.same(await store.create(sixth, bounds), [fourth.id], 'the owner\'s own go first')
    for (const { id } of [second, third, fourth]) t.equal(await store.get(id), undefined)
    for (const { id } of [first, fifth, sixth, ...others]) t.equal((await store.get(id))?.id, id)
    t.same(
      (await store.create(by('e'), { perOwner: 1, perPerson: 1 })).sort(),
      [first.id, fifth.id, sixth.id].sort(),
      'all, where the limit went down'
    )
  })

  t.test('sessions of a person begun at once, by one client each, keep to the limit', { buffered: true }, async t => {
    const { replicas, clock } = await makeStore(t, { idleSeconds: 60 })
    const records = Array.from(
      { length: 50 },
      (_, index) => recordFor(clock, { owner: { ...alice, clientId: `c${index}` } })
    )
    const ended = (await atOnce(replicas, 50, (replica, index) =>
      replica.create(records[index] ?? recordFor(clock), { perOwner: 5, perPerson: 7 }))).flat()
    t.equal(new Set(ended).size, 43, 'each is ended once')
    const alive = (await Promise.all(records.map(({ id }) =>
      replicas[0].get(id)
    ))).filter(record =>
      record !== undefined
    )
    t.equal(alive.length, 7)
  })

  t.test('sessions that have ended make room without being ended again', { buffered: true }, async t => {
    const { replicas: [store], clock } = await makeStore(t, { idleSeconds: 2 })
    const deleted = recordFor(clock)
    for (const record of [deleted, recordFor(clock)]) await store.create(record, each(2))
    await store.delete(deleted.id)
    t.same(await store.create(recordFor(clock), each(2)), [])
    await clock.pass(2.1)
    for (const record of [recordFor(clock), recordFor(clock)]) t.same(await store.create(record, each(2)), [])
  })

  t.test('sessions begun at once keep to the limit', { buffered: true }, async t => {
    const { replicas, clock } = await makeStore(t, { idleSeconds: 60 })
    const records = Array.from({ length: 50 }, () => recordFor(clock))
    const ended = (await Promise.all(records.map(async (record, index) =>
      await (replicas[index % replicas.length] ?? replicas[0]).create(record, each(5))
    ))).flat()
    t.equal(ended.length, 45)
    t.equal(new Set(ended).size, 45, 'each is ended once')
    const alive = (await Promise.all(records.map(({ id }) =>
      replicas[0].get(id)
    ))).filter(record =>
      record !== undefined
    )
    t.equal(alive.length, 5)
    t.notOk(alive.some(({ id }) => ended.includes(id)))
  })

  t.test('no name is another\'s', { buffered: true }, async t => {
    const { replicas: [store], clock } = await makeStore(t, { idleSeconds: 60 })
    const owners = [
      { issuer: 'a', subject: 'b', clientId: 'c' },
      { issuer: 'a', subject: 'b:c', clientId: '' },
      { issuer: 'a:b', subject: 'c', clientId: '' },
      { issuer: 'a","b', subject: '', clientId: 'c' },
      { issuer: '{a}', subject: '__proto__', clientId: 'c' },
      { issuer: 'A', subject: 'b', clientId: 'c' }
    ]
    const records = owners.map(owner => recordFor(clock, { owner }))
    for (const record of records) t.same(await store.create(record, each(1)), [])
    for (const record of records) t.same((await store.get(record.id))?.owner, record.owner)
    for (const id of ['__proto__', 'constructor', '', '*', 'session-*', '{x}']) {
      t.equal(await store.get(id), undefined, id)
      t.equal(await store.delete(id), false, id)
    }
  })

  t.test('callers who have not logged in have half of the sessions, all together', { buffered: true }, async t => {
    const { replicas: [store], clock } = await makeStore(t, { idleSeconds: 60, maxSessions: 8 })
    const bounds = { perOwner: 10, perPerson: 10 }
    const from = (address: string) => recordFor(clock, { owner: nobody(address) })
    const first = [from('a'), from('a'), from('a'), from('b')]
    for (const record of first) t.same(await store.create(record, bounds), [])
    await t.rejects(store.create(from('a'), bounds), SessionsFullError, 'no room for who has the most')
    await store.touch(first[0]?.id ?? '', epoch(clock))
    t.same(await store.create(from('c'), bounds), [first[1]?.id], 'the address with the most makes room for another')
    t.same(await store.create(from('c'), { perOwner: 10, perPerson: 1 }).then(ended => ended.length), 1, 'its own ends')
    await t.rejects(store.create(from('d'), bounds).then(async () => await store.create(from('e'), bounds)),
      SessionsFullError, 'no room for one address more')
    const people = ['carol', 'dave', 'eve', 'mallory'].map(subject =>
      recordFor(clock, { owner: { ...alice, subject } }))
    for (const record of people) t.same(await store.create(record, bounds), [], 'people have room')
    const refused = from('f')
    await t.rejects(store.create(refused, bounds), SessionsFullError)
    t.equal(await store.get(refused.id), undefined)
    for (const { id } of people) t.equal((await store.get(id))?.id, id, 'nobody\'s session has ended for them')
    t.equal(await store.delete(first[0]?.id ?? ''), true)
    const next = from('f')
    t.same(await store.create(next, bounds), [], 'one that has ended makes room')
    t.equal((await store.get(next.id))?.id, next.id)
  })

  t.test('sessions of many addresses begun at once keep to their share', { buffered: true }, async t => {
    const { replicas, clock } = await makeStore(t, { idleSeconds: 2, maxSessions: 20 })
    const records = Array.from({ length: 50 }, (_, index) => recordFor(clock, { owner: nobody(`address ${index}`) }))
    const begun = await atOnce(replicas, 50, async (replica, index) =>
      await replica.create(records[index] ?? recordFor(clock), each(5)).then(() => true, (error: unknown) => {
        if (!(error instanceof SessionsFullError)) throw error
        return false
      }))
    t.same(countsOf(begun), { true: 10, false: 40 })
    const alive = await Promise.all(records.map(({ id }) => replicas[0].get(id)))
    t.equal(alive.filter(record => record !== undefined).length, 10)
    await clock.pass(2.1)
    for (let index = 0; index < 10; index++) {
      t.same(await replicas[0].create(recordFor(clock, { owner: nobody(`next ${index}`) }), each(5)), [])
    }
  })
}
