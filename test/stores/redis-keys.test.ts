import { readFile } from 'node:fs/promises'
import t from 'tap'
import { toOwner } from '../../src/caller.js'
import { makeAnonymousCaller } from '../../src/mcp/anonymous-callers.js'
import { STANDALONE_STREAM, firstEventId, type EventReader } from '../../src/stores/event-log.js'
import type { SessionRecord } from '../../src/stores/sessions.js'
import type { Stores } from '../../src/stores/stores.js'
import { redisKeys, type KeyName } from '../../src/stores/redis/keys.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'
import { addGrant, later, tokensOf } from './standing-grant.js'

const silent: EventReader = { onEvent () {}, onEnd () {} }

function sessionOf (id: string): SessionRecord {
  return {
    id,
    kind: 'streamable-http',
    owner: { issuer: 'i', subject: 's', clientId: 'c' },
    initialized: true,
    subscriptions: [],
    lastSeenAt: later(0),
    expiresAt: later(600)
  }
}

/** Writes everything there is to write. */
async function writeAll (
  {
    clients,
    upstreamDeletions,
    metadataDocuments,
    authorizations,
    consents,
    grants,
    loginSteps,
    visits,
    replicaKeys,
    rates,
    leases,
    callLimits,
    bus,
    sessions,
    eventLog,
    tasks
  }: Stores,
  other: Stores
): Promise<void> {
  for (const [clientId, kept] of [['kept', true], ['unused', false]] as const) {
    await clients.add(
      { clientId, metadata: { redirect_uris: [] }, issuedAt: later(0), expiresAt: later(60) },
      '198.51.100.1'
    )
    if (kept) await clients.keep(clientId, later(60))
  }
  await metadataDocuments.put({
    clientId: 'https://c.example/x',
    metadata: {},
    freshUntil: later(10),
    staleUntil: later(20)
  })
  await authorizations.add('transaction', {
    browserHash: 'h',
    clientId: 'c',
    redirectUri: 'u',
    codeChallenge: 'x',
    resource: 'r',
    scopes: [],
    consent: 'given'
  }, { address: 'a', ttlSeconds: 60 })
  await consents.remember('someone', {
    clientId: 'c',
    redirectUri: 'u',
    resource: 'r',
    scopes: [],
    expiresAt: later(60)
  })
  await addGrant(grants, 'grant')
  const rotate = (name: string) => grants.rotate('refresh-1', tokensOf('grant', name), 60)
  await Promise.all(Array.from({ length: 10 }, (_, index) => rotate(`2.${index}`)))
  await grants.replaceUpstreamTokens('grant', 0, 'sealed anew')
  await loginSteps.append({ step: 'registration', at: 1, links: [] })
  await replicaKeys.append({ replica: 'r', host: 'h', fingerprints: { 1: 'f' } })
  await visits.append({ request: 'challenge', at: 1, status: 401, address: 'a', userAgent: 'u' })
  await rates.add(1, 1)
  await upstreamDeletions.add([{ clientId: 'c', sealed: 's' }])
  await upstreamDeletions.claim(1, 60)
  await leases.acquire('work', 'holder', 60_000)
  const limits = { callsPerMinute: 2, callsPerDay: 2, concurrentCalls: 2 }
  await callLimits.take('person', [{ name: 'all', calls: ['call'], counted: 1, limits }], 60_000)
  await bus.publish('grantEnded', { grantId: 'another' })
  await bus.publish('sessionChanged', { sessionId: 'two', origin: 'r', version: 1 })
  bus.listenAs('replica')
  const heard: string[] = []
  bus.subscribe('callAbandoned', ({ callId }) => { heard.push(callId) })
  // the first ones come before anybody listens
  while (heard.length === 0) await other.bus.send('replica', 'callAbandoned', { replicaId: 'replica', callId: 'c' })
  for (const id of ['one', 'two', 'three']) await sessions.create(sessionOf(id), { perOwner: 2, perPerson: 10 })
  const owner = toOwner(makeAnonymousCaller('198.51.100.1'))
  await sessions.create({ ...sessionOf('nobody'), owner }, { perOwner: 2, perPerson: 10 })
  await sessions.change('two', { subscribe: 'file:///a' }, 'r')
  await sessions.touch('two', later(1))
  await tasks.create('holder', { id: 'a', ttl: 60_000, pollInterval: 1 })
  await tasks.enqueue('holder', 'a', 'message')
  await tasks.create('holder', { id: 'b', ttl: 60_000, pollInterval: 1 })
  await tasks.change('holder', 'b', { status: 'completed', result: '{}' })
  await eventLog.open('two', 'complete', { requestIds: [1] })
  await eventLog.append('two', 'complete', [{ data: 'x', isKept: true, isFinal: true }])
  await eventLog.open('two', 'open', {})
  await eventLog.append('two', 'open', [{ data: 'x' }])
  await eventLog.open('two', 'read once', {})
  await eventLog.append('two', 'read once', [{ data: 'x' }])
  await eventLog.follow('two', 'read once', firstEventId('read once'), silent)
  await eventLog.append('two', STANDALONE_STREAM, [{ data: 'x' }])
  await eventLog.follow('two', STANDALONE_STREAM, undefined, silent)
}

/** What stands in the place of each `<…>` of a pattern, for each key that `writeAll` leaves. */
const WRITTEN: Readonly<Record<KeyName, readonly string[][]>> = {
  registration: [['client', 'kept'], ['client', 'unused']],
  unusedRegistrations: [['client']],
  usedRegistrations: [['client']],
  registrationsOfAddress: [['client', '198.51.100.1']],
  registrationSizes: [['client']],
  registrationSums: [['client']],
  dueDeletions: [[]],
  deletions: [[]],
  deletionAttempts: [[]],
  document: [['https://c.example/x']],
  documents: [[]],
  authorization: [['transaction']],
  authorizationEnds: [[]],
  authorizationSizes: [[]],
  authorizationSums: [[]],
  consents: [['someone']],
  codePointer: [['code-1']],
  accessPointer: [['access-1'], ['access-2.0']],
  refreshPointer: [['refresh-1'], ['refresh-2.0']],
  grant: [['grant']],
  grantCode: [['grant', 'code-1']],
  grantAccess: [['grant', 'access-1'], ['grant', 'access-2.0']],
  grantRefresh: [['grant', 'refresh-1'], ['grant', 'refresh-2.0']],
  grantResponse: [['grant', 'refresh-1']],
  grantIssued: [['grant']],
  grantRotated: [['grant']],
  grantsOfPerson: [['…']],
  loginSteps: [[]],
  visits: [[]],
  replicaKeys: [[]],
  rates: [[]],
  calls: [['…']],
  runningCalls: [['…', 'all']],
  lease: [['work']],
  sessionPointer: [['one'], ['two'], ['three'], ['nobody']],
  // of a person, and of all who have not logged in
  sessions: [['…'], ['…']],
  sessionsOfClient: [['…', '…'], ['…', '…']],
  sessionEnds: [['…'], ['…']],
  sessionsOfAddresses: [['…']],
  session: [['…', 'two'], ['…', 'three'], ['…', 'nobody']],
  log: [['two']],
  logBytes: [['two']],
  logStream: ['complete', 'get', 'open', 'read once'].map(stream => ['two', stream]),
  logEvents: ['complete', 'get', 'open', 'read once'].map(stream => ['two', stream]),
  tasks: [['…']],
  task: [['…', 'a'], ['…', 'b']],
  taskMessages: [['…', 'a']],
  bus: [[]],
  busState: [[]],
  busControl: [[]],
  busControlState: [[]],
  busOfReplica: [['replica']],
  busOfReplicaState: [['replica']]
}

/** Every key that `writeAll` leaves, with its type. */
function writtenKeys (): Array<readonly [key: string, type: string]> {
  return Object.entries(WRITTEN).flatMap(([name, examples]) => {
    const { pattern, type } = Object.entries(redisKeys).find(([known]) => known === name)?.[1] ??
      { pattern: '', type: '' }
    return examples.map(fields => {
      const left = [...fields]
      return [pattern.replace(/<[^>]+>/g, () => left.shift() ?? ''), type] as const
    })
  })
}

redisTest('every key is a known one, and everything expires', async (t, server) => {
  const [stores, other] = await redisReplicas(t, server)
  const admin = server.admin(t)
  if (stores === undefined || other === undefined) throw new Error('There are no replicas.')
  await writeAll(stores, other)
  const found = await Promise.all((await admin.keys('*')).map(async key => {
    const name = key.replace(/^test-\d+:/, '').replace(/\{[\w-]{22}\}/, '{…}').replace(/(person|\}:of):[\w-]{22,43}/, '$1:…')
    return { name, type: await admin.type(key), ttl: await admin.ttl(key) }
  }))
  t.same(
    found.map(({ name, type }) => `${name} ${type}`).sort(),
    writtenKeys().map(([key, type]) => `${key} ${type}`).sort()
  )
  t.same(found.filter(({ ttl }) => ttl < 0).map(({ name }) => name), [])
  for (const { name, ttl } of found) t.ok(ttl <= 7 * 86_400 + 60, `${name} in ${ttl} s`)
})

t.test('docs/storage.md has the table of keys', async t => {
  const rows = (await readFile('docs/storage.md', 'utf8')).matchAll(
    /^\| `:([^`]+)` \| ([^|]+) \| [^|]+ \| ([^|]+) \|$/gm
  )
  t.same(
    Array.from(rows, ([, pattern, type, expires]) => ({ pattern, type, expires })),
    Object.values(redisKeys).map(({ type, ...key }) => ({ ...key, type: type === 'zset' ? 'sorted set' : type }))
  )
})

redisTest('what is ended is gone', async (t, server) => {
  const [stores, other] = await redisReplicas(t, server)
  const admin = server.admin(t)
  if (stores === undefined || other === undefined) throw new Error('There are no replicas.')
  await writeAll(stores, other)
  for (const id of ['one', 'two', 'three', 'nobody']) await stores.sessions.delete(id)
  await stores.eventLog.deleteSession('two')
  await stores.grants.end('grant')
  await stores.leases.release('work', 'holder')
  await stores.authorizations.take('transaction')
  const left = (await admin.keys('*')).map(key => key.replace(/^test-\d+:/, ''))
  t.same(left.filter(key => /^(session|owner|log:|lease|authorization|grant:\{grant\}$)/.test(key)), [])
})

redisTest('a session\'s events are bounded, and its oldest answers go first', async (t, server) => {
  const [stores] = await redisReplicas(
    t,
    server,
    { eventLog: { maxBytesPerSession: 5000, maxBytesPerStream: 2000 } },
    1
  )
  if (stores === undefined) throw new Error('There is no replica.')
  const { eventLog } = stores
  for (const streamId of ['a', 'b', 'c', 'd']) {
    await eventLog.open('s', streamId, {})
    for (let index = 0; index < 5; index++) {
      await eventLog.append('s', streamId, [
        { data: 'x'.repeat(500), isFinal: index === 4 }
      ])
    }
  }
  t.same(await Promise.all(['a', 'b', 'c', 'd'].map(streamId => bytesOf(stores, 's', streamId))), [
    undefined,
    undefined,
    2000,
    2000
  ])
  await eventLog.open('s', 'open', {})
  for (let index = 0; index < 20; index++) await eventLog.append('s', 'open', [{ data: 'y'.repeat(500) }])
  t.same(await Promise.all(['c', 'd', 'open'].map(streamId => bytesOf(stores, 's', streamId))), [undefined, 2000, 2000])
})

redisTest('event ids that Redis cannot have given out', async (t, server) => {
  const [stores] = await redisReplicas(t, server, {}, 1)
  if (stores === undefined) throw new Error('There is no replica.')
  await stores.eventLog.open('s', 'a', {})
  for (const position of ['-', '1-2-3', '-1', '1-', `${2n ** 64n - 1n}`, '9'.repeat(40), `1-${2n ** 64n}`]) {
    t.equal(await stores.eventLog.follow('s', 'a', `a:${position}`, silent), undefined, position)
  }
  t.ok(await stores.eventLog.follow('s', 'a', 'a:17', silent), 'while one of another backend reads on')
})

async function bytesOf ({ eventLog }: Stores, sessionId: string, streamId: string): Promise<number | undefined> {
  let bytes = 0
  const following = await eventLog.follow(sessionId, streamId, firstEventId(streamId), {
    onEvent: ({ data }) => {
      bytes += data.length
    },
    onEnd () {}
  })
  following?.stop()
  return following === undefined ? undefined : bytes
}
