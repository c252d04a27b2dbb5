import { browserTest } from './chromium.js'
import { host, sdkClient, serve } from './clients.js'
import { startPages } from './pages-service.js'
import { cspReports, logInUpstream } from '../support/person.js'

browserTest('the content security policy applies, and lets the pages be as they are', async (t, newContext) => {
  const service = await startPages(t)
  const client = await sdkClient(service, { redirect_uris: ['http://localhost:3334/callback'] })
  const context = await newContext({ colorScheme: 'light' })
  const page = await context.newPage()
  const reports = cspReports(context)

  for (const url of [(await client.begin()).url, service.url, `${service.url}/authorize`]) {
    const response = await page.goto(url)
    const policy = response?.headers()['content-security-policy'] ?? ''
    t.match(policy, /default-src 'none'.*base-uri 'none'; frame-ancestors 'none'/)
    t.notMatch(policy, 'form-action', 'Chromium would apply it to the redirects that follow the form')
    t.notMatch(policy, 'unsafe')
    t.equal(response?.headers()['cross-origin-opener-policy'], 'same-origin')
    t.equal(
      await page.evaluate('getComputedStyle(document.querySelector("main")).borderTopStyle'),
      'solid',
      'the style has the hash'
    )
  }
  t.strictSame(reports, [], 'nothing of our own is refused')

  const violated = page.evaluate<string[]>(`new Promise(resolve => {
    const violated = []
    addEventListener(
      'securitypolicyviolation',
      ({ effectiveDirective }) => { if (violated.push(effectiveDirective) === 6) resolve(violated.sort()) }
    )
    const add = (name, properties) => document.body.append(Object.assign(document.createElement(name), properties))
    add('script', { textContent: 'document.title = "ran"' })
    add('style', { textContent: 'main { display: none }' })
    add('img', { src: '${service.url}/logo.png' })
    add('iframe', { src: '${service.url}/' })
    add('base', { href: 'https://evil.example/' })
    fetch('/').catch(() => {})
  })`)
  t.strictSame(await violated, ['base-uri', 'connect-src', 'frame-src', 'img-src', 'script-src-elem', 'style-src-elem'])
  t.not(await page.title(), 'ran')
  t.ok(await page.getByRole('main').isVisible())
})

browserTest('no page is framed', async (t, newContext) => {
  const service = await startPages(t)
  const { url } = await (await sdkClient(service, { redirect_uris: ['http://localhost:3334/callback'] })).begin()
  const embedded = url.replaceAll('&', '&amp;')
  const page = await (await newContext()).newPage()
  const frames = [
    `<iframe src="${embedded}">`,
    `<iframe sandbox="allow-forms" src="${embedded}">`,
    `<embed src="${embedded}">`,
    `<iframe src="${service.url}/">`,
    `<iframe src="${service.url}/authorize">`
  ]
  for (const frame of frames) {
    const refusal = page.waitForEvent('console', { predicate: message => message.text().includes('frame-ancestors') })
    await page.goto(`${await serve(t, { '/': frame })}/`)
    await refusal
    const [child] = page.frames().filter(child => child !== page.mainFrame())
    await child?.waitForURL('chrome-error://chromewebdata/')
    t.equal(await child?.locator('main').count(), 0, `nothing of ours in ${frame.replace(/\?.*(?=")/, '')}`)
  }
})

browserTest(
  'the upstream and the client do not learn where the browser comes from; our form says it',
  async (t, newContext) => {
    const service = await startPages(t)
    const client = await sdkClient(service, { redirect_uris: ['https://client.example/callback'] })
    const page = await (await newContext()).newPage()
    await host(page, 'https://client.example', { '/callback': 'Back at the client.' })
    const asked = page.waitForRequest(`${service.url}/authorize/consent`)
    const sent = page.waitForRequest(request => request.url().startsWith(service.upstreamUrl))
    const answered = page.waitForRequest(request => request.url().startsWith('https://client.example/'))

    await page.goto((await client.begin()).url)
    await page.getByRole('button', { name: 'Allow access' }).click()
    t.equal((await (await asked).allHeaders()).origin, service.url, 'the form is posted with our origin, not with null')
    const toUpstream = await (await sent).allHeaders()
    t.equal(toUpstream.referer, undefined)
    t.equal(toUpstream.origin, undefined)
    await logInUpstream(page)
    t.notMatch((await (await answered).allHeaders()).referer ?? '', service.url)

    const refused = new URL((await client.begin()).url)
    refused.searchParams.delete('code_challenge')
    for (
      const [url, way] of [[(await client.begin()).url, page.getByRole('button', { name: 'Deny' })], [
        refused.href,
        page.getByRole('link', { name: 'Go back' })
      ]] as const
    ) {
      await page.goto(url)
      const told = page.waitForRequest(request => request.url().startsWith('https://client.example/'))
      await way.click()
      t.equal((await (await told).allHeaders()).referer, undefined)
    }
  })
