import t from 'tap'
import { Browser, logIn, type Page } from '../support/browser.js'
import {
  authorizationUrl,
  form,
  isAt,
  openBrowser,
  register,
  LOOPBACK_URI,
  STATE,
  type Client,
  type Parameters
} from '../support/oauth-flow.js'
import { startTarget, type Target } from '../support/target.js'

/** A browser that has agreed and was sent upstream, with the state of that attempt. */
async function sentUpstream (target: Target, client: Client, parameters: Parameters = {}) {
  const browser = openBrowser(target)
  await browser.submit(await browser.open(authorizationUrl(target, client, parameters)), {}, 'Allow access')
  const url = browser.visited.filter(url => url.href.startsWith(`${target.upstream.issuer}/authorize?`)).at(-1)
  if (url === undefined) throw new Error('Not sent upstream')
  return { browser, url, state: url.searchParams.get('state') ?? '' }
}

t.test('every redirect to a client says that it is ours', async t => {
  const target = await startTarget(t)
  const client = await register(target)
  const isOurs = (page: Page, what: string) => {
    t.ok(isAt(page, LOOPBACK_URI), what)
    t.same(page.url.searchParams.getAll('iss'), [target.url], `${what}: iss`)
    t.same(page.url.searchParams.getAll('state'), [STATE], `${what}: state`)
  }
  const page = await logIn(openBrowser(target), authorizationUrl(target, client))
  t.ok(page.url.searchParams.get('code'))
  isOurs(page, 'success')
  const refused = await openBrowser(target).open(
    authorizationUrl(target, client, { response_type: 'token', iss: 'https://evil.example' })
  )
  isOurs(refused, 'an error of the client\'s')
  const browser = openBrowser(target)
  isOurs((await browser.submit(await browser.open(authorizationUrl(target, client)), {}, 'Deny')), 'a denial')
  for (const error of ['access_denied', 'server_error', 'temporarily_unavailable', 'unheard_of']) {
    const { browser, state } = await sentUpstream(target, client)
    const end = await browser.open(
      `${target.url}/oauth/callback?${form({ error, state, iss: target.upstream.issuer })}`
    )
    isOurs(end, `the upstream's ${error}`)
  }
  const metadata = await target.fetch(`${target.url}/.well-known/oauth-authorization-server`)
  t.match(await metadata.json(), { issuer: target.url, authorization_response_iss_parameter_supported: true })
})

t.test('a response of another authorization server is refused', async t => {
  const target = await startTarget(t)
  const evil = { issuer: 'https://evil.example' }
  const client = await register(target)
  const answers: Record<string, (state: string, issuer: string) => Parameters> = {
    'another issuer\'s': state => ({ code: 'x', state, iss: evil.issuer }),
    'ours, as if we were the upstream': state => ({ code: 'x', state, iss: target.url }),
    'the upstream\'s with a slash': (state, issuer) => ({ code: 'x', state, iss: `${issuer}/` }),
    'nobody\'s, though the upstream always says': state => ({ code: 'x', state }),
    'an error of another issuer\'s': state => ({ error: 'access_denied', state, iss: evil.issuer })
  }
  for (const [whose, answer] of Object.entries(answers)) {
    const { browser, state } = await sentUpstream(target, client)
    const end = await browser.open(`${target.url}/oauth/callback?${form(answer(state, target.upstream.issuer))}`)
    t.ok(isAt(end, LOOPBACK_URI), `iss is ${whose}: the client is told`)
    t.equal(end.url.searchParams.get('error'), 'server_error')
    t.equal(end.url.searchParams.get('code'), null)
    t.equal(
      (await browser.open(`${target.url}/oauth/callback?${form({ code: 'x', state, iss: target.upstream.issuer })}`))
        .status,
      400,
      'and the attempt is over'
    )
  }
})

t.test('a real code of the upstream\'s counts only with the issuer and the state it came with', async t => {
  const target = await startTarget(t)
  const client = await register(target)
  /** Logs in upstream, and stops before our callback. */
  const stolen = async () => {
    const { browser, url, state } = await sentUpstream(target, client)
    const answer = await codeAtUpstream(target, url)
    return { browser, state, code: answer.get('code') ?? '', iss: answer.get('iss') ?? '' }
  }
  const wrongIssuer = await stolen()
  t.not(wrongIssuer.code, '')
  t.equal(wrongIssuer.iss, target.upstream.issuer)
  const refused = await wrongIssuer.browser.open(
    `${target.url}/oauth/callback?${
      form({ code: wrongIssuer.code, state: wrongIssuer.state, iss: 'https://evil.example' })
    }`
  )
  t.equal(refused.url.searchParams.get('error'), 'server_error', 'another issuer')

  // two attempts in one browser, the answers crossed: PKCE and nonce of our own leg refuse
  const first = await sentUpstream(target, client)
  const second = await first.browser.open(authorizationUrl(target, client, { state: 'second' }))
  await first.browser.submit(second, {}, 'Allow access')
  const urls = first.browser.visited.filter(url => url.href.startsWith(`${target.upstream.issuer}/authorize?`))
  const [one, two] = [urls.at(-2), urls.at(-1)]
  if (one === undefined || two === undefined || one.href === two.href) throw new Error('Not two attempts')
  const answer = await codeAtUpstream(target, one)
  const crossed = await first.browser.open(
    `${target.url}/oauth/callback?${
      form({ code: answer.get('code') ?? '', state: two.searchParams.get('state') ?? '', iss: target.upstream.issuer })
    }`
  )
  t.ok(isAt(crossed, LOOPBACK_URI))
  t.equal(crossed.url.searchParams.get('state'), 'second')
  t.ok(crossed.url.searchParams.get('error'), 'the code of another attempt')
  t.equal(crossed.url.searchParams.get('code'), null)

  const other = await stolen()
  for (const state of ['', 'unknown', `${other.state}x`, STATE, 'constructor', '__proto__']) {
    t.equal(
      (await other.browser.open(`${target.url}/oauth/callback?${form({ code: other.code, state, iss: other.iss })}`))
        .status,
      400,
      `state ${JSON.stringify(state)}`
    )
  }
  const twice = new URLSearchParams([['code', other.code], ['state', other.state], ['state', 'x'], ['iss', other.iss]])
  t.equal((await other.browser.open(`${target.url}/oauth/callback?${twice}`)).status, 400, 'two states')
  const end = await other.browser.open(
    `${target.url}/oauth/callback?${form({ code: other.code, state: other.state, iss: other.iss })}`
  )
  t.ok(end.url.searchParams.get('code'), 'its own state is good')
})

/** The upstream's answer to a request, before anybody has seen it. */
async function codeAtUpstream (target: Target, url: URL): Promise<URLSearchParams> {
  const end = await logIn(new Browser(next => next.origin !== target.upstream.issuer, target.fetch), url)
  return end.url.searchParams
}
