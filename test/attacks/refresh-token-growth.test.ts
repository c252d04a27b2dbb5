import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { MAX_ACCESS_TOKENS_OF_GRANT, MAX_GRANTS_OF_ONE } from '../../src/stores/grants.js'
import { MemoryGrantStore } from '../../src/stores/memory/grants.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import type { Stores } from '../../src/stores/stores.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'
import { clock } from '../support/clock.js'
import {
  authorize,
  isGood,
  newTokens,
  redeem,
  refresh,
  register,
  parseTokens,
  withOtherEnd,
  WEB_URI,
  type Client,
  type Tokens
} from '../support/oauth-flow.js'
import { embed, type Target } from '../support/target.js'

const GENERATIONS = 12
const ROOM = { requestsPerMinute: 100_000 }

/** Every generation of a login's tokens, the first first. */
async function generations (target: Target, client: Client, count = GENERATIONS): Promise<Tokens[]> {
  const all = [await newTokens(target, client)]
  for (let index = 1; index < count; index++) {
    all.push(parseTokens(await refresh(target, client, all.at(-1)?.refreshToken ?? '')))
  }
  return all
}

async function tokensFor (target: Target, client: Client, as: string): Promise<Tokens> {
  return parseTokens(await redeem(target, client, (await authorize(target, client, { as })).get('code') ?? ''))
}

/** However old a token, its replay ends the login, and nobody else's replay does. */
async function replayIsNoticed (
  t: Test,
  target: Target,
  pass: () => Promise<void>,
  ages = [1, 2, GENERATIONS - 1]
): Promise<void> {
  const [client, other] = [await register(target, WEB_URI), await register(target, WEB_URI)]
  for (const age of ages) {
    const all = await generations(target, client)
    await pass()
    const [last, old] = [all.at(-1), all.at(-1 - age)]
    if (last === undefined || old === undefined) throw new Error('no tokens')
    t.equal(
      (await refresh(target, other, old.refreshToken)).error,
      'invalid_grant',
      `a token ${age} generations old, of another client`
    )
    t.equal(
      (await refresh(target, client, withOtherEnd(old.refreshToken))).error,
      'invalid_grant',
      'altered'
    )
    t.ok(await isGood(target, last.accessToken), 'that harms nobody')
    const replayed = await refresh(target, client, old.refreshToken)
    t.strictSame([replayed.status, replayed.error], [400, 'invalid_grant'], `a token ${age} generations old is refused`)
    t.match(replayed.member('error_description'), /used before/)
    t.notOk(await isGood(target, last.accessToken), 'and ends the login')
    t.equal((await refresh(target, client, last.refreshToken)).error, 'invalid_grant')
  }
}

t.test('in memory, a replay is noticed of however old a token', async t => {
  const time = clock(t)
  const target = await embed(t, { ...ROOM, stores: createMemoryStores({ sessionIdleSeconds: 60 }) })
  await replayIsNoticed(t, target, async () => { time.forward(90) })
})

t.test('an expired token is not a replay', async t => {
  const time = clock(t)
  const target = await embed(t, {
    ...ROOM,
    stores: createMemoryStores({ sessionIdleSeconds: 60 }),
    lifetimes: { refreshTokenSeconds: 600, accessTokenSeconds: 3600 }
  })
  const client = await register(target, WEB_URI)
  const { accessToken, refreshToken } = await newTokens(target, client)
  time.forward(601)
  t.equal((await refresh(target, client, refreshToken)).error, 'invalid_grant')
  t.ok(await isGood(target, accessToken), 'what is left of the login goes on')
})

t.test('one person\'s refreshing and logging in makes nobody else\'s tokens go', async t => {
  const grants = new MemoryGrantStore({ maxEntries: 160 })
  t.teardown(() => { grants.close() })
  const target = await embed(t, { ...ROOM, stores: { ...createMemoryStores({ sessionIdleSeconds: 60 }), grants } })
  const client = await register(target, WEB_URI)
  const bob = await tokensFor(target, client, 'bob')
  const alice = await generations(target, client, 170)
  t.ok(await isGood(target, bob.accessToken))
  const good = []
  for (const { accessToken } of alice.slice(-MAX_ACCESS_TOKENS_OF_GRANT - 2)) {
    good.push(await isGood(target, accessToken))
  }
  t.strictSame(good, [false, false, ...Array<boolean>(MAX_ACCESS_TOKENS_OF_GRANT).fill(true)], 'her own oldest go')
  const [grant] = await grants.findGrantsOf(target.upstream.issuer, 'alice')
  if (grant === undefined) throw new Error('no grant')
  for (let login = 1; login < MAX_GRANTS_OF_ONE; login++) {
    const others = { ...grant, grantId: `other-${login}`, expiresAt: grant.expiresAt + login }
    await grants.putCode(`code-${login}`, {
      grant: others,
      redirectUri: WEB_URI,
      codeChallenge: 'x',
      expiresAt: grant.expiresAt,
      used: false
    })
    await grants.redeemCode(`code-${login}`, {
      access: { hash: `access-${login}`, record: { grantId: others.grantId, scopes: [], expiresAt: grant.expiresAt } },
      sealedResponse: ''
    })
  }
  t.ok(await isGood(target, alice.at(-1)?.accessToken ?? ''), 'so many logins she may have')
  await tokensFor(target, client, 'alice')
  t.equal(
    (await refresh(target, client, alice.at(-1)?.refreshToken ?? '')).error,
    'invalid_grant',
    'the one that ends first has gone for one more'
  )
  t.equal((await refresh(target, client, bob.refreshToken)).status, 200)
})

redisTest('in Redis, a rotation leaves nothing behind but its access token', async (t, server) => {
  const [stores] = await redisReplicas(t, server, {}, 1)
  if (stores === undefined) throw new Error('There is no replica.')
  const admin = server.admin(t)
  const target = await embed(t, { ...ROOM, stores, lifetimes: { refreshTokenReuseSeconds: 1 } })
  const client = await register(target, WEB_URI)
  const counted = async (): Promise<[refresh: number, access: number, bytes: number]> => {
    const keys = await admin.keys('*')
    const bytes = await Promise.all(
      keys.filter(key => /:(refresh|access|grant)/.test(key)).map(async key =>
        Number(await admin.call('MEMORY', 'USAGE', key))
      )
    )
    return [
      keys.filter(key => key.includes('refresh')).length,
      keys.filter(key => key.includes('access')).length,
      bytes.reduce((sum, of) => sum + of, 0)
    ]
  }
  const all = await generations(target, client, MAX_ACCESS_TOKENS_OF_GRANT)
  const settled = async (): Promise<number> => {
    // of the newest token: its record, and the pointer to it; likewise of each access token that is good
    for (;;) {
      const [refreshKeys, accessKeys, bytes] = await counted()
      if (refreshKeys === 2 && accessKeys === 2 * MAX_ACCESS_TOKENS_OF_GRANT) return bytes
      await delay(20)
    }
  }
  const before = await settled()
  for (let index = 0; index < 2 * GENERATIONS; index++) {
    all.push(parseTokens(await refresh(target, client, all.at(-1)?.refreshToken ?? '')))
  }
  const grown = await settled() - before
  t.ok(Math.abs(grown) < 200, `${2 * GENERATIONS} rotations more: ${grown} bytes more`)
})

redisTest('in Redis, a replay is noticed of however old a token', async (t, server) => {
  const replicas: Stores[] = await redisReplicas(t, server, {}, 1)
  const [stores] = replicas
  if (stores === undefined) throw new Error('There is no replica.')
  const admin = server.admin(t)
  const target = await embed(t, { ...ROOM, stores, lifetimes: { refreshTokenReuseSeconds: 1 } })
  await replayIsNoticed(t, target, async () => {
    while ((await admin.keys('*:response')).length > 0) await delay(20)
  }, [1, GENERATIONS - 1])
})
