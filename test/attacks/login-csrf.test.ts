import t from 'tap'
import { Browser, logIn } from '../support/browser.js'
import { authorizationUrl, form, isAt, openBrowser, register, WEB_URI, type Client } from '../support/oauth-flow.js'
import { startTarget, type Target } from '../support/target.js'

const HOSTILE_ORIGINS = [
  'https://evil.example',
  'null',
  '',
  'http://localhost',
  'http://localhost:1',
  'https://localhost',
  'file://'
]

/** The attacker logs in upstream, and keeps the URL that would complete it. */
async function callbackOfAttacker (target: Target, client: Client): Promise<{ attacker: Browser, callback: URL }> {
  const attacker = new Browser(url => url.pathname === '/oauth/callback', target.fetch)
  const { url } = await logIn(attacker, authorizationUrl(target, client), 'attacker')
  if (url.searchParams.get('code') === null) throw new Error(`No code at ${url.href}`)
  return { attacker, callback: url }
}

t.test('the attacker\'s callback, opened in the victim\'s browser, logs nobody in', async t => {
  const target = await startTarget(t)
  const client = await register(target, WEB_URI)
  const { attacker, callback } = await callbackOfAttacker(target, client)
  const fresh = openBrowser(target)
  const known = openBrowser(target)
  await logIn(known, authorizationUrl(target, client), 'victim')
  const busy = openBrowser(target)
  await busy.submit(await busy.open(authorizationUrl(target, client)), {}, 'Allow access')

  for (
    const [what, victim] of Object.entries({
      'that has never been here': fresh,
      'that has logged in': known,
      'that is logging in': busy
    })
  ) {
    const page = await victim.open(callback)
    t.equal(page.status, 403, `a browser ${what}`)
    t.equal(page.headers.get('location'), null)
    t.equal(page.document.querySelector('a, form'), null, 'nothing goes to the client')
  }
  // the victim's own attempt, completed with the attacker's code
  const state =
    busy.visited.find(url => url.href.startsWith(`${target.upstream.issuer}/authorize?`))?.searchParams.get('state') ??
      ''
  const injected = await busy.open(
    `${target.url}/oauth/callback?${form({ ...Object.fromEntries(callback.searchParams), state })}`
  )
  t.ok(isAt(injected, WEB_URI))
  t.equal(injected.url.searchParams.get('code'), null, 'the attacker\'s code is no good for another attempt')
  t.ok(injected.url.searchParams.get('error'))

  // the code was never spent, so the refusals above came before
  const end = await new Browser(url => url.origin === new URL(WEB_URI).origin, target.fetch).open(callback)
  t.equal(end.status, 403, 'a browser without the cookie')
  t.ok(attacker.visited.length > 0)
})

t.test('the attacker\'s own browser can still complete it', async t => {
  const target = await startTarget(t)
  const client = await register(target, WEB_URI)
  const attacker = openBrowser(target)
  const victim = openBrowser(target)
  await attacker.submit(await attacker.open(authorizationUrl(target, client)), {}, 'Allow access')
  const sent = attacker.visited.filter(url => url.href.startsWith(`${target.upstream.issuer}/authorize?`)).at(-1)
  if (sent === undefined) throw new Error('Not sent upstream')
  const elsewhere = new Browser(url => url.pathname === '/oauth/callback', target.fetch)
  const { url: callback } = await logIn(elsewhere, sent, 'attacker')
  t.equal((await victim.open(callback)).status, 403)
  const end = await attacker.open(callback)
  t.ok(isAt(end, WEB_URI), 'the victim\'s visit consumed nothing')
  t.ok(end.url.searchParams.get('code'))
  t.equal((await attacker.open(callback)).status, 400, 'once')
})

t.test('the consent form is taken from our page in the same browser only', async t => {
  const target = await startTarget(t)
  const client = await register(target, WEB_URI)
  const victim = openBrowser(target)
  const page = await victim.open(authorizationUrl(target, client))
  const transaction = page.document.querySelector('input[name=transaction]')?.getAttribute('value')
  const body = () => form({ transaction, decision: 'allow' })
  const consent = `${target.url}/authorize/consent`

  for (const origin of HOSTILE_ORIGINS) {
    const { status, headers } = await victim.open(consent, { method: 'POST', body: body(), headers: { origin } })
    t.equal(status, 403, `with the cookie, from the origin ${JSON.stringify(origin)}`)
    t.equal(headers.get('location'), null)
  }
  for (const origin of [target.url, undefined]) {
    const { status } = await openBrowser(target).open(consent, {
      method: 'POST',
      body: body(),
      headers: origin === undefined ? {} : { origin }
    })
    t.equal(status, 403, 'without the cookie')
  }
  const get = await victim.open(`${consent}?${body()}`)
  t.equal(get.status, 405, 'by a link')
  t.equal(
    (await victim.open(consent, { method: 'POST', body: form({ transaction }), headers: { origin: target.url } }))
      .status,
    400,
    'without a decision'
  )
  t.equal(
    (await victim.open(consent, {
      method: 'POST',
      body: form({ transaction, decision: 'maybe' }),
      headers: { origin: target.url }
    })).status,
    400,
    'with half of one'
  )
  t.equal(
    (await victim.open(consent, {
      method: 'POST',
      body: new URLSearchParams([...body(), ['decision', 'deny']]),
      headers: { origin: target.url }
    })).status,
    400,
    'with two'
  )

  await victim.submit(page, {}, 'Allow access')
  t.ok(
    victim.visited.some(url => url.href.startsWith(`${target.upstream.issuer}/authorize?`)),
    'after all that the person can still answer'
  )
})
