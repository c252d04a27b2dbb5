import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions } from 'playwright-core'
import t, { type Test } from 'tap'

const MISSING = 'Chromium is not on PATH. Install it: apt-get install -y --no-install-recommends chromium'

// nothing but this machine is there: pages that load a font from elsewhere do not wait for it
const ARGUMENTS = ['--no-sandbox', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1']

let launched: Promise<Browser> | undefined

/** A new browser profile; it ends with the test. */
export type NewContext = (options?: BrowserContextOptions) => Promise<BrowserContext>

/** A test in headless Chromium, which is started once for a test file. Skipped where there is none; in CI, that fails. */
export function browserTest (name: string, check: (t: Test, newContext: NewContext) => Promise<void>, options: { todo?: string } = {}): void {
  const executablePath = find('chromium')
  const skip = executablePath === undefined && process.env.CI !== 'true' ? MISSING : false
  t.test(name, { ...options, skip }, async t => {
    if (executablePath === undefined) throw new Error(MISSING)
    launched ??= launch(executablePath)
    const browser = await launched
    await check(t, async options => {
      const context = await browser.newContext(options)
      context.setDefaultTimeout(10_000)
      t.teardown(() => context.close())
      return context
    })
  })
}

async function launch (executablePath: string): Promise<Browser> {
  const browser = await chromium.launch({ executablePath, args: ARGUMENTS })
  t.teardown(() => browser.close())
  return browser
}

function find (command: string): string | undefined {
  return (process.env.PATH ?? '').split(delimiter).map(folder => join(folder, command)).find(isExecutable)
}

function isExecutable (file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
