import axe, { type AxeResults } from 'axe-core'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { Browser, logIn } from '../support/browser.js'
import { startService, type Service } from '../support/service.js'
import { browserTest } from './chromium.js'
import { sdkClient } from './clients.js'
import { cspReports, logInUpstream } from '../support/person.js'

const REDIRECT_URI = 'http://localhost:3334/callback'

/** Connects an application for a person. @returns its access token */
async function connect (service: Service, as: string, name: string): Promise<string> {
  const client = await sdkClient({ url: service.url, upstreamUrl: service.upstream.issuer, log: [] }, {
    client_name: name,
    redirect_uris: [REDIRECT_URI]
  })
  const { url, redeem } = await client.begin()
  const page = await logIn(new Browser(url => url.href.startsWith(REDIRECT_URI)), url, as)
  return (await redeem(page.url.searchParams)).access_token
}

/** Opens an MCP session with a token. @returns the status of the answer, and a stream of the session */
async function open (
  service: Service,
  token: string
): Promise<{ status: number, stream: () => Promise<ReadableStreamDefaultReader<Uint8Array>> }> {
  const headers = {
    authorization: `Bearer ${token}`,
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream'
  }
  const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'connections', version: '1' } }
  const begun = await fetch(`${service.url}/mcp`, {
    method: 'POST',
    headers,
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params })
  })
  await begun.text()
  return {
    status: begun.status,
    stream: async () => {
      const response = await fetch(`${service.url}/mcp`, {
        headers: { ...headers, 'mcp-session-id': begun.headers.get('mcp-session-id') ?? '' }
      })
      if (response.body === null) throw new Error('no stream')
      return response.body.getReader()
    }
  }
}

/** A browser in which somebody is signed in. */
async function signedIn (service: Service, as: string): Promise<Browser> {
  // the page itself has forms, which are not to be sent
  const browser = new Browser(url => url.pathname === '/oauth/connections' && url.search === '')
  const page = await logIn(browser, `${service.url}/oauth/connections/login`, as)
  if (page.url.pathname !== '/oauth/connections') throw new Error(`signing in ended at ${page.url.href}: ${page.html}`)
  return browser
}

async function checkAccessibility (t: Test, page: Page, name: string): Promise<void> {
  await page.evaluate(axe.source)
  for (const width of [375, 1400]) {
    await page.setViewportSize({ width, height: 800 })
    t.equal(
      await page.evaluate('document.documentElement.scrollWidth'),
      width,
      `${name}: no horizontal scroll at ${width} px`
    )
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      const { violations } = await page.evaluate<AxeResults>('axe.run()')
      t.strictSame(
        violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`),
        [],
        `${name}, ${width} px, ${colorScheme}`
      )
    }
  }
}

browserTest(
  'a person sees what is connected, and ends it: its token and its stream end at once',
  async (t, newContext) => {
    const service = await startService(t, { PUBLIC_TOOLS: 'true' })
    const token = await connect(service, 'alice', 'Alice\u202e’s editor')
    const kept = await connect(service, 'alice', 'Another app')
    await connect(service, 'bob', 'Bob’s app')
    const reader = await (await open(service, token)).stream()
    await reader.read()

    const context = await newContext()
    const reports = cspReports(context)
    const page = await context.newPage()
    await page.goto(service.url)
    t.equal(
      await page.getByRole('heading', { level: 1 }).textContent(),
      'sample',
      'the server says what it is'
    )
    t.ok(await page.getByText('Adds two numbers.').isVisible(), 'its tools are named where they are public')
    await context.grantPermissions(['clipboard-read', 'clipboard-write'])
    await page.getByRole('button', { name: 'Copy the address' }).click()
    await page.getByRole('button', { name: 'Copied' }).waitFor()
    t.equal(await page.evaluate('navigator.clipboard.readText()'), `${service.url}/mcp`)
    for (
      const client of ['Claude', 'Claude Code', 'ChatGPT', 'Cursor', 'VS Code', 'Codex', 'Gemini CLI', 'MCP Inspector']
    ) {
      t.ok(await page.getByRole('heading', { name: client, exact: true }).isVisible(), client)
    }
    await checkAccessibility(t, page, 'home page with tools')

    await page.getByRole('link', { name: 'See which applications' }).click()
    await checkAccessibility(t, page, 'sign-in page')
    await page.getByRole('link', { name: 'Sign in' }).click()
    await logInUpstream(page)
    await page.getByText('Signed in as alice').waitFor()
    t.same(
      (await page.getByRole('heading', { level: 2 }).allTextContents()).sort(),
      ['Alice’s editor', 'Another app'],
      'her own, each by its name, and not the page itself'
    )
    await checkAccessibility(t, page, 'connected apps')
    await page.getByRole('button', { name: 'Disconnect Alice’s editor' }).click()
    await page.getByRole('status').waitFor()
    t.same(await page.getByRole('heading', { level: 2 }).allTextContents(), ['Another app'])
    // ends, or the test times out
    while (!(await reader.read()).done);
    t.equal((await open(service, token)).status, 401)
    t.equal((await open(service, kept)).status, 200)
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByRole('link', { name: 'Sign in' }).waitFor()
    t.strictSame(reports, [], 'no policy was violated on the way')
  }
)

browserTest('the home page and the connected apps need no JavaScript', async (t, newContext) => {
  const service = await startService(t)
  await connect(service, 'alice', 'An app')
  const page = await (await newContext({ javaScriptEnabled: false })).newPage()
  await page.goto(service.url)
  t.equal(await page.getByRole('button').count(), 0, 'no button that does nothing')
  t.notOk(await page.getByText('Adds two numbers.').isVisible(), 'tools are not named to anybody')
  await page.getByRole('link', { name: 'See which applications' }).click()
  await page.getByRole('link', { name: 'Sign in' }).click()
  await logInUpstream(page)
  await page.getByRole('button', { name: 'Disconnect An app' }).click()
  await page.getByText('No application is connected.').waitFor()
})

t.test('nobody ends, or sees, what is somebody else\'s', async t => {
  const service = await startService(t)
  const token = await connect(service, 'alice', 'Alice’s app')
  const alice = await signedIn(service, 'alice')
  const bob = await signedIn(service, 'bob')
  const page = await alice.open(`${service.url}/oauth/connections`)
  const grant = page.document.querySelector('input[name=grant]')?.getAttribute('value') ?? ''
  t.match(grant, /^mcpg_/)
  t.notMatch((await bob.open(`${service.url}/oauth/connections`)).html, /Alice/)
  const end = async (browser: Browser, headers: Record<string, string> = { origin: service.url }) =>
    await browser.open(`${service.url}/oauth/connections/end`, {
      method: 'POST',
      body: new URLSearchParams({ grant }),
      headers
    })

  t.equal((await end(bob)).status, 400, 'another person')
  t.equal((await end(new Browser())).status, 403, 'nobody')
  t.equal((await end(alice, { origin: 'https://evil.example' })).status, 403, 'a form of another site')
  t.equal((await end(alice, { origin: 'null' })).status, 403)
  t.equal((await open(service, token)).status, 200, 'it is connected still')
  t.equal((await end(alice)).status, 200)
  t.equal((await open(service, token)).status, 401)
  t.equal((await end(alice)).status, 400, 'it is gone already')
})

t.test('a sign-in belongs to the browser that began it', async t => {
  const service = await startService(t)
  const attacker = new Browser(url => url.pathname === '/oauth/connections/callback')
  const { url } = await logIn(attacker, `${service.url}/oauth/connections/login`, 'mallory')
  t.ok(url.searchParams.has('code'))
  const victim = new Browser()
  const refused = await victim.open(url)
  t.equal(refused.status, 400, 'a browser that has begun nothing')
  await new Browser(target => target.pathname === '/authorize').open(`${service.url}/oauth/connections/login`)
  t.notMatch((await victim.open(`${service.url}/oauth/connections`)).html, /mallory/)

  for (
    const cookie of [
      'mcp-person=e30.x.y',
      `mcp-person=${Buffer.from('{"issuer":"i","subject":"alice","until":9e9}').toString('base64url')}.x.y`,
      'mcp-person='
    ]
  ) {
    const response = await fetch(`${service.url}/oauth/connections`, { headers: { cookie } })
    t.equal(response.status, 200)
    t.match(await response.text(), /Sign in to see/, 'a cookie that we have not signed is none')
  }
  for (const query of ['', '?code=x', '?state=x&code=y', '?error=access_denied&state=z']) {
    const response = await fetch(`${service.url}/oauth/connections/callback${query}`, { redirect: 'manual' })
    t.equal(response.status, 400, query)
    await response.text()
  }
})
