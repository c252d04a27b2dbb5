import t from 'tap'
import { logIn } from '../support/browser.js'
import {
  authorizationUrl,
  s256Challenge,
  isAt,
  newCode,
  openBrowser,
  redeem,
  register,
  VERIFIER,
  WEB_URI,
  type Parameters
} from '../support/oauth-flow.js'
import { startTarget } from '../support/target.js'

t.test('no authorization begins without an S256 challenge', async t => {
  const target = await startTarget(t)
  const client = await register(target)
  const confidential = await register(target, undefined, { token_endpoint_auth_method: 'client_secret_post' })
  const requests: Record<string, Parameters> = {
    'no challenge': { code_challenge: undefined, code_challenge_method: undefined },
    'an empty challenge': { code_challenge: '' },
    'a method without a challenge': { code_challenge: undefined },
    'a challenge without a method, which means plain': { code_challenge_method: undefined },
    plain: { code_challenge: VERIFIER, code_challenge_method: 'plain' },
    'plain, with a challenge that looks like S256': { code_challenge_method: 'plain' },
    's256 in lower case': { code_challenge_method: 's256' },
    'another method': { code_challenge_method: 'S512' },
    'a challenge that is too short': { code_challenge: s256Challenge(VERIFIER).slice(1) },
    'a challenge that is too long': { code_challenge: `${s256Challenge(VERIFIER)}A` },
    'a challenge of another alphabet': { code_challenge: `${s256Challenge(VERIFIER).slice(1)}+` },
    'a padded challenge': { code_challenge: `${s256Challenge(VERIFIER).slice(1)}=` }
  }
  for (const [what, parameters] of Object.entries(requests)) {
    for (const asking of [client, confidential]) {
      const end = await openBrowser(target).open(authorizationUrl(target, asking, parameters))
      t.strictSame(
        [isAt(end, asking.redirectUri), end.url.searchParams.get('error'), end.url.searchParams.get('code')],
        [true, 'invalid_request', null],
        `${what}: the client is told`
      )
    }
  }
  const twice = authorizationUrl(target, client)
  twice.searchParams.append('code_challenge', VERIFIER)
  t.equal((await openBrowser(target).open(twice)).status, 400, 'two challenges')
})

t.test('no code is redeemed without the verifier of its challenge', async t => {
  const target = await startTarget(t)
  const client = await register(target, WEB_URI, { token_endpoint_auth_method: 'client_secret_post' })
  const other = 'another-verifier.0123456789~0123456789~0123456789'
  const code = await newCode(target, client)
  const verifiers: Record<string, string | undefined> = {
    missing: undefined,
    empty: '',
    'the challenge itself': s256Challenge(VERIFIER),
    'that of another challenge': other,
    'too short': VERIFIER.slice(0, 42),
    'one letter more': `${VERIFIER}A`,
    'in another case': VERIFIER.toUpperCase(),
    'with a space': `${VERIFIER} `,
    'with a line break': `${VERIFIER}\n`
  }
  for (const [what, verifier] of Object.entries(verifiers)) {
    const answer = await redeem(target, client, code, { code_verifier: verifier })
    t.equal(answer.status, 400, `the verifier is ${what}`)
    t.equal(answer.error, verifier === undefined || verifier === '' ? 'invalid_request' : 'invalid_grant')
  }
  t.equal((await redeem(target, client, code)).status, 200, 'the right one still is')
})

t.test('a verifier of another alphabet or length is refused even if it matches the challenge', async t => {
  const target = await startTarget(t)
  const client = await register(target)
  for (
    const verifier of [
      'short',
      'x'.repeat(42),
      'x'.repeat(129),
      `${'x'.repeat(43)}+`,
      `${'x'.repeat(43)}/=`,
      `${'x'.repeat(43)} `,
      `${'x'.repeat(43)}é`
    ]
  ) {
    const code = await newCode(target, client, { code_challenge: s256Challenge(verifier) })
    t.equal(
      (await redeem(target, client, code, { code_verifier: verifier })).error,
      'invalid_grant',
      JSON.stringify(verifier.slice(-8))
    )
  }
})

t.test('our own leg has a challenge, too', async t => {
  const target = await startTarget(t)
  const client = await register(target)
  const browser = openBrowser(target)
  await logIn(browser, authorizationUrl(target, client))
  const sent = browser.visited.find(url => url.href.startsWith(`${target.upstream.issuer}/authorize?`))
  t.equal(sent?.searchParams.get('code_challenge_method'), 'S256')
  t.match(sent?.searchParams.get('code_challenge'), /^[\w-]{43}$/)
  t.not(sent?.searchParams.get('code_challenge'), s256Challenge(VERIFIER), 'of its own')
})
