import t from 'tap'
import { authorizationUrl, form, register, WEB_URI } from '../support/oauth-flow.js'
import { agree, injectForm, startTarget } from '../support/target.js'

t.test('a consent page that nobody answers keeps nothing, however often it is asked for', async t => {
  const target = await startTarget(t, { OAUTH_REQUESTS_PER_MINUTE: '100000' })
  const client = await register(target, WEB_URI)
  const { pathname, search } = authorizationUrl(target, client, { state: 'x'.repeat(4096) })
  for (let asked = 0; asked < 400; asked++) {
    t.equal((await target.app.inject({ url: pathname + search })).statusCode, 200)
  }
  t.match((await agree(target, client)).state, /^[\w-]{43}$/, 'there is room for who agrees')
})

t.test('logins under way are bounded by address, and refused beyond', async t => {
  const target = await startTarget(t, { OAUTH_REQUESTS_PER_MINUTE: '100000' })
  const own = { clientId: 'connected-apps', redirectUri: `${target.url}/oauth/connections/callback` }
  const { pathname, search } = authorizationUrl(target, own)
  const begin = async (remoteAddress: string) =>
    (await target.app.inject({ url: pathname + search, remoteAddress })).headers.location
  const first = String(await begin('198.51.100.1'))
  for (let asked = 1; asked < 300; asked++) await begin('198.51.100.1')
  t.match(await begin('198.51.100.1'), 'error=temporarily_unavailable')
  t.match(first, target.upstream.issuer)
  t.match(await begin('198.51.100.2'), target.upstream.issuer, 'somebody else goes on')
})

t.test('the size of a request is limited', async t => {
  const target = await startTarget(t)
  const client = await register(target, WEB_URI)
  for (const parameters of [{ state: 'x'.repeat(4097) }, { state: 'ä'.repeat(2049) }, { nonce: 'x'.repeat(12_288) }]) {
    const { pathname, search, searchParams } = authorizationUrl(target, client, parameters)
    t.equal((await target.app.inject({ url: pathname + search })).statusCode, 413)
    t.equal((await injectForm(target, pathname, Object.fromEntries(searchParams))).statusCode, 413)
  }
})

t.test('a form of another site does not replace the browser\'s cookie', async t => {
  const target = await startTarget(t)
  const client = await register(target, WEB_URI)
  const { pathname, search, searchParams } = authorizationUrl(target, client)
  const posted = await injectForm(target, pathname, Object.fromEntries(searchParams), { origin: 'https://app.example' })
  t.equal(posted.statusCode, 303)
  t.equal(posted.headers['set-cookie'], undefined)
  t.equal(posted.headers.location, `${target.url}${pathname}?${form(Object.fromEntries(new URLSearchParams(search)))}`)
})
