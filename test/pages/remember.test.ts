import type { BrowserContext } from 'playwright-core'
import { browserTest } from './chromium.js'
import { host, sdkClient } from './clients.js'
import { startPages } from './pages-service.js'
import { answerAt, logInUpstream } from './person.js'

const REDIRECT_URI = 'https://client.example/callback'
const OTHER_REDIRECT_URI = 'https://client.example/other'

browserTest('a remembered decision stands for the same client, redirect URI and scopes, in the same browser', async (t, newContext) => {
  const service = await startPages(t)
  const metadata = { redirect_uris: [REDIRECT_URI, OTHER_REDIRECT_URI] }
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
  await host(page, 'https://client.example', { '/callback': 'Back at the client.' })
  await page.goto((await client.begin()).url)
  await page.getByRole('button', { name: 'Allow access' }).click()
  await logInUpstream(page)
  await answerAt(page, REDIRECT_URI)
  t.ok(await asks((await client.begin()).url), 'nothing is remembered unless asked to')

  await page.goto((await client.begin()).url)
  await page.getByRole('checkbox', { name: 'Do not ask again in this browser' }).check()
  await page.getByRole('button', { name: 'Deny' }).click()
  await answerAt(page, REDIRECT_URI)
  t.ok(await asks((await client.begin()).url), 'a denial is not remembered')

  await page.goto((await client.begin()).url)
  await page.getByRole('checkbox', { name: 'Do not ask again in this browser' }).check()
  await page.getByRole('button', { name: 'Allow access' }).click()
  await page.waitForURL(url => url.origin === service.upstreamUrl)
  t.notOk(await asks((await client.begin()).url), 'now it is')
  t.ok(await asks((await client.begin({ scope: 'files:read' })).url), 'another scope')
  t.ok(await asks((await client.begin({ scope: 'mcp files:read' })).url), 'one scope more')
  t.ok(await asks((await client.begin({ redirectUri: OTHER_REDIRECT_URI })).url), 'another redirect URI')
  t.ok(await asks((await otherClient.begin()).url), 'another client of the same name and redirect URIs')
  t.notOk(await asks((await client.begin()).url), 'what was asked meanwhile changes nothing')
  t.ok(await asks((await client.begin()).url, await newContext()), 'another browser')
})
