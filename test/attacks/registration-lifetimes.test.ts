import t, { type Test } from 'tap'
import { parseRecord } from '../../src/parse-record.js'
import { clock } from '../support/clock.js'
import {
  askToRegister,
  authorizationUrl,
  newTokens,
  refresh,
  register,
  parseTokens,
  WEB_URI,
  type Client
} from '../support/oauth-flow.js'
import { embed, type Target } from '../support/target.js'

/*
 * What anybody registers stays an hour; what somebody has logged in to stays for some time after it was used last. One
 * is no larger than 8 KB and has 10 redirect URIs, to the byte.
 */

const HOUR = 3600
const DAY = 24 * HOUR

/** Whether the authorization endpoint knows a client. */
async function isKnown (target: Target, client: Client): Promise<boolean> {
  const { pathname, search } = authorizationUrl(target, client)
  const { statusCode, body } = await target.app.inject({ url: pathname + search })
  if (statusCode === 200) return true
  if (statusCode === 400 && body.includes('invalid_client')) return false
  throw new Error(`${statusCode}: ${body}`)
}

async function start (t: Test, ...[options]: [Parameters<typeof embed>[1]?]) {
  const { forward } = clock(t)
  return { target: await embed(t, options), forward }
}

t.test('an hour until somebody logs in, however often it is looked at', async t => {
  const { target, forward } = await start(t)
  const [unused, used] = [await register(target, WEB_URI), await register(target, WEB_URI)]
  await newTokens(target, used)
  forward(HOUR - 60)
  t.ok(await isKnown(target, unused))
  forward(61)
  t.notOk(await isKnown(target, unused), 'a consent page that was opened is no login')
  t.ok(await isKnown(target, used))
})

t.test('one that is used stays for some time after its last use', async t => {
  const { target, forward } = await start(t, { lifetimes: { clientSeconds: 20 * DAY, refreshTokenSeconds: 13 * DAY } })
  const client = await register(target, WEB_URI)
  let { refreshToken } = await newTokens(target, client)
  for (let uses = 0; uses < 4; uses++) {
    forward(12 * DAY)
    t.ok(await isKnown(target, client))
    refreshToken = parseTokens(await refresh(target, client, refreshToken)).refreshToken
  }
  forward(19 * DAY)
  t.ok(await isKnown(target, client), 'it outlives its last grant')
  forward(2 * DAY)
  t.notOk(await isKnown(target, client), 'then it goes')
})

t.test('no larger than 8 KB, to the byte', async t => {
  const target = await embed(t)
  const uri = (length: number) => `https://app.example/${'x'.repeat(length)}`
  const of = (padding: number) => ({
    redirect_uris: [WEB_URI],
    token_endpoint_auth_method: 'none',
    client_uri: uri(2000),
    logo_uri: uri(2000),
    tos_uri: uri(2000),
    policy_uri: uri(padding)
  })
  const small = await askToRegister(target, of(1000))
  t.equal(small.status, 201)
  const { client_id: _id, client_id_issued_at: _at, ...metadata } = parseRecord<Record<string, unknown>>(small.text)
  const room = 8192 - Buffer.byteLength(JSON.stringify(metadata))
  t.equal((await askToRegister(target, of(1000 + room))).status, 201)
  t.match(await askToRegister(target, of(1001 + room)), { status: 400, error: 'invalid_client_metadata' })
})

t.test('no more than 10 redirect URIs', async t => {
  const target = await embed(t)
  const of = (count: number) => ({
    redirect_uris: Array.from({ length: count }, (_, index) => `${WEB_URI}/${index}`),
    token_endpoint_auth_method: 'none'
  })
  t.equal((await askToRegister(target, of(10))).status, 201)
  t.match(await askToRegister(target, of(11)), { status: 400, error: 'invalid_redirect_uri' })
})
