import type { BrowserContext } from 'playwright-core'
import { browserTest } from './chromium.js'
import { host, sdkClient, serve } from './clients.js'
import { startPages } from './pages-service.js'
import { answerAt, focused, logInUpstream } from '../support/person.js'

const WEB_CLIENT = 'https://client.example'

browserTest('it says who asks, for what, and where the answer goes', async (t, newContext) => {
  const service = await startPages(t, { redirectSchemes: ['cursor'], scopes: ['mcp', 'files:read', 'files:write'] })
  const page = await (await newContext()).newPage()
  const here = new URL(service.url).host
  const upstream = new URL(service.upstreamUrl).host

  await t.test('a registered web client', async t => {
    const client = await sdkClient(service, {
      client_name: 'Web client',
      client_uri: 'https://www.client.example/about',
      redirect_uris: [`${WEB_CLIENT}/callback`]
    })
    await page.goto((await client.begin({ scope: 'mcp files:read files:write' })).url)
    t.equal(await page.title(), 'Allow Web client?')
    t.equal(await page.getByRole('main').ariaSnapshot(), `\
- main:
  - heading "Allow Web client to use this server?" [level=1]
  - term: Says it is from
  - definition: www.client.example
  - term: Server
  - definition: ${here}
  - term: Access goes to
  - definition: client.example
  - term: You log in at
  - definition: ${upstream}
  - heading "It will be able to" [level=2]
  - list:
    - listitem: Use the tools of this server
    - listitem: Read your files
    - listitem: use “files:write”
  - paragraph: This includes every tool, resource and prompt that does not need a permission of its own.
  - heading "For this, the server asks ${upstream} for" [level=2]
  - list:
    - listitem: Who you are
    - listitem: Your name and profile
  - paragraph: Only this server gets that, not the application.
  - paragraph:
    - checkbox "Do not ask me again"
    - text: Do not ask me again
  - button "Allow access"
  - button "Deny"
  - button "Use another account"
  - paragraph: The application chose its name itself. Only allow access that you started yourself.
  - paragraph:
    - text: It stays connected for up to 180 days, or until you disconnect it at
    - link "your connected apps":
      - /url: ${service.url}/oauth/connections
    - text: .`)
  })

  await t.test('a client on this computer', async t => {
    await page.goto(
      (await (await sdkClient(service, { redirect_uris: ['http://localhost:3334/callback'] })).begin()).url
    )
    t.match(await page.getByRole('definition').allTextContents(), [here, 'this computer (localhost:3334)', upstream])
    t.match(await page.getByRole('note').textContent(), /Any program can use any name/)
    t.equal(await page.getByRole('checkbox').count(), 0, 'it is asked each time')
    t.equal(
      await page.getByRole('button', { name: 'Allow access', description: /Check this\..*on this computer/ }).count(),
      1,
      'the button tells the warning'
    )
  })

  await t.test('an app that claimed a scheme', async t => {
    await page.goto(
      (await (await sdkClient(service, { redirect_uris: ['cursor://anysphere.cursor-mcp/callback'] })).begin()).url
    )
    t.match(await page.getByRole('definition').allTextContents(), [here, 'an app on this device (cursor:)', upstream])
    t.match(await page.getByRole('note').textContent(), /whichever app on this device opens/)
    t.equal(await page.getByRole('checkbox').count(), 0, 'it is asked each time')
  })

  await t.test('a client whose site vouches for it', async t => {
    const documents: Record<string, string> = {}
    const site = await serve(t, documents)
    const clientId = `${site}/client.json`
    for (
      const [redirectUri, note] of [[`${WEB_CLIENT}/callback`, undefined], [
        'http://localhost:3334/callback',
        /The site is verified, the program is not\./
      ]] as const
    ) {
      // a query makes it another client
      const id = `${clientId}?${note === undefined ? 'web' : 'loopback'}`
      documents['/client.json'] = JSON.stringify({
        client_id: id,
        client_name: 'Document client',
        client_uri: 'https://elsewhere.example',
        redirect_uris: [redirectUri]
      })
      await page.goto((await (await sdkClient(service, { redirect_uris: [redirectUri] }, id)).begin()).url)
      t.equal(await page.getByRole('term').first().textContent(), 'Verified site')
      t.equal(await page.getByRole('definition').first().textContent(), new URL(site).host)
      t.equal(await page.getByText('elsewhere.example').count(), 0, 'what it says of itself is no news')
      t.equal(await page.getByRole('checkbox').count(), 0, 'it is asked each time')
      if (note === undefined) t.equal(await page.getByRole('note').count(), 0)
      else t.match(await page.getByRole('note').textContent(), note)
    }
  })

  await t.test('names that would be something else', async t => {
    const names = {
      ' \u3164\u2800\u200B ': 'an application without a name',
      '<img src=x onerror=alert(1)>&amp;': '<img src=x onerror=alert(1)>&amp;',
      'evil\u202Eelibom': 'evilelibom',
      ['😀'.repeat(100)]: '😀'.repeat(100)
    }
    for (const [name, shown] of Object.entries(names)) {
      await page.goto(
        (await (await sdkClient(service, { client_name: name, redirect_uris: [`${WEB_CLIENT}/callback`] })).begin()).url
      )
      t.equal(await page.getByRole('heading', { level: 1 }).textContent(), `Allow ${shown} to use this server?`)
    }
  })
})

browserTest('nothing of it comes from the client: its host does not learn who looks', async (t, newContext) => {
  const service = await startPages(t)
  const context = await newContext()
  const asked: string[] = []
  context.on('request', request => { asked.push(request.url()) })
  const page = await context.newPage()
  for (
    const logo of ['https://images.example/logo.svg', `${service.upstreamUrl}/logo.svg`, `${service.url}/logo.svg`]
  ) {
    const client = await sdkClient(service, {
      logo_uri: logo,
      client_uri: 'https://images.example/',
      redirect_uris: [`${WEB_CLIENT}/callback`]
    })
    await page.goto((await client.begin()).url)
    t.match(await page.getByRole('heading', { level: 1 }).textContent(), /^Allow Test client/)
    t.equal(await page.locator('img').count(), 0)
  }
  t.same(asked.filter(url => !url.startsWith(`${service.url}/authorize?`)), [], 'one request a page')
})

browserTest('it is at hand by keyboard, in order, and shows where the focus is', async (t, newContext) => {
  const service = await startPages(t)
  const page = await (await newContext()).newPage()
  await page.goto((await (await sdkClient(service, { redirect_uris: [`${WEB_CLIENT}/callback`] })).begin()).url)
  for (const stop of ['checkbox "Do not ask me again"', 'button "Allow access"', 'button "Deny"']) {
    await page.keyboard.press('Tab')
    t.equal(await focused(page), stop)
    t.equal(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle'), 'solid')
  }
  await page.keyboard.press('Shift+Tab')
  await page.keyboard.press('Shift+Tab')
  await page.keyboard.press('Space')
  t.ok(await page.getByRole('checkbox').isChecked())
})

browserTest(
  'a remembered decision stands for the same person, client, redirect URI and scopes',
  async (t, newContext) => {
    const service = await startPages(t)
    const metadata = { redirect_uris: [`${WEB_CLIENT}/callback`, `${WEB_CLIENT}/other`] }
    const [client, otherClient] = [await sdkClient(service, metadata), await sdkClient(service, metadata)]
    const context = await newContext()
    const asks = async (url: string, where: BrowserContext = context) => {
      const page = await where.newPage()
      await page.goto(url)
      const asked = await page.getByRole('button', { name: 'Allow access' }).isVisible()
      if (!asked) t.ok(page.url().startsWith(service.upstreamUrl), 'it goes straight to the login')
      await page.close()
      return asked
    }

    const page = await context.newPage()
    await host(page, WEB_CLIENT, { '/callback': 'Back at the client.' })
    await page.goto((await client.begin()).url)
    await page.getByRole('button', { name: 'Allow access' }).click()
    await logInUpstream(page)
    await answerAt(page, `${WEB_CLIENT}/callback`)
    t.ok(await asks((await client.begin()).url), 'nothing is remembered unless asked to')

    await page.goto((await client.begin()).url)
    await page.getByRole('checkbox', { name: 'Do not ask me again' }).check()
    await page.getByRole('button', { name: 'Deny' }).click()
    await answerAt(page, `${WEB_CLIENT}/callback`)
    t.ok(await asks((await client.begin()).url), 'a denial is not remembered')

    await page.goto((await client.begin()).url)
    await page.getByRole('checkbox', { name: 'Do not ask me again' }).check()
    await page.getByRole('button', { name: 'Allow access' }).click()
    await page.waitForURL(url => url.origin === service.upstreamUrl)
    t.ok(await asks((await client.begin()).url), 'nor one of somebody who has not logged in')
    await page.getByRole('button', { name: 'Continue' }).click()
    await answerAt(page, `${WEB_CLIENT}/callback`)
    t.notOk(await asks((await client.begin()).url), 'now it is')
    t.ok(await asks((await client.begin({ scope: 'files:read' })).url), 'another scope')
    t.ok(await asks((await client.begin({ scope: 'mcp files:read' })).url), 'one scope more')
    t.ok(await asks((await client.begin({ redirectUri: `${WEB_CLIENT}/other` })).url), 'another redirect URI')
    t.ok(await asks((await otherClient.begin()).url), 'another client of the same name and redirect URIs')
    t.notOk(await asks((await client.begin()).url), 'what was asked meanwhile changes nothing')
    t.ok(await asks((await client.begin()).url, await newContext()), 'another browser')
  })
