import t from 'tap'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { MemoryGrantStore } from '../../src/stores/memory/grants.js'
import { isGood, newTokens, refresh, register, parseTokens, WEB_URI } from '../support/oauth-flow.js'
import { embed, startTarget } from '../support/target.js'

/** What an error says, without the id of the request. */
const withoutId = (text: string) => text.replace(/"request_id":"[^"]+"/, '')

t.test('a refresh token is its client\'s alone, and another one\'s attempt harms nobody', async t => {
  const target = await startTarget(t)
  const client = await register(target)
  const confidential = await register(target, WEB_URI, { token_endpoint_auth_method: 'client_secret_basic' })
  const [attacker, attackerWithSecret] = [
    await register(target),
    await register(target, WEB_URI, { token_endpoint_auth_method: 'client_secret_post' })
  ]
  const tokens = await newTokens(target, client)
  const secret = await newTokens(target, confidential)

  for (const thief of [attacker, attackerWithSecret, confidential]) {
    const answer = await refresh(target, thief, tokens.refreshToken)
    t.equal(answer.error, 'invalid_grant')
    t.equal(
      withoutId(answer.text),
      withoutId((await refresh(target, thief, `mcprt_${'A'.repeat(43)}`)).text),
      'it is not told that there is such a token'
    )
  }
  t.equal((await refresh(target, client, tokens.refreshToken, { client_id: undefined })).error, 'invalid_client')
  t.equal(
    (await refresh(target, confidential, secret.refreshToken, { client_secret: undefined })).error,
    'invalid_client',
    'a client with a secret has to say it'
  )
  t.equal(
    (await refresh(target, confidential, secret.refreshToken, { client_secret: attackerWithSecret.clientSecret }))
      .error,
    'invalid_client'
  )

  t.ok(await isGood(target, tokens.accessToken), 'the access token lives')
  const next = parseTokens(await refresh(target, client, tokens.refreshToken))
  t.ok(await isGood(target, next.accessToken), 'and so does the family')
  t.equal(
    (await refresh(target, attacker, tokens.refreshToken)).error,
    'invalid_grant',
    'a rotated one is no more use to a thief'
  )
  t.equal((await refresh(target, attacker, next.refreshToken)).error, 'invalid_grant')
  t.ok(await isGood(target, next.accessToken))
  t.equal((await refresh(target, confidential, secret.refreshToken)).status, 200)
})

t.test('scopes only shrink', async t => {
  const target = await startTarget(t, { MCP_SCOPES: 'mcp admin' })
  const client = await register(target)
  const { refreshToken } = await newTokens(target, client)
  for (const scope of ['admin', 'mcp admin', 'MCP', 'constructor']) {
    t.equal((await refresh(target, client, refreshToken, { scope })).error, 'invalid_scope', scope)
  }
  t.equal((await refresh(target, client, refreshToken, { scope: 'mcp' })).member('scope'), 'mcp')
})

t.test('a rotated token repeats its answer for a moment, and then ends the family', async t => {
  let clock = Date.now()
  const now = () => clock
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  const grants = new MemoryGrantStore({ now, bus: stores.bus })
  t.teardown(() => grants.close())
  const target = await embed(t, {
    stores: { ...stores, grants },
    lifetimes: { refreshTokenReuseSeconds: 10 }
  })
  const [client, attacker] = [await register(target), await register(target)]
  const first = await newTokens(target, client)

  const answers = await Promise.all(Array.from({ length: 20 }, () => refresh(target, client, first.refreshToken)))
  t.ok(answers.every(({ status }) => status === 200), 'parallel refreshes all succeed')
  t.equal(new Set(answers.map(({ text }) => text)).size, 1, 'with one answer')
  const [answer] = answers
  if (answer === undefined) throw new Error('No answer')
  const second = parseTokens(answer)
  clock += 9_999
  t.same(parseTokens(await refresh(target, client, first.refreshToken)), second, 'the same to the end of the window')
  t.equal((await refresh(target, attacker, first.refreshToken)).error, 'invalid_grant', 'but to its client only')
  const third = parseTokens(await refresh(target, client, second.refreshToken))
  t.ok(await isGood(target, third.accessToken))

  clock += 1
  t.equal((await refresh(target, attacker, first.refreshToken)).error, 'invalid_grant')
  t.ok(await isGood(target, third.accessToken), 'another client\'s replay after it ends nothing')
  t.equal((await refresh(target, client, first.refreshToken)).error, 'invalid_grant', 'its own does')
  for (const { accessToken, refreshToken } of [first, second, third]) {
    t.notOk(await isGood(target, accessToken), 'the access token is dead')
    t.equal((await refresh(target, client, refreshToken)).error, 'invalid_grant', 'the refresh token is dead')
  }
})
