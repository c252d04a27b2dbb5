import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { browserTest } from './chromium.js'
import { sdkClient, STATE } from './clients.js'
import { startPages } from './pages-service.js'
import { logInUpstream } from '../support/person.js'

const ID = /id ([\da-f-]{36})$/

browserTest('an error page says what to do, and an id that the log has', async (t, newContext) => {
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  const service = await startPages(t, { stores })
  const page = await (await newContext()).newPage()
  const logged = async () => {
    const [, id = 'no id'] = ID.exec(await page.getByText(/^Error /).innerText()) ?? []
    return service.log.filter(line => line.includes(id)).join('')
  }

  await page.goto(`${service.url}/authorize?client_id=nobody`)
  t.ok(await page.getByRole('heading', { name: 'This did not work', level: 1 }).isVisible())
  t.equal(await page.getByRole('alert').innerText(), 'The client is unknown. Register it again.')
  t.match(await logged(), '"code":"invalid_client"')

  const client = await sdkClient(service, { redirect_uris: ['https://client.example/callback'] })
  await page.goto((await client.begin()).url)
  await page.getByRole('button', { name: 'Allow access' }).click()
  await page.waitForURL(url => url.origin === service.upstreamUrl)
  // our cookie is of this browser; the upstream's alone goes on
  await page.context().clearCookies({ name: 'mcp-browser' })
  await logInUpstream(page)
  t.match(
    await page.getByRole('alert').innerText(),
    'This login began in another browser, or this browser blocks cookies.'
  )
  t.match(await logged(), '"detail":"the browser cookie is not that of the attempt"')

  stores.authorizations.add = async () => { throw new Error('the store is on fire') }
  await page.goto((await client.begin()).url)
  await page.getByRole('button', { name: 'Allow access' }).click()
  t.equal(await page.getByRole('alert').innerText(), 'Something went wrong on our side.')
  t.notMatch(await page.content(), 'fire', 'what went wrong is none of the person\'s business')
  t.match(await logged(), 'the store is on fire')
})

browserTest('a refusal is told to a client that nobody vouches for if the person wants it', async (t, newContext) => {
  const service = await startPages(t)
  const client = await sdkClient(service, { redirect_uris: ['https://client.example/callback'] })
  const page = await (await newContext()).newPage()
  await page.goto((await client.begin({ scope: 'all' })).url)
  t.equal(new URL(page.url()).origin, service.url, 'the browser stays with us')
  t.equal(
    await page.getByRole('alert').innerText(),
    'None of the requested scopes is known. Known scopes: mcp files:read.'
  )
  const target = new URL(await page.getByRole('link', { name: 'Go back to client.example' }).getAttribute('href') ?? '')
  t.match(Object.fromEntries(target.searchParams), { error: 'invalid_scope', state: STATE, iss: service.url })
  const [, id = 'no id'] = ID.exec(await page.getByText(/^Error /).innerText()) ?? []
  t.match(service.log.filter(line => line.includes(id)).join(''), '/authorize')
})
