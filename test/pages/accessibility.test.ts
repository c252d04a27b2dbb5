import axe, { type AxeResults } from 'axe-core'
import { browserTest } from './chromium.js'
import { sdkClient } from './clients.js'
import { startPages } from './pages-service.js'

const ADMIN_TOKEN = 'the-token-of-the-operators'
const LONG = 'pneumonoultramicroscopicsilicovolcanoconiosis'

browserTest('every page is accessible, and as wide as the window, in both colour schemes', async (t, newContext) => {
  const service = await startPages(t, { redirectSchemes: ['cursor'], adminToken: ADMIN_TOKEN })
  const webClient = await sdkClient(service, {
    client_name: `${LONG} for teams`,
    client_uri: `https://${LONG}.example`,
    redirect_uris: [`https://${LONG}.${LONG}.example/callback`]
  })
  const loopbackClient = await sdkClient(service, { redirect_uris: ['http://localhost:3334/callback'] })
  const privateUseClient = await sdkClient(service, { redirect_uris: [`cursor://${LONG}/callback`] })
  const pages = {
    'consent page of a web client': (await webClient.begin({ scope: 'mcp files:read' })).url,
    'consent page of a client on this computer': (await loopbackClient.begin()).url,
    'consent page of an app with a scheme': (await privateUseClient.begin()).url,
    'refusal page': (await webClient.begin({ scope: LONG })).url,
    'error page': `${service.url}/authorize?client_id=nobody`,
    'home page': `${service.url}/`,
    'page of the last logins': `${service.url}/admin/attempts`
  }
  const page = await (await newContext({ httpCredentials: { username: 'me', password: ADMIN_TOKEN } })).newPage()
  for (const [name, url] of Object.entries(pages)) {
    await page.goto(url)
    await page.evaluate(axe.source)
    for (const width of [320, 375, 1400]) {
      await page.setViewportSize({ width, height: 800 })
      t.equal(
        await page.evaluate('document.documentElement.scrollWidth'),
        width,
        `${name}: no horizontal scroll at ${width} px`
      )
      if (width === 320) continue
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme })
        const { violations, passes } = await page.evaluate<AxeResults>('axe.run()')
        t.ok(passes.some(({ id }) => id === 'color-contrast'), 'axe has looked')
        t.strictSame(
          violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`),
          [],
          `${name}, ${width} px, ${colorScheme}`
        )
      }
    }
  }
})
