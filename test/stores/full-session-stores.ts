import type { Test } from 'tap'
import { SessionsFullError } from '../../src/errors.js'
import type { SessionStore } from '../../src/stores/sessions.js'
import { epoch, type Make } from './backend.js'

/** What a store of one process does when it is full. */
export async function fullSessionStores (
  t: Test,
  make: Make<SessionStore, { idleSeconds: number, maxSessions: number }>
): Promise<void> {
  t.test('a full session store refuses who has as many as all others', async t => {
    const { replicas: [store], clock } = await make(t, { idleSeconds: 60, maxSessions: 2 })
    const now = epoch(clock)
    const record = (subject: string) => ({
      id: `of-${subject}`,
      kind: 'sse' as const,
      owner: { issuer: 'i', subject, clientId: 'c' },
      initialized: false,
      subscriptions: [],
      lastSeenAt: now,
      expiresAt: now + 60
    })
    for (const subject of ['alice', 'bob']) await store.create(record(subject), { perOwner: 1, perPerson: 1 })
    await t.rejects(store.create(record('carol'), { perOwner: 1, perPerson: 1 }), SessionsFullError)
    t.same(
      await store.create({ ...record('alice'), id: 'another' }, { perOwner: 1, perPerson: 1 }),
      ['of-alice'],
      'an owner may replace their own'
    )
  })

  t.test('in a full session store the person with the most makes room for who has less', async t => {
    const { replicas: [store], clock } = await make(t, { idleSeconds: 60, maxSessions: 4 })
    const now = epoch(clock)
    let count = 0
    const begin = async (subject: string) =>
      await store.create({
        id: `${subject}-${++count}`,
        kind: 'sse',
        owner: { issuer: 'i', subject, clientId: `c${count}` },
        initialized: false,
        subscriptions: [],
        lastSeenAt: now,
        expiresAt: now + 60
      }, { perOwner: 10, perPerson: 10 })
    for (let index = 0; index < 4; index++) t.same(await begin('greedy'), [])
    await store.touch('greedy-1', now)
    await t.rejects(begin('greedy'), SessionsFullError)
    t.same(await begin('alice'), ['greedy-2'], 'the least recently seen')
    t.same(await begin('alice'), ['greedy-3'])
    await t.rejects(begin('alice'), SessionsFullError, 'two each')
    t.same(await begin('bob'), ['greedy-4'])
    await t.rejects(begin('bob'), SessionsFullError)
  })
}
