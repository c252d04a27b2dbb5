import { parse } from 'node-html-parser'
import t from 'tap'
import { clientSetups } from '../../src/pages/client-setups.js'
import { demoLoginText } from '../../src/pages/home.js'
import { runFile } from '../operations/service-process.js'
import { freePort } from '../support/free-port.js'
import { startService } from '../support/service.js'
import { browserTest } from './chromium.js'

const HOSTED = ['Claude', 'ChatGPT']

t.test('clients that call from their own servers need a public https address', async t => {
  for (
    const [origin, isPublic] of [
      ['http://localhost:5050', false],
      ['http://127.0.0.1:5050', false],
      ['https://localhost', false],
      ['https://10.1.2.3', false],
      ['https://[fd00::1]', false],
      ['https://mcp', false],
      ['https://mcp.local', false],
      ['https://mcp.corp.internal', false],
      ['https://mcp.example.com', true],
      ['https://mcp.example.com:8443/tools', true],
      ['https://8.8.8.8', true]
    ] as const
  ) {
    for (const { client, how, text } of clientSetups(`${origin}/mcp`)) {
      const sentHere = text.includes(`${origin}/mcp`)
      t.equal(sentHere, isPublic || !HOSTED.includes(client), `${client} and ${origin}`)
      if (sentHere) continue
      t.match(how, /calls from its own servers, which cannot reach .*public https address.*PUBLIC_URL/)
      t.match(text, `cloudflared tunnel --url ${new URL(origin).origin}`)
    }
  }
})

t.test('the page and the console say the same, with the demo login', async t => {
  const [port, upstreamPort] = [await freePort(), await freePort()]
  const process = runFile(t, 'src/server', {
    PORT: String(port),
    DEMO_UPSTREAM_PORT: String(upstreamPort),
    LOG_LEVEL: 'silent'
  })
  await process.line(/mcp-remote/)
  const { text } = parse(await (await fetch(`http://localhost:${port}/`)).text())
  const setups = clientSetups(`http://localhost:${port}/mcp`)
  for (const line of [...setups.map(setup => setup.text), demoLoginText(`http://localhost:${upstreamPort}`)]) {
    t.ok(text.includes(line), `the page: ${line}`)
    t.ok(process.output.some(printed => printed.trim() === line), `the console: ${line}`)
  }
  t.ok(setups.some(({ text }) => text.includes(' demo ')), 'by the name that the README uses')
})

t.test('without the demo, no demo login', async t => {
  const service = await startService(t)
  t.notMatch((await service.app.inject('/')).body, /any password/)
})

browserTest('"Copy" works where browsers have no clipboard: on plain http', async (t, newContext) => {
  const service = await startService(t)
  const page = await (await newContext()).newPage()
  await page.addInitScript(`
    Object.defineProperty(Navigator.prototype, 'clipboard', { value: undefined })
    document.addEventListener('copy', () => { window.copied = document.activeElement.value })
  `)
  await page.goto(service.url)
  await page.getByRole('button', { name: 'Copy the address' }).click()
  await page.getByRole('button', { name: 'Copied' }).waitFor()
  t.equal(await page.evaluate('window.copied'), `${service.url}/mcp`)
  t.equal(await page.locator('textarea').count(), 0, 'nothing is left behind')
})
