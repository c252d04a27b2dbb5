import { browserTest } from './chromium.js'
import { sdkClient } from './clients.js'
import { startPages } from './pages-service.js'

const CLIENT = 'https://client.example/callback'
/** The button's first moment, held for as long as the test likes: a busy machine is not too late for it. */
const HOLD = `
  const button = document.querySelector('button.arm')
  button.style.animation = 'none'
  button.offsetWidth
  button.style.animation = ''
  globalThis.arming = button.getAnimations()[0]
  arming.pause()`

browserTest('"Allow" takes no press of a pointer in its first moment', async (t, newContext) => {
  const service = await startPages(t)
  const page = await (await newContext()).newPage()
  const sent: string[] = []
  page.on('request', request => { if (request.method() === 'POST') sent.push(request.url()) })
  await page.goto((await (await sdkClient(service, { redirect_uris: [CLIENT] })).begin()).url)
  await page.evaluate(HOLD)
  const allow = page.getByRole('button', { name: 'Allow access' })
  const { x = 0, y = 0, width = 0, height = 0 } = await allow.boundingBox() ?? {}
  const press = async () => await page.mouse.click(x + width / 2, y + height / 2)
  await press()
  await press()
  t.strictSame(sent, [])
  t.ok(await allow.isVisible(), 'the page is still there')
  await page.evaluate('arming.finish()')
  await press()
  await page.waitForURL(url => url.origin === service.upstreamUrl)
  t.strictSame(sent, [`${service.url}/authorize/consent`], 'then it does')
})

browserTest('"Allow" that was pressed by key before it can have been read does not count', async (t, newContext) => {
  const service = await startPages(t, { consentDelayMs: 2000 })
  const page = await (await newContext()).newPage()
  await page.goto((await (await sdkClient(service, { redirect_uris: [CLIENT] })).begin()).url)
  const allow = page.getByRole('button', { name: 'Allow access' })
  await allow.press('Enter')
  t.match(await page.getByRole('alert').textContent(), /too fast/)
  t.equal(new URL(page.url()).origin, service.url, 'it goes nowhere')
  await allow.click()
  await page.waitForURL(url => url.origin === service.upstreamUrl)
  t.pass('who has read it goes on')
})

browserTest('a window that opened the page has no hold of it', async (t, newContext) => {
  const service = await startPages(t)
  const { url } = await (await sdkClient(service, { redirect_uris: [CLIENT] })).begin()
  const context = await newContext()
  const attacker = await context.newPage()
  await context.route(
    'https://evil.example/',
    route => route.fulfill({ contentType: 'text/html', body: '<h1>Double click here</h1>' })
  )
  await attacker.goto('https://evil.example/')
  const opening = context.waitForEvent('page')
  await attacker.evaluate(`opened = window.open(${JSON.stringify(url)})`)
  const page = await opening
  await page.getByRole('button', { name: 'Allow access' }).waitFor()
  t.equal(await page.evaluate('window.opener'), null)
  t.equal(await attacker.evaluate('opened.closed'), true, 'to the opener it is as good as closed')
})

browserTest('without JavaScript it is the same', async (t, newContext) => {
  const service = await startPages(t, { consentDelayMs: 2000 })
  const page = await (await newContext({ javaScriptEnabled: false })).newPage()
  await page.goto((await (await sdkClient(service, { redirect_uris: [CLIENT] })).begin()).url)
  const allow = page.getByRole('button', { name: 'Allow access' })
  await allow.press('Enter')
  await page.getByRole('alert').waitFor()
  await allow.press('Enter')
  await page.waitForURL(url => url.origin === service.upstreamUrl)
  t.pass('the second answer counts')
})
