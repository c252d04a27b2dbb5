import { EventEmitter, once } from 'node:events'
import type { Test } from 'tap'
import type { SessionRecord } from '../../src/stores/sessions.js'
import type { Stores } from '../../src/stores/stores.js'
import { addGrant, later, tokensOf } from './standing-grant.js'

type Announcing = Pick<Stores, 'sessions' | 'grants' | 'bus'>

let sequence = 0
const unique = (name: string) => `${name}-${++sequence}`

async function addSession ({ sessions }: Announcing, perOwner = 10, subject = unique('subject')): Promise<string> {
  const id = unique('session')
  const record: SessionRecord = {
    id,
    kind: 'streamable-http',
    owner: { issuer: 'i', subject, clientId: 'c' },
    initialized: false,
    subscriptions: [],
    lastSeenAt: later(0),
    expiresAt: later(600)
  }
  await sessions.create(record, { perOwner, perPerson: 1000 })
  return id
}

async function addUniqueGrant ({ grants }: Announcing, subject = unique('subject')) {
  const [grantId, name] = [unique('grant'), unique('token')]
  await addGrant(grants, grantId, subject, name)
  return { grantId, refresh: `refresh-${name}` }
}

const newTokens = (grantId: string) => tokensOf(grantId, unique('token'))

/** What is done, and what all are told of it, each once. */
const steps: Record<string, (stores: Announcing) => Promise<string[]>> = {
  'a grant ends': async stores => {
    const { grantId } = await addUniqueGrant(stores)
    await stores.grants.end(grantId)
    await stores.grants.end(grantId)
    await stores.grants.end('unknown')
    return [`grant ${grantId}`]
  },
  'a refresh token is replayed': async stores => {
    const { grantId, refresh } = await addUniqueGrant(stores)
    await stores.grants.rotate(refresh, newTokens(grantId), 0.001)
    let outcome = ''
    while (outcome !== 'replayed') ({ outcome } = await stores.grants.rotate(refresh, newTokens(grantId), 0.001))
    return [`grant ${grantId}`]
  },
  'a person has too many grants': async stores => {
    const subject = unique('subject')
    for (let count = 0; count < 101; count++) await addUniqueGrant(stores, subject)
    const ended = await stores.grants.endSurplus('i', subject)
    return ended.map(({ grantId }) => `grant ${grantId}`)
  },
  'a session is deleted': async stores => {
    const id = await addSession(stores)
    await stores.sessions.delete(id)
    await stores.sessions.delete(id)
    return [`session ${id}`]
  },
  'an owner has too many sessions': async stores => {
    const subject = unique('subject')
    const first = await addSession(stores, 2, subject)
    for (let count = 0; count < 2; count++) await addSession(stores, 2, subject)
    return [`session ${first}`]
  },
  'a session changes': async stores => {
    const id = await addSession(stores)
    await stores.sessions.change(id, { initialized: true }, 'replica')
    await stores.sessions.change(id, { subscribe: 'file:///ü"' }, 'replica')
    await stores.sessions.change('unknown', { initialized: true }, 'replica')
    return [`change ${id} 1 replica`, `change ${id} 2 replica`]
  }
}

/** Everything that ends or changes is told by the store itself, to all, and once. */
export async function announcementsContract (t: Test, replicas: readonly Announcing[]): Promise<void> {
  const [first, last = first] = [replicas[0], replicas.at(-1)]
  if (first === undefined || last === undefined) throw new Error('There are no replicas.')
  const told = replicas.map(() => new Array<string>())
  const news = new EventEmitter()
  for (const [index, { bus }] of replicas.entries()) {
    const hear = (what: string) => {
      told[index]?.push(what)
      news.emit('told')
    }
    bus.subscribe('grantEnded', ({ grantId }) => { hear(`grant ${grantId}`) })
    bus.subscribe('sessionEnded', ({ sessionId }) => { hear(`session ${sessionId}`) })
    bus.subscribe('sessionChanged', ({ sessionId, version, origin }) => {
      hear(`change ${sessionId} ${version} ${origin}`)
    })
  }
  const all = async (what: string) => {
    while (!told.every(heard => heard.includes(what))) await once(news, 'told')
  }
  // a subscription may take a moment
  for (const [what, topic] of [['begin', 'grantEnded'], ['begin too', 'sessionEnded']] as const) {
    const message = { grantId: what, sessionId: what }
    while (!told.every(heard => heard.some(text => text.endsWith(` ${what}`)))) {
      const next = once(news, 'told')
      for (const { bus } of replicas) await bus.publish(topic, message)
      await next
    }
  }
  for (const [what, step] of Object.entries(steps)) {
    await t.test(what, async t => {
      for (const heard of told) heard.length = 0
      const expected = await step(last)
      for (const text of expected) await all(text)
      // what is told twice comes before what is told after
      const end = unique('end')
      await last.bus.publish('grantEnded', { grantId: end })
      await last.bus.publish('sessionChanged', { sessionId: end, origin: 'x', version: 1 })
      await all(`grant ${end}`)
      await all(`change ${end} 1 x`)
      t.not(expected.length, 0)
      for (const heard of told) {
        t.same(heard.filter(text => !/ (end|begin)/.test(text)).sort(), expected.sort(), 'each once')
      }
    })
  }
}
