import { browserTest } from './chromium.js'
import { host, sdkClient, serve, STATE } from './clients.js'
import { startPages } from './pages-service.js'
import { answerAt, cspReports, focused, logInUpstream } from '../support/person.js'

const WEB_CLIENT = 'https://client.example'

browserTest('a client on this computer logs in; the pages need no JavaScript', async (t, newContext) => {
  const service = await startPages(t)
  const redirectUri = `${await serve(t, { '/callback': 'You can close this page.' })}/callback`
  const client = await sdkClient(service, { redirect_uris: [redirectUri] })
  for (const javaScriptEnabled of [true, false]) {
    const context = await newContext({ javaScriptEnabled, viewport: { width: 375, height: 800 } })
    const reports = cspReports(context)
    const page = await context.newPage()
    const { url, redeem } = await client.begin()
    await page.goto(url)
    await page.getByRole('button', { name: 'Allow access' }).click()
    await logInUpstream(page)
    const answer = await answerAt(page, redirectUri)
    t.equal(answer.get('state'), STATE)
    t.equal(answer.get('iss'), service.url)
    t.match(await redeem(answer), { token_type: /bearer/i, access_token: String }, 'the code is good for tokens')
    t.strictSame(reports, [], 'no policy was violated on the way')
  }
})

browserTest('the whole login by keyboard', async (t, newContext) => {
  const service = await startPages(t)
  const redirectUri = `${await serve(t, { '/callback': 'You can close this page.' })}/callback`
  const { url } = await (await sdkClient(service, { redirect_uris: [redirectUri] })).begin()
  const page = await (await newContext()).newPage()
  await page.goto(url)
  await page.keyboard.press('Tab')
  t.equal(await focused(page), 'button "Allow access"')
  await page.keyboard.press('Enter')
  await page.locator('input[name=login]:focus').waitFor()
  await page.keyboard.type('alice')
  await page.keyboard.press('Tab')
  await page.keyboard.type('any')
  await page.keyboard.press('Enter')
  await page.locator('button:focus').filter({ hasText: 'Continue' }).waitFor()
  await page.keyboard.press('Enter')
  t.type((await answerAt(page, redirectUri)).get('code'), 'string')
})

browserTest(
  'a web client logs in by a popup, whose pages talk by a channel of their own: our pages have no opener',
  async (t, newContext) => {
    const service = await startPages(t)
    const client = await sdkClient(service, { redirect_uris: [`${WEB_CLIENT}/callback`] })
    const context = await newContext()
    const opener = await context.newPage()
    const pages = {
      '/': '',
      '/callback': '<script>new BroadcastChannel("login").postMessage(String(window.opener) + location.search)</script>'
    }
    await host(opener, WEB_CLIENT, pages)
    const logIn = async (url: string) => {
      pages['/'] = `<button onclick="window.open('${url.replaceAll('&', '&amp;')}')">Log in</button>
      <script>
        new BroadcastChannel('login').onmessage = ({ data }) => { document.body.append('The popup says ' + data) }
      </script>`
      await opener.goto(`${WEB_CLIENT}/`)
      const opened = context.waitForEvent('page')
      await opener.getByRole('button', { name: 'Log in' }).click()
      const popup = await opened
      await host(popup, WEB_CLIENT, pages)
      return popup
    }
    const told = opener.getByText('The popup says null')

    const allowing = await logIn((await client.begin()).url)
    await allowing.getByRole('button', { name: 'Allow access' }).click()
    await logInUpstream(allowing)
    t.match(await told.textContent(), /code=.*&state=the-state&iss=/)

    const denying = await logIn((await client.begin()).url)
    await denying.getByRole('button', { name: 'Deny' }).click()
    t.match(await told.textContent(), /error=access_denied/)

    const refused = new URL((await client.begin()).url)
    refused.searchParams.delete('code_challenge')
    const refusing = await logIn(refused.href)
    await refusing.getByRole('link', { name: 'Go back to client.example' }).click()
    t.match(await told.textContent(), /error=invalid_request.*&state=the-state&iss=/)
  })

browserTest('who denies is sent back with access_denied, and may go back and think again', async (t, newContext) => {
  const service = await startPages(t)
  const redirectUri = `${await serve(t, { '/callback': 'You can close this page.' })}/callback`
  const { url } = await (await sdkClient(service, { redirect_uris: [redirectUri] })).begin()
  const page = await (await newContext()).newPage()
  await page.goto(url)
  await page.getByRole('button', { name: 'Allow access' }).click()
  await page.getByRole('button', { name: 'Sign-in' }).waitFor()
  await page.goBack()
  await page.getByRole('button', { name: 'Deny' }).click()
  const answer = await answerAt(page, redirectUri)
  t.equal(answer.get('error'), 'access_denied')
  t.equal(answer.get('state'), STATE)
  t.equal(answer.get('iss'), service.url)
  t.notOk(answer.has('code'))
  await page.goBack()
  await page.getByRole('button', { name: 'Allow access' }).click()
  await logInUpstream(page)
  t.ok((await answerAt(page, redirectUri)).has('code'))
})

browserTest('who presses again while the login server is slow gets there', async (t, newContext) => {
  const service = await startPages(t)
  const { url } = await (await sdkClient(service, { redirect_uris: ['http://localhost:3334/callback'] })).begin()
  const context = await newContext()
  const page = await context.newPage()
  const session = await context.newCDPSession(page)
  const slow = new Promise(resolve => session.once('Fetch.requestPaused', resolve))
  await session.send('Fetch.enable', { patterns: [{ urlPattern: `${service.upstreamUrl}/*` }] })
  await page.goto(url)
  await page.getByRole('button', { name: 'Allow access' }).focus()
  await page.keyboard.press('Enter')
  await slow
  const again = page.waitForResponse(`${service.url}/authorize/consent`)
  await page.keyboard.press('Enter')
  t.match((await again).headers().location, service.upstreamUrl)
})
