import assert from 'node:assert/strict'
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import type { Browser as Chromium } from 'playwright-core'
import { Browser, logIn } from '../support/browser.js'
import { launchChromium } from '../pages/launch.js'
import { logInUpstream } from '../support/person.js'
import { end } from '../replicas/processes.js'
import { Report } from '../support/report.js'
import { scriptArguments } from '../support/script-arguments.js'
import { freePort } from '../support/free-port.js'
import { INSTALLED } from './client-list.js'
import { installed, nodeOf } from './installed.js'
import { authorizationUrlIn } from './journeys.js'
import { targetOf } from './targets.js'

/*
 * MCP Inspector at a running service.
 * Its command line and its web UI (in Chromium) log in, call `add` with 2 and 3, and get 5.
 */
const { positionals: [chosen = 'start'] } = scriptArguments(
  'npx tsx test/e2e/inspector.ts [start | consumer | dist-redis | URL]'
)
const { inspector: VERSION } = INSTALLED
const INSPECTOR_NODE = '24'
const API_TOKEN = 'e2e'
// the page is 2.5 MB of script, which a busy machine takes a while to run
const STEP_MS = 60_000

type Transport = 'http' | 'sse'

const node = await nodeOf(INSPECTOR_NODE)
const launcher = join(await installed('@modelcontextprotocol/inspector', VERSION), 'clients/launcher/build/index.js')
// where it keeps its state
const home = mkdtempSync(join(tmpdir(), 'inspector-'))
const endpoint = (url: string, transport: Transport) => `${url}/${transport === 'sse' ? 'sse' : 'mcp'}`

/** Runs the Inspector. Where it would open a browser, it prints the URL: there is none on its PATH. */
function inspector (
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {}
): ChildProcessByStdio<null, Readable, Readable> {
  return spawn(node, [launcher, ...args], {
    env: { PATH: '/nonexistent', HOME: home, MCP_INSPECTOR_SECRET_STORE: 'memory', ...environment },
    stdio: ['ignore', 'pipe', 'pipe']
  })
}

/** Its command line, which logs in by itself: it prints where, and waits for the code on a port of loopback. */
async function commandLine (url: string, transport: Transport, era: 'legacy' | 'modern'): Promise<void> {
  const args = [
    '--cli',
    '--server-url',
    endpoint(url, transport),
    '--transport',
    transport,
    '--protocol-era',
    era,
    '--callback-url',
    `http://127.0.0.1:${await freePort()}/oauth/callback`
  ]
  // without a terminal, it has to be told that somebody is there to log in
  const child = inspector([
    ...args,
    '--method',
    'tools/call',
    '--tool-name',
    'add',
    '--tool-args-json',
    '{"l":2,"r":3}',
    '--format',
    'json'
  ], { MCP_AUTO_OPEN_ENABLED: 'true' })
  try {
    const result = text(child.stdout)
    await logIn(new Browser(), await authorizationUrlIn(child.stderr))
    const printed = await result
    assert.match(printed, /"text":\s*"5"/)
  } finally {
    await end(child, 'SIGKILL')
  }
}

/** Its web UI: connects, logs in, lists the tools, fills in the form of one and runs it. */
async function webInterface (
  chromium: Chromium,
  url: string,
  transport: Transport,
  era: 'legacy' | 'modern'
): Promise<void> {
  const port = await freePort()
  const child = inspector([
    '--web',
    '--server-url',
    endpoint(url, transport),
    '--transport',
    transport,
    '--protocol-era',
    era
  ], {
    CLIENT_PORT: String(port),
    MCP_SANDBOX_PORT: String(await freePort()),
    MCP_APP_ORIGIN_PORT: String(await freePort()),
    MCP_AUTO_OPEN_ENABLED: 'false',
    MCP_INSPECTOR_API_TOKEN: API_TOKEN
  })
  child.stderr.resume()
  const context = await chromium.newContext()
  context.setDefaultTimeout(STEP_MS)
  try {
    const page = await context.newPage()
    await listens(`http://127.0.0.1:${port}`)
    await page.goto(`http://127.0.0.1:${port}/?MCP_INSPECTOR_API_TOKEN=${API_TOKEN}`, { waitUntil: 'commit' })
    // by key: the box itself has no size to click at, and what one sees of it moves while the page fills
    await page.getByRole('switch', { name: /^Connect or disconnect/ }).press('Space')
    await page.getByRole('button', { name: 'Allow access' }).click()
    await logInUpstream(page)
    await page.getByRole('banner').getByText('Tools', { exact: true }).click()
    await page.getByRole('button', { name: /\badd$/ }).click()
    await page.getByRole('textbox', { name: 'l', exact: true }).fill('2')
    await page.getByRole('textbox', { name: 'r', exact: true }).fill('3')
    await page.getByRole('button', { name: 'Execute Tool' }).click()
    await page.getByRole('main').getByText('5', { exact: true }).first().waitFor()
  } catch (error) {
    process.stdout.write(`${await context.pages()[0]?.locator('body').ariaSnapshot() ?? ''}\n`)
    throw error
  } finally {
    await context.close()
    await end(child, 'SIGKILL')
  }
}

async function listens (url: string): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (await fetch(url).then(() => true, () => false)) return
    await delay(100)
  }
  throw new Error(`Nobody listens at ${url}.`)
}

const target = await targetOf(chosen)
const chromium = await launchChromium()
const report = new Report(`MCP Inspector ${VERSION} at ${chosen}, ${target.url}`)
await report.attempt('--cli, Streamable HTTP', () => commandLine(target.url, 'http', 'legacy'))
await report.attempt('--cli, Streamable HTTP, 2026-07-28', () => commandLine(target.url, 'http', 'modern'))
await report.attempt('--cli, HTTP+SSE', () => commandLine(target.url, 'sse', 'legacy'))
await report.attempt('web UI, Streamable HTTP', () => webInterface(chromium, target.url, 'http', 'legacy'))
await report.attempt('web UI, Streamable HTTP, 2026-07-28', () => webInterface(chromium, target.url, 'http', 'modern'))
await report.attempt('web UI, HTTP+SSE', () => webInterface(chromium, target.url, 'sse', 'legacy'))
await chromium.close()
await target.stop()
rmSync(home, { recursive: true })
report.end()
