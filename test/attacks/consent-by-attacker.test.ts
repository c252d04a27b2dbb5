import t from 'tap'
import { logIn, type Browser } from '../support/browser.js'
import { textAt } from '../support/json.js'
import {
  authorizationUrl,
  form,
  isAt,
  isGood,
  openBrowser,
  redeem,
  register,
  parseTokens,
  WEB_URI,
  type Client
} from '../support/oauth-flow.js'
import { agree, approve, startTarget, type Target } from '../support/target.js'

/**
 * Agrees on the consent page.
 * @returns where the service sends the browser then: the upstream, with the state of the attempt
 */
async function consent (target: Target, client: Client, browser: Browser): Promise<URL> {
  const page = await browser.open(authorizationUrl(target, client))
  await browser.submit(page, {}, 'Allow access')
  const sent = browser.visited.filter(url => url.href.startsWith(`${target.upstream.issuer}/authorize?`)).at(-1)
  if (sent === undefined) throw new Error('Not sent upstream')
  return sent
}

const callbackOf = ({ visited }: Browser) => visited.filter(url => url.pathname === '/oauth/callback').at(-1)

t.test('what the attacker agreed to, the victim cannot be lured to complete', async t => {
  const target = await startTarget(t)
  const client = await register(target, WEB_URI)
  const [attacker, victim] = [openBrowser(target), openBrowser(target)]
  const lure = await consent(target, client, attacker)

  const page = await logIn(victim, lure, 'victim')
  t.equal(page.status, 403, 'refused')
  t.equal(page.url.pathname, '/oauth/callback', 'at our callback, on a page of ours')
  t.match(page.html, 'another browser')
  t.notOk(victim.visited.some(url => url.href.startsWith(WEB_URI)), 'nothing goes to the client')

  const own = await logIn(attacker, lure, 'attacker')
  t.ok(isAt(own, WEB_URI), 'the attempt was not consumed: its own browser completes it')
  t.ok(own.url.searchParams.get('code'))
})

t.test('what the victim agreed to, the attacker cannot complete', async t => {
  const target = await startTarget(t)
  const client = await register(target, WEB_URI)
  const [attacker, victim] = [openBrowser(target), openBrowser(target)]
  const stolen = await consent(target, client, victim)

  t.equal((await logIn(attacker, stolen, 'attacker')).status, 403, 'logging in upstream does not help')
  const forged = await attacker.open(callbackOf(attacker)?.href ?? '')
  t.equal(forged.status, 403, 'nor does the callback again')
  // an attacker with cookies of their own making
  for (
    const cookie of [
      'mcp-browser=x',
      `mcp-browser=${'A'.repeat(43)}.process.${'A'.repeat(43)}`,
      `mcp-browser=${'A'.repeat(43)}`
    ]
  ) {
    const { statusCode } = await target.app.inject({
      url: `${callbackOf(attacker)?.pathname}${callbackOf(attacker)?.search}`,
      headers: { cookie }
    })
    t.equal(statusCode, 403, `nor does ${cookie.slice(0, 20)}`)
  }

  const end = await logIn(victim, stolen, 'victim')
  t.ok(isAt(end, WEB_URI), 'the victim goes on undisturbed')
  const { accessToken } = parseTokens(await redeem(target, client, end.url.searchParams.get('code') ?? ''))
  t.ok(await isGood(target, accessToken))
})

t.test('the cookie is taken as it was given only', async t => {
  const target = await startTarget(t)
  const client = await register(target, WEB_URI)
  const { cookie, state } = await agree(target, client)
  const callback = `/oauth/callback?${form({ state, error: 'access_denied', iss: target.upstream.issuer })}`
  const [name = '', value = ''] = cookie.split('=')
  const [content = '', key = '', signature = ''] = value.split('.')
  for (
    const altered of [
      content,
      `${content}.${key}.`,
      `${content}.${key}`,
      `${content}..${signature}`,
      `${content}.${key}.${signature.slice(0, -1)}`,
      `${content}~${'A'.repeat(22)}:9999999999.${key}.${signature}`,
      `${content}.other.${signature}`
    ]
  ) {
    t.equal(
      (await target.app.inject({ url: callback, headers: { cookie: `${name}=${altered}` } })).statusCode,
      403,
      altered.replace(content, '…')
    )
  }
  t.equal((await target.app.inject({ url: callback, headers: { cookie } })).statusCode, 302)
})

t.test('nobody answers another browser\'s consent page', async t => {
  const target = await startTarget(t)
  const client = await register(target, WEB_URI)
  const [attacker, victim] = [openBrowser(target), openBrowser(target)]
  const page = await victim.open(authorizationUrl(target, client))
  const transaction = page.document.querySelector('input[name=transaction]')?.getAttribute('value')
  await attacker.open(authorizationUrl(target, client))

  for (const decision of ['allow', 'deny']) {
    const answer = await attacker.open(`${target.url}/authorize/consent`, {
      method: 'POST',
      body: form({ transaction, decision }),
      headers: { origin: target.url }
    })
    t.equal(answer.status, 403, `${decision}: refused`)
    t.equal(answer.headers.get('location'), null)
  }
  t.equal(
    (await target.app.inject({ url: `/oauth/callback?state=${transaction}&code=x` })).statusCode,
    400,
    'a consent cannot be skipped'
  )

  const end = await logIn(victim, authorizationUrl(target, client), 'victim')
  t.ok(isAt(end, WEB_URI))
  const again = await victim.submit(page, {}, 'Deny')
  t.equal(again.url.searchParams.get('error'), 'access_denied', 'the page was still the victim\'s to answer')
  t.equal((await victim.submit(page, {}, 'Allow access')).status, 400, 'once')
})

t.test('what a person wants remembered is for that client, redirect URI, scope and resource only', async t => {
  const target = await startTarget(t, { MCP_SCOPES: 'mcp admin' })
  const other = 'https://app.example/other'
  const client = await register(target, WEB_URI, { redirect_uris: [WEB_URI, other] })
  const stranger = await register(target, WEB_URI)
  const browser = openBrowser(target)
  await approve(target, client, browser)
  const isAsked = async (asked: Client, parameters = {}) =>
    (await browser.open(authorizationUrl(target, asked, parameters))).document.querySelector(
      'input[name=transaction]'
    ) !== null

  t.notOk(await isAsked(client), 'remembered')
  t.ok(await isAsked(stranger), 'not for another client')
  t.ok(await isAsked(client, { redirect_uri: other }), 'not for another redirect URI')
  t.ok(await isAsked(client, { scope: 'mcp admin' }), 'not for another scope')
  t.ok(await isAsked(client, { resource: `${target.url}/sse` }), 'not for another resource')
})

t.test('behind https no other site can set the cookie, nor a script read it', async t => {
  const target = await startTarget(t, { PUBLIC_URL: 'https://mcp.example' })
  const registration = await target.app.inject({
    method: 'POST',
    url: '/register',
    payload: { redirect_uris: [WEB_URI], token_endpoint_auth_method: 'none' }
  })
  const { pathname, search } = authorizationUrl(target, {
    clientId: textAt(registration.json(), 'client_id'),
    redirectUri: WEB_URI
  })
  const { headers } = await target.app.inject({ url: pathname + search })
  const cookie = String(headers['set-cookie'])
  t.match(cookie, /^__Host-mcp-browser=/)
  for (const attribute of ['Secure', 'HttpOnly', 'SameSite=Lax', 'Path=/']) t.match(cookie, attribute)
  t.notMatch(cookie, /domain=/i)
})
