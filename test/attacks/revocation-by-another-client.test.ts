import t from 'tap'
import { isGood, newTokens, refresh, register, revoke, parseTokens, WEB_URI } from '../support/oauth-flow.js'
import { startTarget } from '../support/target.js'

t.test('a token is revoked by its own client only', async t => {
  const target = await startTarget(t)
  const client = await register(target)
  const confidential = await register(target, WEB_URI, { token_endpoint_auth_method: 'client_secret_post' })
  const attacker = await register(target)
  const tokens = await newTokens(target, client)
  const secret = await newTokens(target, confidential)

  for (const thief of [attacker, confidential]) {
    for (const token of [tokens.accessToken, tokens.refreshToken]) {
      for (const hint of [undefined, 'access_token', 'refresh_token']) {
        const answer = await revoke(target, thief, token, { token_type_hint: hint })
        const unknown = await revoke(target, thief, `${token.slice(0, -43)}${'A'.repeat(43)}`)
        t.equal(answer.status, 200, 'as for an unknown token (RFC 7009 2.2)')
        t.equal(answer.text, unknown.text, 'so it is not told that there is such a token')
      }
    }
  }
  t.equal(
    (await revoke(target, client, tokens.refreshToken, { client_id: undefined })).error,
    'invalid_client',
    'nobody'
  )
  t.equal(
    (await revoke(target, client, tokens.refreshToken, { client_id: 'unknown' })).error,
    'invalid_client',
    'an unknown client'
  )
  for (const guess of [undefined, 'guess']) {
    t.equal(
      (await revoke(target, confidential, secret.refreshToken, { client_secret: guess })).error,
      'invalid_client',
      'its own client, without its secret'
    )
  }
  t.ok(await isGood(target, tokens.accessToken), 'the access token lives')
  t.ok(await isGood(target, secret.accessToken))
  const next = parseTokens(await refresh(target, client, tokens.refreshToken))

  t.equal((await revoke(target, client, next.accessToken)).status, 200)
  t.notOk(await isGood(target, next.accessToken), 'its own client ends it')
  t.notOk(await isGood(target, tokens.accessToken), 'and the whole family')
  t.equal((await refresh(target, client, next.refreshToken)).error, 'invalid_grant')
  t.ok(await isGood(target, secret.accessToken), 'but nobody else\'s')
})

t.test('a stranger is not told what a token is worth', async t => {
  const target = await startTarget(t)
  const confidential = await register(target, WEB_URI, { token_endpoint_auth_method: 'client_secret_post' })
  const { accessToken } = await newTokens(target, confidential)
  for (
    const credentials of [{}, { client_id: confidential.clientId, client_secret: confidential.clientSecret ?? '' }, {
      client_id: 'constructor',
      client_secret: 'x'
    }, { client_id: '__proto__', client_secret: '' }]
  ) {
    const answer = await target.fetch(`${target.url}/introspect`, {
      method: 'POST',
      body: new URLSearchParams({ token: accessToken, ...credentials })
    })
    t.equal(answer.status, 401)
    t.notMatch(await answer.text(), 'active')
  }
})
