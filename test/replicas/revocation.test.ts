import { setImmediate as turn } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import type { Test } from 'tap'
import { revoke } from '../support/oauth-flow.js'
import { next, readEvents } from '../support/raw-http.js'
import { logInAt, RawSession, type Login } from '../support/raw-session.js'
import { redisTest } from '../support/redis-server.js'
import { freePort } from '../support/free-port.js'
import { ReplicaSet, type LocalReplica } from './replica-set.js'

/*
 * Who is logged out is logged out everywhere, whatever state Redis is in, and whatever messages were missed.
 */
redisTest('the end of a login or a session reaches every replica', async (t, server) => {
  const port = await freePort()
  const set = await ReplicaSet.start(t, server.url, port)
  const here = await set.local(port)
  const there = await set.local(await freePort())
  const redis = server.admin(t)

  await t.test('revoked while Redis is full', async t => {
    const { login, ended } = await listen(t, here, there)
    await redis.config('SET', 'maxmemory', '1')
    t.teardown(() => redis.config('SET', 'maxmemory', '0'))
    const target = { url: here.url, fetch }
    t.equal((await revoke(target, login.client, login.accessToken)).status, 200)
    await ended
    t.equal((await revoke(target, login.client, login.accessToken)).status, 200, 'and again')
    await redis.config('SET', 'maxmemory', '0')
    t.equal(await pingStatus(there, login), 401)
  })

  await t.test('deleted while Redis is full', async t => {
    const { session, ended } = await listen(t, here, there)
    await redis.config('SET', 'maxmemory', '1')
    t.teardown(() => redis.config('SET', 'maxmemory', '0'))
    t.equal((await session.delete(here.url)).status, 200)
    await ended
  })

  for (
    const [what, keys] of Object.entries({
      'the end of a grant': ({ grantId }: { grantId: string }) => [`grant:{${grantId}}`],
      'the end of a session': ({ sessionId }: { sessionId: string }) => [`sessions:*:session:${sessionId}`]
    })
  ) {
    await t.test(`${what}, of which the message was missed`, async t => {
      const before = new Set(await redis.keys('mcp:grant:{*}'))
      const { session, ended } = await listen(t, here, there)
      const grantKey = (await redis.keys('mcp:grant:{*}')).find(key => !before.has(key) && key.endsWith('}')) ?? ''
      const grantId = grantKey.slice('mcp:grant:{'.length, -1)
      for (const pattern of keys({ grantId, sessionId: session.sessionId })) {
        const found = await redis.keys(`mcp:${pattern}`)
        t.equal(found.length, 1)
        await redis.del(...found)
      }
      await interrupt(redis)
      await ended
    })
  }

  await t.test('a token that was looked up just now, after messages may have been missed', async t => {
    const { login, ended } = await listen(t, here, there)
    const grants = (await redis.keys('mcp:grant:{*}')).filter(key => key.endsWith('}'))
    t.equal(await pingStatus(there, login), 200)
    await redis.del(...grants)
    await interrupt(redis)
    const begun = Date.now()
    while (await pingStatus(there, login) !== 401) await turn()
    t.ok(Date.now() - begun < 4000, 'before it would have been looked up anyway')
    await ended
  })
})

/** A stream of a new login's session at `there`, and when it has ended. */
async function listen (
  t: Test,
  here: LocalReplica,
  there: LocalReplica
): Promise<{ login: Login, session: RawSession, ended: Promise<void> }> {
  const login = await logInAt(here.url)
  const session = await RawSession.open(here.url, login)
  const leave = new AbortController()
  t.teardown(() => { leave.abort() })
  const stream = readEvents(await session.get(there.url, undefined, leave.signal))
  await next(stream)
  const end = async () => {
    while ((await stream.next()).done !== true);
  }
  return { login, session, ended: end() }
}

async function pingStatus ({ url }: LocalReplica, { accessToken }: Login): Promise<number> {
  const response = await fetch(`${url}/mcp`, {
    method: 'GET',
    headers: { authorization: `Bearer ${accessToken}`, accept: 'text/event-stream' }
  })
  await response.body?.cancel()
  return response.status === 401 ? 401 : 200
}

/** Cuts the connections that listen. They come back at once. */
async function interrupt (redis: Redis): Promise<void> {
  await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
}
