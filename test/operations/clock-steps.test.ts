import { join } from 'node:path'
import t, { type Test } from 'tap'
import { waitWhile } from '../../src/collections/wait-while.js'
import { InvalidTokenError, TemporarilyUnavailableError } from '../../src/errors.js'
import { createTokenVerifier } from '../../src/oauth/resource-server/resource-server.js'
import { kSessions } from '../../src/plugins/mcp/sessions.js'
import { firstEventId } from '../../src/stores/event-log.js'
import { leaseNames, type LeaseStore } from '../../src/stores/leases.js'
import { MemoryBus } from '../../src/stores/memory/bus.js'
import { MemoryEventLog } from '../../src/stores/memory/event-log.js'
import { MemoryLeaseStore } from '../../src/stores/memory/leases.js'
import { MemorySessionStore } from '../../src/stores/memory/sessions.js'
import { openDatabase } from '../../src/stores/sqlite/database/open.js'
import { SqliteLeaseStore } from '../../src/stores/sqlite/leases.js'
import { SqliteSessionStore } from '../../src/stores/sqlite/sessions.js'
import { fetchFrom } from '../../src/testing/inject-fetch.js'
import { clock } from '../support/clock.js'
import { RawClient, startMcp } from '../support/mcp-harness.js'

/* The clock of the machine is set: by an hour or a day, back or forward. */
const HOUR = 3600
const STEPS = { 'an hour back': -HOUR, 'a day back': -24 * HOUR, 'an hour forward': HOUR, 'a day forward': 24 * HOUR }

const open = (t: Test) => {
  const database = openDatabase({ file: join(t.testdir({}), 'state.sqlite') })
  t.teardown(() => { database.close() })
  return database
}

for (const [what, seconds] of Object.entries(STEPS)) {
  t.test(`${what}: who waits is told in time`, async t => {
    const { forward } = clock(t)
    const begun = performance.now()
    const waiting = waitWhile(() => true, 50)
    forward(seconds)
    await waiting
    const waited = performance.now() - begun
    t.ok(waited >= 45 && waited < 10_000, `${waited} ms`)
  })

  t.test(`${what}: leases of who works last as long as they should, those of what was done no less`, async t => {
    const { forward } = clock(t)
    const stores: LeaseStore[] = [new MemoryLeaseStore(), new SqliteLeaseStore(open(t))]
    const [working, done] = [leaseNames.upstreamRefresh('a'), leaseNames.clientAssertion('b')]
    for (const store of stores) {
      await store.acquire(working, 'me', 60_000)
      await store.acquire(leaseNames.handOver('c'), 'me', 1)
      await store.acquire(done, 'me', 120_000)
    }
    await waitWhile(() => true, 5)
    forward(seconds)
    for (const store of stores) {
      t.equal(await store.isHeld(working), true, 'work goes on')
      t.equal(await store.isHeld(leaseNames.handOver('c')), false, 'what is over is over')
      // an assertion is good by the same clock
      t.equal(await store.isHeld(done), seconds < 0, 'and is not good twice')
    }
  })

  t.test(`${what}: a response can be resumed`, async t => {
    const { forward } = clock(t)
    const log = new MemoryEventLog({ retentionSeconds: 60 })
    t.teardown(() => { log.close() })
    await log.open('session', 'stream', { requestIds: [1] })
    await log.append('session', 'stream', [{ data: 'the response', isKept: true, isFinal: true }])
    forward(seconds)
    const events: string[] = []
    await log.follow('session', 'stream', firstEventId('stream'), {
      onEvent: ({ data }) => { events.push(data) },
      onEnd: () => {}
    })
    t.strictSame(events, ['the response'])
  })
}

t.test('back: an instance that is idle is dropped, and its session goes on', async t => {
  const service = await startMcp(t, { limits: { instanceIdleSeconds: 10, idleSeconds: 3600 } })
  const client = await new RawClient(service).connect()
  const { [kSessions]: sessions } = service.app
  t.equal(sessions.counts.instances, 1)
  const { forward } = clock(t)
  forward(-24 * HOUR)
  sessions.tidy(Date.now())
  await waitWhile(() => true, 1)
  sessions.tidy(Date.now() + 11_000)
  t.equal(sessions.counts.instances, 0, 'ten seconds later, not a day')
  t.equal((await client.request('tools/list')).status, 200)
})

t.test('back: a session is kept, and ends when it would have ended', async t => {
  let now = Date.now()
  const options = { bus: new MemoryBus(), idleSeconds: HOUR, now: () => now }
  const memory = new MemorySessionStore(options)
  t.teardown(() => { memory.close() })
  const epoch = Math.floor(now / 1000)
  for (const store of [memory, new SqliteSessionStore(open(t), options)]) {
    now = epoch * 1000
    await store.create({
      id: 'session',
      kind: 'streamable-http',
      owner: { issuer: 'https://login.example', subject: 'alice', clientId: 'client' },
      lastSeenAt: epoch,
      expiresAt: epoch + 2 * HOUR,
      initialized: true,
      subscriptions: []
    }, { perOwner: 10, perPerson: 10 })
    now -= 24 * HOUR * 1000
    t.equal(await store.touch('session', epoch - 24 * HOUR), true)
    t.not(await store.get('session'), undefined)
    now += 26 * HOUR * 1000
    t.equal(await store.get('session'), undefined)
  }
})

t.test('back: what an issuer says is not believed for longer, and it is asked again after an outage', async t => {
  let now = Date.now()
  const state = { down: true, active: true, asked: 0 }
  const issuer = 'https://login.test'
  const fetch = fetchFrom(async request => {
    if (state.down) return new Response('', { status: 503 })
    if (new URL(request.url).pathname.startsWith('/.well-known/')) {
      return Response.json({
        issuer,
        introspection_endpoint: `${issuer}/introspect`,
        authorization_endpoint: `${issuer}/a`,
        token_endpoint: `${issuer}/t`
      })
    }
    state.asked++
    return Response.json({ active: state.active, sub: 'alice', client_id: 'app', aud: 'https://mcp.test/mcp' })
  })
  const verify = createTokenVerifier({
    issuer,
    audiences: ['https://mcp.test/mcp'],
    introspection: { clientId: 'rs', clientSecret: 'secret' },
    fetch
  }, () => now)
  await t.rejects(async () => await verify('token'), TemporarilyUnavailableError)
  state.down = false
  now -= HOUR * 1000
  t.match(await verify('token'), { extra: { subject: 'alice' } }, 'the outage is over')
  await verify('token')
  t.equal(state.asked, 1)
  state.active = false
  now -= HOUR * 1000
  await t.rejects(async () => await verify('token'), InvalidTokenError, 'it was revoked')
  state.active = true
  now -= HOUR * 1000
  t.match(await verify('token'), { extra: { subject: 'alice' } }, 'it is good again')
})
