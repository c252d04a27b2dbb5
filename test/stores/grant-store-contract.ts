import type { Test } from 'tap'
import {
  MAX_ACCESS_TOKENS_OF_GRANT,
  MAX_GRANTS_OF_ONE,
  MAX_ROTATED_TOKENS_OF_GRANT,
  type CodeRecord,
  type Grant,
  type GrantStore,
  type IssuedToken,
  type IssuedTokens
} from '../../src/stores/grants.js'
import { atOnce, countsOf, epoch, type Clock, type Make } from './backend.js'

let sequence = 0
const unique = (name: string) => `${name}-${++sequence}`

function grantOf (clock: Clock, changes: Partial<Grant> = {}): Grant {
  return {
    grantId: unique('grant'),
    clientId: 'client-1',
    issuer: 'https://login.example',
    subject: 'alice',
    claims: { name: 'Ålice', groups: ['a', 'b'], empty: [], nothing: null, nested: { x: 1.5 } },
    scopes: ['mcp', 'more'],
    resource: 'https://mcp.example/mcp',
    expiresAt: epoch(clock, 1000),
    sealedUpstreamTokens: 'sealed',
    upstreamVersion: 0,
    ...changes
  }
}

function tokensOf (
  { grantId }: Grant,
  clock: Clock,
  { access = 100, refresh = 200 } = {}
): IssuedTokens & { refresh: IssuedToken } {
  const token = (expiresIn: number) => ({ grantId, scopes: ['mcp'], expiresAt: epoch(clock, expiresIn) })
  return {
    access: { hash: unique('access'), record: token(access) },
    refresh: { hash: unique('refresh'), record: token(refresh) },
    sealedResponse: unique('response')
  }
}

/** A grant whose code was redeemed. */
async function redeemed (
  store: GrantStore,
  clock: Clock,
  changes: Partial<Grant> = {},
  lifetimes: { access?: number, refresh?: number } = {}
) {
  const grant = grantOf(clock, changes)
  const hash = unique('code')
  const code: CodeRecord = {
    grant,
    redirectUri: 'http://localhost/callback',
    codeChallenge: 'challenge',
    expiresAt: epoch(clock, 60),
    used: false
  }
  await store.putCode(hash, code)
  const tokens = tokensOf(grant, clock, lifetimes)
  const outcome = await store.redeemCode(hash, tokens)
  return { grant, code, hash, tokens, outcome }
}

/** What every `GrantStore` keeps to. */
export async function grantStoreContract (t: Test, makeStore: Make<GrantStore>): Promise<void> {
  // by a real clock they wait for most of their time
  t.jobs = 4
  t.test('a code becomes a grant with its tokens', { buffered: true }, async t => {
    const { replicas, clock } = await makeStore(t, {})
    const [store] = replicas
    const grant = grantOf(clock)
    const code: CodeRecord = {
      grant,
      redirectUri: 'http://localhost/callback',
      codeChallenge: 'challenge',
      expiresAt: epoch(clock, 60),
      used: false
    }
    await store.putCode('code', code)
    for (const replica of replicas) t.strictSame(await replica.findCode('code'), code)
    t.equal(await store.findGrant(grant.grantId), undefined, 'not before it is redeemed')
    const tokens = tokensOf(grant, clock)
    t.equal(await store.redeemCode('unknown', tokens), 'unknown')
    t.equal(await store.findAccessToken(tokens.access.hash), undefined)
    t.equal(await store.redeemCode('code', tokens), 'redeemed')
    for (const replica of replicas) {
      t.strictSame(await replica.findGrant(grant.grantId), grant)
      t.strictSame(await replica.findAccessToken(tokens.access.hash), { token: tokens.access.record, grant })
      t.strictSame(await replica.findRefreshToken(tokens.refresh.hash), {
        token: tokens.refresh.record,
        grant,
        rotated: false
      })
      t.match(await replica.findCode('code'), { used: true, grant: { grantId: grant.grantId } })
    }
    for (const hash of [tokens.refresh.hash, 'code', grant.grantId, '__proto__', 'constructor', '']) {
      t.equal(await store.findAccessToken(hash), undefined, `${hash} is no access token`)
    }
    for (const hash of [tokens.access.hash, 'code', grant.grantId, '__proto__']) {
      t.equal(await store.findRefreshToken(hash), undefined, `${hash} is no refresh token`)
    }
    t.equal(await store.findCode(tokens.access.hash), undefined)
  })

  t.test('a client that takes no refresh token gets none', { buffered: true }, async t => {
    const { replicas: [store], clock } = await makeStore(t, {})
    const grant = grantOf(clock)
    const { refresh, ...tokens } = tokensOf(grant, clock)
    await store.putCode('code', {
      grant,
      redirectUri: 'http://localhost/',
      codeChallenge: 'x',
      expiresAt: epoch(clock, 60),
      used: false
    })
    t.equal(await store.redeemCode('code', tokens), 'redeemed')
    t.ok(await store.findAccessToken(tokens.access.hash))
    t.equal(await store.findRefreshToken(refresh.hash), undefined)
  })

  t.test('a code is redeemed once', { buffered: true }, async t => {
    const { replicas, clock } = await makeStore(t, {})
    const grant = grantOf(clock)
    await replicas[0].putCode('code', {
      grant,
      redirectUri: 'http://localhost/',
      codeChallenge: 'x',
      expiresAt: epoch(clock, 60),
      used: false
    })
    const attempts = Array.from({ length: 50 }, () => tokensOf(grant, clock))
    const outcomes = await atOnce(
      replicas,
      50,
      (replica, index) => replica.redeemCode('code', attempts[index] ?? tokensOf(grant, clock))
    )
    t.same(countsOf(outcomes), { redeemed: 1, replayed: 49 })
    const alive = await Promise.all(attempts.map(({ access }) => replicas[0].findAccessToken(access.hash)))
    t.same(countsOf(alive.map(found => found !== undefined)), { true: 1, false: 49 }, 'and only its tokens are good')
    t.ok(alive[outcomes.indexOf('redeemed')])
  })

  t.test('a code expires; a used one is remembered for a replay', { buffered: true }, async t => {
    const { replicas: [store], clock } = await makeStore(t, {})
    const grant = grantOf(clock)
    await store.putCode('unused', {
      grant,
      redirectUri: 'http://localhost/',
      codeChallenge: 'x',
      expiresAt: epoch(clock, 2),
      used: false
    })
    await store.putCode('used', {
      grant,
      redirectUri: 'http://localhost/',
      codeChallenge: 'x',
      expiresAt: epoch(clock, 2),
      used: false
    })
    await store.redeemCode('used', tokensOf(grant, clock, { access: 60 }))
    await clock.pass(2.1)
    t.equal(await store.findCode('unused'), undefined)
    t.equal(await store.redeemCode('unused', tokensOf(grant, clock)), 'unknown')
    t.equal(await store.redeemCode('used', tokensOf(grant, clock)), 'replayed')
  })

  t.test('tokens expire, and so does the grant', { buffered: true }, async t => {
    const { replicas: [store], clock } = await makeStore(t, {})
    const short = await redeemed(store, clock, {}, { access: 2, refresh: 7 })
    const ending = await redeemed(store, clock, { expiresAt: epoch(clock, 7) })
    await clock.pass(2.1)
    t.equal(await store.findAccessToken(short.tokens.access.hash), undefined)
    t.ok(await store.findRefreshToken(short.tokens.refresh.hash))
    t.ok(await store.findAccessToken(ending.tokens.access.hash))
    await clock.pass(5)
    t.equal(await store.findRefreshToken(short.tokens.refresh.hash), undefined)
    t.same(await store.rotate(short.tokens.refresh.hash, tokensOf(short.grant, clock), 60), { outcome: 'unknown' })
    t.equal(await store.findAccessToken(ending.tokens.access.hash), undefined, 'its tokens end with it')
    t.equal(await store.findRefreshToken(ending.tokens.refresh.hash), undefined)
    t.same(await store.rotate(ending.tokens.refresh.hash, tokensOf(ending.grant, clock), 60), { outcome: 'unknown' })
    t.equal(await store.findGrant(ending.grant.grantId), undefined)
  })

  t.test('a refresh token is rotated once; at once, all get the same answer', { buffered: true }, async t => {
    const { replicas, clock } = await makeStore(t, {})
    const [store] = replicas
    const { grant, tokens: { access, refresh } } = await redeemed(store, clock)
    const attempts = Array.from({ length: 50 }, () => tokensOf(grant, clock))
    const outcomes = await atOnce(
      replicas,
      50,
      (replica, index) => replica.rotate(refresh.hash, attempts[index] ?? tokensOf(grant, clock), 60)
    )
    t.same(countsOf(outcomes.map(({ outcome }) => outcome)), { rotated: 1, repeated: 49 })
    const winner = attempts[outcomes.findIndex(({ outcome }) => outcome === 'rotated')]
    t.ok(
      outcomes.every(rotation => rotation.outcome !== 'repeated' || rotation.sealedResponse === winner?.sealedResponse)
    )
    const alive = await Promise.all(attempts.map(({ refresh }) => store.findRefreshToken(refresh.hash)))
    t.same(countsOf(alive.map(found => found !== undefined)), { true: 1, false: 49 })
    t.ok(await store.findAccessToken(winner?.access.hash ?? ''))
    t.ok(await store.findAccessToken(access.hash), 'the access token before it goes on')
    t.match(await store.findRefreshToken(refresh.hash), { rotated: true })
    t.same(
      await store.rotate(winner?.refresh.hash ?? '', tokensOf(grant, clock), 60),
      { outcome: 'rotated' },
      'and the next rotation'
    )
    t.same(await store.rotate('unknown', tokensOf(grant, clock), 60), { outcome: 'unknown' })
  })

  t.test('a rotated refresh token that comes late ends the grant', { buffered: true }, async t => {
    const { replicas: [store], clock } = await makeStore(t, {})
    const other = await redeemed(store, clock)
    const { grant, tokens } = await redeemed(store, clock)
    const next = tokensOf(grant, clock)
    t.same(await store.rotate(tokens.refresh.hash, next, 2), { outcome: 'rotated' })
    await clock.pass(1)
    t.same(await store.rotate(tokens.refresh.hash, tokensOf(grant, clock), 2), {
      outcome: 'repeated',
      sealedResponse: next.sealedResponse
    })
    await clock.pass(1.5)
    t.match(await store.rotate(tokens.refresh.hash, tokensOf(grant, clock), 2), {
      outcome: 'replayed',
      grant: { grantId: grant.grantId, sealedUpstreamTokens: 'sealed' }
    })
    for (const { access, refresh } of [tokens, next]) {
      t.equal(await store.findAccessToken(access.hash), undefined)
      t.equal(await store.findRefreshToken(refresh.hash), undefined)
    }
    t.same(
      await store.rotate(next.refresh.hash, tokensOf(grant, clock), 2),
      { outcome: 'unknown' },
      'its successor is dead'
    )
    t.equal(await store.end(grant.grantId), undefined, 'it has ended already')
    t.ok(await store.findAccessToken(other.tokens.access.hash), 'others go on')
  })

  t.test(
    'of a rotated refresh token that tells its grant nothing is kept beyond its time',
    { buffered: true },
    async t => {
      const { replicas: [store], clock } = await makeStore(t, {})
      const { grant, tokens } = await redeemed(store, clock)
      const next = tokensOf(grant, clock)
      t.same(await store.rotate(tokens.refresh.hash, next, 2, true), { outcome: 'rotated' })
      await clock.pass(1)
      t.same(await store.rotate(tokens.refresh.hash, tokensOf(grant, clock), 2, true), {
        outcome: 'repeated',
        sealedResponse: next.sealedResponse
      })
      await clock.pass(1.5)
      t.equal(await store.findRefreshToken(tokens.refresh.hash), undefined)
      t.same(await store.rotate(tokens.refresh.hash, tokensOf(grant, clock), 2, true), { outcome: 'unknown' })
      t.match(
        await store.findRefreshToken(next.refresh.hash),
        { rotated: false },
        'whoever asked decides what that means'
      )
      t.equal((await store.end(grant.grantId))?.grantId, grant.grantId)
    }
  )

  t.test('of a grant the newest access tokens are good, so many and no more', { buffered: true }, async t => {
    const { replicas, clock } = await makeStore(t, {})
    const [store] = replicas
    const other = await redeemed(store, clock)
    const { grant, tokens } = await redeemed(store, clock)
    const issued = [tokens]
    for (let index = 0; index < MAX_ACCESS_TOKENS_OF_GRANT + 4; index++) {
      const next = tokensOf(grant, clock)
      t.same(await replicas[index % replicas.length]?.rotate(issued.at(-1)?.refresh.hash ?? '', next, 60, true), {
        outcome: 'rotated'
      })
      issued.push(next)
    }
    const good = await Promise.all(
      issued.map(async ({ access }) => await store.findAccessToken(access.hash) !== undefined)
    )
    t.strictSame(good, [...Array<boolean>(5).fill(false), ...Array<boolean>(MAX_ACCESS_TOKENS_OF_GRANT).fill(true)])
    t.ok(await store.findAccessToken(other.tokens.access.hash), 'nobody else\'s go for it')
    const known = await Promise.all(
      issued.map(async ({ refresh }) => await store.findRefreshToken(refresh.hash) !== undefined)
    )
    t.strictSame(
      known,
      [...Array<boolean>(4).fill(false), ...Array<boolean>(MAX_ROTATED_TOKENS_OF_GRANT + 1).fill(true)],
      'likewise of rotated refresh tokens'
    )
  })

  t.test('a person has so many grants, and those that end first are ended for more', { buffered: true }, async t => {
    const { replicas, clock } = await makeStore(t, {})
    const [store] = replicas
    const [subject, issuer] = [unique('person'), 'https://login.example']
    const other = await redeemed(store, clock)
    const grants = []
    for (let index = 0; index < MAX_GRANTS_OF_ONE + 3; index++) {
      grants.push(await redeemed(store, clock, { subject, expiresAt: epoch(clock, 500 + index) }))
    }
    const ended = (await atOnce(replicas, 6, replica => replica.endSurplus(issuer, subject))).flat()
    t.strictSame(
      ended.map(({ grantId }) => grantId).sort(),
      grants.slice(0, 3).map(({ grant }) => grant.grantId).sort(),
      'each to one caller'
    )
    t.equal(await store.findAccessToken(grants[0]?.tokens.access.hash ?? ''), undefined)
    t.ok(await store.findAccessToken(grants[3]?.tokens.access.hash ?? ''))
    t.equal((await store.findGrantsOf(issuer, subject)).length, MAX_GRANTS_OF_ONE)
    t.same(await store.endSurplus(issuer, subject), [])
    t.ok(await store.findAccessToken(other.tokens.access.hash), 'others go on')
  })

  t.test('the upstream\'s tokens are replaced by one', { buffered: true }, async t => {
    const { replicas, clock } = await makeStore(t, {})
    const { grant, tokens } = await redeemed(replicas[0], clock)
    t.same(
      countsOf(
        await atOnce(
          replicas,
          50,
          (replica, index) => replica.replaceUpstreamTokens(grant.grantId, 0, `sealed-${index}`)
        )
      ),
      { true: 1, false: 49 }
    )
    const replaced = await replicas[0].findGrant(grant.grantId)
    t.match(replaced, { upstreamVersion: 1, sealedUpstreamTokens: /^sealed-\d+$/ })
    t.same((await replicas[0].findAccessToken(tokens.access.hash))?.grant, replaced)
    t.equal(await replicas[0].replaceUpstreamTokens(grant.grantId, 0, 'late'), false)
    t.equal(await replicas[0].replaceUpstreamTokens(grant.grantId, 1, 'next'), true)
    t.equal(await replicas[0].replaceUpstreamTokens('unknown', 0, 'x'), false)
  })

  t.test('what is known of the person is replaced by one, and nothing else changes', { buffered: true }, async t => {
    const { replicas, clock } = await makeStore(t, {})
    const [store] = replicas
    const { grant, tokens } = await redeemed(store, clock, { subject: unique('person') })
    const recheck = (index: number) => ({ claims: { groups: [], index, nested: {} }, permittedScopes: ['mcp'] })
    const replaced = await atOnce(replicas, 50, (replica, index) =>
      replica.replaceClaims(grant.grantId, 0, recheck(index)))
    t.same(countsOf(replaced), { true: 1, false: 49 })
    await store.replaceUpstreamTokens(grant.grantId, 0, 'sealed anew')
    const index = replaced.indexOf(true)
    const resealed = { sealedUpstreamTokens: 'sealed anew', upstreamVersion: 1 }
    const changed = { ...grant, ...recheck(index), rechecks: 1, ...resealed }
    t.strictSame(await store.findGrant(grant.grantId), changed)
    t.strictSame((await store.findAccessToken(tokens.access.hash))?.grant, changed)
    t.strictSame((await store.findRefreshToken(tokens.refresh.hash))?.grant, changed)
    t.strictSame(await store.findGrantsOf(grant.issuer, grant.subject), [changed])
    t.equal(await store.replaceClaims(grant.grantId, 1, { claims: {}, permittedScopes: [] }), true)
    t.match(await store.findGrant(grant.grantId), { claims: {}, permittedScopes: [], rechecks: 2 })
    t.equal(await store.replaceClaims('unknown', 0, recheck(0)), false)
    await store.end(grant.grantId)
    t.equal(await store.replaceClaims(grant.grantId, 2, recheck(0)), false, 'not after its end')
  })

  t.test('a grant ends once, with all its tokens', { buffered: true }, async t => {
    const { replicas, clock } = await makeStore(t, {})
    const [store] = replicas
    const { grant, tokens } = await redeemed(store, clock)
    const next = tokensOf(grant, clock)
    await store.rotate(tokens.refresh.hash, next, 60)
    const ended = await atOnce(replicas, 50, replica => replica.end(grant.grantId))
    t.same(countsOf(ended.map(grant => grant !== undefined)), { true: 1, false: 49 })
    t.strictSame(ended.find(grant => grant !== undefined), grant)
    for (const { access, refresh } of [tokens, next]) {
      t.equal(await store.findAccessToken(access.hash), undefined)
      t.equal(await store.findRefreshToken(refresh.hash), undefined)
      t.same(await store.rotate(refresh.hash, tokensOf(grant, clock), 60), { outcome: 'unknown' })
    }
    t.equal(await store.replaceUpstreamTokens(grant.grantId, 0, 'x'), false)
  })

  t.test('a person\'s grants are found, those that end last first, and nobody else\'s', { buffered: true }, async t => {
    const { replicas, clock } = await makeStore(t, {})
    const subject = unique('person')
    t.same(await replicas[0].findGrantsOf('https://login.example', subject), [])
    const first = await redeemed(replicas[0], clock, { subject, expiresAt: epoch(clock, 500) })
    const second = await redeemed(replicas[0], clock, { subject, expiresAt: epoch(clock, 900) })
    await redeemed(replicas[0], clock, { subject, issuer: 'https://another.example' })
    await redeemed(replicas[0], clock, { subject: unique('person') })
    const code: CodeRecord = { ...first.code, grant: grantOf(clock, { subject }) }
    await replicas[0].putCode(unique('code'), code)
    for (const replica of replicas) {
      t.strictSame(
        await replica.findGrantsOf('https://login.example', subject),
        [second.grant, first.grant],
        'a code that was not redeemed is no grant'
      )
    }
    await replicas[0].end(second.grant.grantId)
    t.strictSame(
      await replicas[0].findGrantsOf('https://login.example', subject),
      [first.grant],
      'an ended one is gone'
    )
  })

  t.test('who changes what they got changes nothing', { buffered: true }, async t => {
    const { replicas: [store], clock } = await makeStore(t, {})
    const { grant, tokens } = await redeemed(store, clock)
    const found = await store.findAccessToken(tokens.access.hash)
    found?.grant.scopes.push('admin')
    found?.token.scopes.push('admin')
    t.same((await store.findAccessToken(tokens.access.hash))?.grant.scopes, grant.scopes)
    t.same((await store.findAccessToken(tokens.access.hash))?.token.scopes, ['mcp'])
  })

  await t.test('which of some grants have ended', async t => {
    const { replicas: [store], clock } = await makeStore(t, {})
    const [one, two] = [await redeemed(store, clock), await redeemed(store, clock)]
    t.same(await store.findEnded([]), [])
    const ids = [one.grant.grantId, 'unknown', two.grant.grantId]
    t.same(await store.findEnded(ids), ['unknown'])
    await store.end(two.grant.grantId)
    t.same(await store.findEnded(ids), ['unknown', two.grant.grantId])
  })
}
