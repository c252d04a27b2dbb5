import t, { type Test } from 'tap'
import type { Browser, Page } from '../support/browser.js'
import {
  authorizationUrl,
  finish,
  isAt,
  isGood,
  newTokens,
  openBrowser,
  redeem,
  register,
  parseTokens,
  WEB_URI,
  type Client,
  type Parameters
} from '../support/oauth-flow.js'
import { approve, startTarget, type Target } from '../support/target.js'

const OTHER_URI = 'https://other.example/callback'

const isConsent = (page: Page) =>
  page.document.querySelectorAll('button').some(button => button.text.trim() === 'Allow access')

/** Whether a person is asked before they are sent to log in. */
async function isAsked (
  target: Target,
  client: Client,
  browser: Browser,
  parameters: Parameters = {}
): Promise<boolean> {
  return isConsent(await browser.open(authorizationUrl(target, client, parameters)))
}

/** Logs in where nobody is asked before. @returns where that leads: the consent page, or the client */
async function logInUnasked (target: Target, client: Client, browser: Browser, as: string): Promise<Page> {
  const login = await browser.open(authorizationUrl(target, client))
  if (isConsent(login)) throw new Error('asked before the login')
  return await browser.submit(login, { login: as, password: 'any' })
}

/** A person signs in to their connected apps. @returns that page */
async function connections (target: Target, browser: Browser, as: string): Promise<Page> {
  let page = await browser.open(`${target.url}/oauth/connections/login`)
  if (page.document.querySelector('input[name=login]') !== null) {
    page = await browser.submit(page, { login: as, password: 'any' })
  }
  if (page.url.pathname !== '/oauth/connections') throw new Error(`signing in ended at ${page.url.href}: ${page.html}`)
  return page
}

async function press (target: Target, browser: Browser, page: Page, action: 'end' | 'logout'): Promise<void> {
  const form = page.document.querySelectorAll('form').find(form =>
    form.getAttribute('action')?.endsWith(`/${action}`) === true
  )
  const grant = form?.querySelector('input[name=grant]')?.getAttribute('value')
  const body = new URLSearchParams(grant === undefined ? {} : { grant })
  const { status } = await browser.open(`${target.url}/oauth/connections/${action}`, {
    method: 'POST',
    body,
    headers: { origin: target.url }
  })
  if (form === undefined || status !== 200) throw new Error(`${action} ended with ${status}`)
}

/** A target, a client, and a browser whose person has approved it for good. */
async function approved (t: Test): Promise<{ target: Target, client: Client, browser: Browser, code: string }> {
  const target = await startTarget(t)
  const client = await register(target, WEB_URI)
  const browser = openBrowser(target)
  const code = (await approve(target, client, browser)).get('code') ?? ''
  return { target, client, browser, code }
}

t.test('a person who has approved a client is not asked again', async t => {
  const { target, client, browser } = await approved(t)
  t.notOk(await isAsked(target, client, browser))
  t.ok(isAt(await logInUnasked(target, client, browser, 'alice'), WEB_URI), 'straight to the client')
})

t.test('another person who logs in at that browser is asked, before the client gets anything', async t => {
  const { target, client, browser } = await approved(t)
  const page = await logInUnasked(target, client, browser, 'bob')
  t.ok(isConsent(page), 'the consent page, after the login')
  t.equal(page.status, 200)
  t.match(page.document.querySelector('dl')?.text, /You logged in as\s*bob/)
  t.equal(page.headers.get('location'), null, 'the client hears nothing yet')

  const end = await browser.submit(page, {}, 'Allow access')
  t.ok(isAt(end, WEB_URI))
  const { accessToken } = parseTokens(await redeem(target, client, end.url.searchParams.get('code') ?? ''))
  t.ok(await isGood(target, accessToken))
  t.equal((await browser.submit(page, {}, 'Allow access')).status, 400, 'once')
  t.equal((await browser.submit(page, {}, 'Deny')).status, 400)
  t.ok(await isAsked(target, client, browser), 'Bob has not let it stand')
})

t.test('who denies after the login gives nothing away', async t => {
  const { target, client, browser } = await approved(t)
  const page = await logInUnasked(target, client, browser, 'bob')
  const end = await browser.submit(page, {}, 'Deny')
  t.ok(isAt(end, WEB_URI))
  t.equal(end.url.searchParams.get('error'), 'access_denied')
  t.equal(end.url.searchParams.get('code'), null)
  t.equal((await browser.submit(page, {}, 'Allow access')).status, 400, 'to deny is the end')
})

t.test('the page after the login is for its own browser, and cannot be made up', async t => {
  const { target, client, browser } = await approved(t)
  const page = await logInUnasked(target, client, browser, 'bob')
  const stranger = openBrowser(target)
  await stranger.open(authorizationUrl(target, client))
  for (const button of ['Allow access', 'Deny']) {
    const { status, headers } = await stranger.submit(page, {}, button)
    t.equal(status, 403, button)
    t.equal(headers.get('location'), null)
  }
  // the page before the login does not stand for the one after it
  const first = await stranger.open(authorizationUrl(target, client))
  t.ok(isConsent(first))
  t.ok(isAt(await browser.submit(page, {}, 'Allow access'), WEB_URI), 'it is still Bob\'s to answer')
})

t.test('an approval is its person\'s, wherever they log in', async t => {
  const { target, client, browser } = await approved(t)
  const elsewhere = openBrowser(target)
  t.ok(await isAsked(target, client, elsewhere), 'nobody knows who is there')
  await finish(elsewhere, await elsewhere.open(authorizationUrl(target, client)), 'alice')
  t.notOk(await isAsked(target, client, elsewhere), 'Alice has approved it')
  await finish(
    browser,
    await browser.open(authorizationUrl(target, await register(target, OTHER_URI), { redirect_uri: OTHER_URI })),
    'bob'
  )
  t.ok(await isAsked(target, client, browser), 'Bob, who logged in last here, has not')
})

t.test('to disconnect an application is to be asked again', async t => {
  const { target, client, browser, code } = await approved(t)
  const { accessToken } = parseTokens(await redeem(target, client, code))
  const other = await register(target, OTHER_URI)
  await approve(target, other, browser)
  t.notOk(await isAsked(target, client, browser))
  await press(target, browser, await connections(target, browser, 'alice'), 'end')
  t.notOk(await isGood(target, accessToken))
  t.ok(await isAsked(target, client, browser), 'the application that was disconnected')
  t.notOk(await isAsked(target, other, browser), 'not the other one')
})

t.test('disconnected from another browser, too, and while somebody is on their way', async t => {
  const { target, client, browser, code } = await approved(t)
  parseTokens(await redeem(target, client, code))
  const login = await browser.open(authorizationUrl(target, client))
  t.notOk(isConsent(login), 'assumed')
  const elsewhere = openBrowser(target)
  await press(target, elsewhere, await connections(target, elsewhere, 'alice'), 'end')
  t.ok(isConsent(await browser.submit(login, { login: 'alice', password: 'any' })), 'what was assumed is no longer so')
  t.ok(await isAsked(target, client, browser))
})

t.test('to sign out is to be asked again, by every application', async t => {
  const { target, client, browser } = await approved(t)
  const page = await connections(target, browser, 'alice')
  await newTokens(target, await register(target, WEB_URI))
  await press(target, browser, page, 'logout')
  t.ok(await isAsked(target, client, browser))
  await finish(browser, await browser.open(authorizationUrl(target, client)), 'alice')
  t.ok(await isAsked(target, client, browser), 'nor does it come back with the next login')
})

t.test('more than was approved is asked for', async t => {
  const target = await startTarget(t, { MCP_SCOPES: 'mcp files admin' })
  const client = await register(target, WEB_URI)
  const browser = openBrowser(target)
  await approve(target, client, browser, { parameters: { scope: 'mcp files' } })
  for (
    const [scope, asked] of [['mcp files', false], ['files mcp', false], ['mcp', false], ['mcp files admin', true], [
      'admin',
      true
    ]] as const
  ) {
    t.equal(await isAsked(target, client, browser, { scope }), asked, scope)
  }
})
