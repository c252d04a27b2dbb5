import t from 'tap'
import { MemoryGrantStore } from '../../src/stores/memory/grants.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import {
  isGood,
  newCode,
  redeem,
  refresh,
  register,
  parseTokens,
  LOOPBACK_URI,
  WEB_URI
} from '../support/oauth-flow.js'
import { embed, startTarget } from '../support/target.js'

t.test('a stolen code is worth nothing without all that it was issued for', async t => {
  const target = await startTarget(t)
  const victim = await register(target, WEB_URI)
  const confidential = await register(target, WEB_URI, { token_endpoint_auth_method: 'client_secret_post' })
  const attacker = await register(target, LOOPBACK_URI)
  const code = await newCode(target, victim)

  const refused = async (what: string, error: string, attempt: ReturnType<typeof redeem>) => {
    const answer = await attempt
    t.equal(answer.error, error, `${what}: ${error}`)
    t.ok([400, 401].includes(answer.status))
    t.equal(answer.member('access_token'), undefined)
  }
  await refused('another verifier', 'invalid_grant', redeem(target, victim, code, { code_verifier: 'a'.repeat(43) }))
  await refused('no verifier', 'invalid_request', redeem(target, victim, code, { code_verifier: undefined }))
  await refused('another client', 'invalid_grant', redeem(target, attacker, code))
  await refused(
    'another client, with the redirect URI of the first',
    'invalid_grant',
    redeem(target, attacker, code, { redirect_uri: WEB_URI })
  )
  await refused('a client with a secret', 'invalid_grant', redeem(target, confidential, code))
  await refused('another redirect_uri', 'invalid_grant', redeem(target, victim, code, { redirect_uri: LOOPBACK_URI }))
  await refused(
    'a redirect_uri with a slash more',
    'invalid_grant',
    redeem(target, victim, code, { redirect_uri: `${WEB_URI}/` })
  )
  await refused(
    'another endpoint as resource',
    'invalid_target',
    redeem(target, victim, code, { resource: `${target.url}/sse` })
  )
  await refused(
    'another server as resource',
    'invalid_target',
    redeem(target, victim, code, { resource: 'https://other.example/mcp' })
  )
  await refused('no client', 'invalid_client', redeem(target, victim, code, { client_id: undefined }))
  await refused('a code of another case', 'invalid_grant', redeem(target, victim, code.toUpperCase()))
  await refused('part of the code', 'invalid_grant', redeem(target, victim, code.slice(0, -1)))
  await refused('a code with a space', 'invalid_grant', redeem(target, victim, `${code} `))

  const { accessToken } = parseTokens(await redeem(target, victim, code))
  t.ok(await isGood(target, accessToken), 'none of that has cost the victim the code')

  const secretCode = await newCode(target, confidential)
  await refused(
    'without the client\'s secret',
    'invalid_client',
    redeem(target, confidential, secretCode, { client_secret: undefined })
  )
  await refused(
    'with another secret',
    'invalid_client',
    redeem(target, confidential, secretCode, { client_secret: 'mcps_guess' })
  )
  t.equal((await redeem(target, confidential, secretCode)).status, 200)
})

t.test('the second use of a code ends all that came of the first', async t => {
  const target = await startTarget(t)
  const client = await register(target)
  const code = await newCode(target, client)
  const first = parseTokens(await redeem(target, client, code))
  const second = parseTokens(await refresh(target, client, first.refreshToken))
  for (const { accessToken } of [first, second]) t.ok(await isGood(target, accessToken))

  t.equal((await redeem(target, client, code)).error, 'invalid_grant')
  for (const { accessToken, refreshToken } of [first, second]) {
    t.notOk(await isGood(target, accessToken), 'the access token is dead')
    t.equal((await refresh(target, client, refreshToken)).error, 'invalid_grant', 'the refresh token is dead')
  }
  t.equal((await redeem(target, client, code)).error, 'invalid_grant', 'and the code stays so')
})

/** A store where the first lookups of a code wait for each other: all of them see it unused. */
class CrowdedGrantStore extends MemoryGrantStore {
  waiting = 0
  #release = () => {}
  readonly #all = new Promise<void>(resolve => { this.#release = resolve })

  override async findCode (hash: string) {
    const found = await super.findCode(hash)
    if (++this.waiting === 50) this.#release()
    await this.#all
    return found
  }
}

t.test('fifty redemptions at once give one set of tokens at most', async t => {
  const grants = new CrowdedGrantStore()
  t.teardown(() => grants.close())
  const target = await embed(t, { stores: { ...createMemoryStores({ sessionIdleSeconds: 60 }), grants } })
  const client = await register(target)
  const code = await newCode(target, client)
  const answers = await Promise.all(Array.from({ length: 50 }, () => redeem(target, client, code)))
  t.equal(grants.waiting, 50, 'all of them looked before anyone was answered')
  const given = answers.filter(({ status }) => status === 200).map(parseTokens)
  t.ok(given.length <= 1, `${given.length} sets`)
  t.ok(answers.every(answer => answer.status === 200 || answer.error === 'invalid_grant'))
  for (const { accessToken, refreshToken } of given) {
    t.notOk(await isGood(target, accessToken), 'and that one is dead, too')
    t.equal((await refresh(target, client, refreshToken)).error, 'invalid_grant')
  }
})
