import { createHash, randomBytes } from 'node:crypto'
import t from 'tap'
import { parseObject } from '../support/json.js'
import {
  askToRegister,
  authorizationUrl,
  authorize,
  bearer,
  callMcp,
  form,
  isGood,
  newCode,
  newTokens,
  post,
  redeem,
  refresh,
  register,
  revoke,
  WEB_URI
} from '../support/oauth-flow.js'
import { startTarget } from '../support/target.js'

const INHERITED = [
  'constructor',
  '__proto__',
  'prototype',
  'toString',
  'valueOf',
  'hasOwnProperty',
  '__defineGetter__',
  'undefined',
  'null',
  'true',
  '0',
  'NaN'
]

t.test('only our access tokens are accepted, and nothing is mistaken for one', async t => {
  const target = await startTarget(t)
  const { oauthBroker: broker } = target.app
  const client = await register(target, WEB_URI, { token_endpoint_auth_method: 'client_secret_post' })
  const { clientId, clientSecret = '' } = client
  const { accessToken, refreshToken } = await newTokens(target, client)
  t.ok(await isGood(target, accessToken))
  const caller = await broker.accessTokens.verify(accessToken)
  const code = await newCode(target, client)
  const state = (await authorize(target, client)).get('state') ?? ''
  const values: Record<string, string> = {
    ...Object.fromEntries(INHERITED.map(name => [`"${name}"`, name])),
    'a client id': clientId,
    'a client secret': clientSecret,
    'an authorization code': code,
    'a refresh token': refreshToken,
    'a grant id': caller.extra.grantId ?? '',
    'a subject': caller.extra.subject,
    'a state': state,
    'an upstream access token': await broker.getUpstreamAccessToken(caller) ?? '',
    'what is stored for the token': createHash('sha256').update(accessToken).digest('base64url'),
    'what is stored, with the prefix': `mcpat_${createHash('sha256').update(accessToken).digest('base64url')}`,
    'another prefix before the token': accessToken.replace('mcpat_', 'mcprt_'),
    'the token without its prefix': accessToken.replace('mcpat_', ''),
    'the token in upper case': accessToken.toUpperCase(),
    'the token, and one letter more': `${accessToken}A`,
    'the token, less a letter': accessToken.slice(0, -1),
    'a token that never was': `mcpat_${'A'.repeat(43)}`,
    'a prefix and an inherited name': `mcpat_${'constructor'.padEnd(43, '_')}`,
    '10 kB of noise': randomBytes(7500).toString('base64url'),
    '10 kB with a prefix': `mcpat_${'A'.repeat(10_000)}`
  }
  for (const [what, value] of Object.entries(values)) {
    if (value === '') t.fail(`There is no ${what}`)
    const answer = await callMcp(target, bearer(value))
    t.equal(answer.status, 401, `${what} is no access token`)
    t.match(
      answer.headers.get('www-authenticate'),
      /^Bearer error="invalid_token", error_description="[^"\\]+", resource_metadata="http:[^"]+\/mcp", scope="mcp"$/
    )
    t.notOk(value.length > 10 && answer.bytes.includes(value), 'and does not come back')
    if (value !== code) {
      const redeemed = await redeem(target, client, value)
      t.strictSame([redeemed.status, redeemed.error], [400, 'invalid_grant'], 'nor a code')
    }
    if (value !== refreshToken) {
      const refreshed = await refresh(target, client, value)
      t.strictSame([refreshed.status, refreshed.error], [400, 'invalid_grant'], 'nor a refresh token')
    }
    if (value !== clientId) {
      const posing = await redeem(target, client, code, { client_id: value })
      t.strictSame([posing.status, posing.error], [401, 'invalid_client'], 'nor a client id')
      const basic = await post(target, '/token', { grant_type: 'authorization_code', code }, {
        authorization: `Basic ${Buffer.from(`${value}:${clientSecret}`).toString('base64')}`
      })
      t.strictSame([basic.status, basic.error], [401, 'invalid_client'])
      const { pathname, search } = authorizationUrl(target, { ...client, clientId: value })
      t.equal((await target.app.inject({ url: pathname + search })).statusCode, 400)
    }
    if (value !== clientSecret) {
      t.equal((await redeem(target, client, code, { client_secret: value })).error, 'invalid_client', 'nor a secret')
    }
    if (value !== refreshToken) t.equal((await revoke(target, client, value)).status, 200, 'revoking it is nothing')
    t.equal(
      (await target.app.inject({ url: `/oauth/callback?${form({ state: value, code: 'x' })}` })).statusCode,
      400,
      'nor a state'
    )
    t.equal(
      (await target.app.inject({
        method: 'POST',
        url: '/authorize/consent',
        payload: form({ transaction: value, decision: 'allow' }).toString(),
        headers: { 'content-type': 'application/x-www-form-urlencoded' }
      })).statusCode,
      400,
      'nor a transaction'
    )
    t.equal(
      (await post(target, '/introspect', { token: accessToken, client_id: value, client_secret: value })).status,
      401,
      'nor a service'
    )
  }
  t.ok(await isGood(target, accessToken), 'all that harmed nobody')
  t.equal((await redeem(target, client, code)).status, 200)
  t.equal((await refresh(target, client, refreshToken)).status, 200)
})

t.test('a token counts in the Authorization header only, alone, whole, and on every verb', async t => {
  const target = await startTarget(t)
  const { accessToken } = await newTokens(target, await register(target))
  const headers = [
    '',
    'Bearer',
    'Bearer ',
    'bearer',
    accessToken,
    `Basic ${Buffer.from(`${accessToken}:`).toString('base64')}`,
    `Basic ${accessToken}`,
    `Token ${accessToken}`,
    `Bearer: ${accessToken}`,
    `Bearer=${accessToken}`,
    `Bearer${accessToken}`,
    `Bearer ${accessToken} ${accessToken}`,
    `Bearer ${accessToken},${accessToken}`,
    `Bearer ${accessToken}, Bearer ${accessToken}`,
    `Bearer x Bearer ${accessToken}`,
    `Basic x, Bearer ${accessToken}`,
    `Bearer "${accessToken}"`,
    `Bearer ${accessToken}\u00a0`,
    `Bearer ${accessToken}é`,
    `Bearer ${accessToken}%20`,
    `Bearer ${'='.repeat(100)}`,
    `Bearer ${' '.repeat(10_000)}x`
  ]
  for (const authorization of headers) {
    const statuses: number[] = []
    for (
      const [method, url] of [['POST', '/mcp'], ['GET', '/mcp'], ['DELETE', '/mcp'], ['PUT', '/mcp'], ['GET', '/sse'], [
        'POST',
        '/messages?sessionId=x'
      ]] as const
    ) {
      const answer = await target.app.inject({
        method,
        url,
        headers: { authorization, accept: 'application/json, text/event-stream' }
      })
      statuses.push(
        /^Bearer .*resource_metadata="/.test(String(answer.headers['www-authenticate'])) ? answer.statusCode : 0
      )
      // an open stream would never end
      if (answer.statusCode !== 401) break
    }
    t.strictSame(statuses, Array(6).fill(401), authorization.slice(0, 40))
  }
  const elsewhere = await target.app.inject({
    method: 'POST',
    url: `/mcp?access_token=${accessToken}`,
    payload: { access_token: accessToken },
    headers: { cookie: `access_token=${accessToken}`, 'x-access-token': accessToken }
  })
  t.equal(elsewhere.statusCode, 401, 'not in the query, the body, a cookie or another header')
})

t.test('inherited names are nobody\'s metadata', async t => {
  const target = await startTarget(t)
  for (const name of INHERITED) {
    const answer = await askToRegister(
      target,
      parseObject(`{"redirect_uris": ["${WEB_URI}"], "${name}": {"x": "kept-for-ever"}}`)
    )
    t.ok([201, 400].includes(answer.status), `${name}: ${answer.status}`)
    t.notMatch(answer.text, 'kept-for-ever')
  }
  for (
    const body of ['null', '[]', '"x"', '1', '{"redirect_uris": {"__proto__": []}}', '{"redirect_uris": {"length": 1}}']
  ) {
    const answer = await target.app.inject({
      method: 'POST',
      url: '/register',
      payload: body,
      headers: { 'content-type': 'application/json' }
    })
    t.equal(answer.statusCode, 400, body)
  }
  t.equal(Reflect.get({}, 'x'), undefined, 'no prototype is polluted')
})
