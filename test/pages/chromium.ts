import type { Browser, BrowserContext, BrowserContextOptions } from 'playwright-core'
import t, { type Test } from 'tap'
import { find, lacking } from '../support/programs.js'
import { launchChromium } from './launch.js'

let launched: Promise<Browser> | undefined

/** A new browser profile; it ends with the test. */
export type NewContext = (options?: BrowserContextOptions) => Promise<BrowserContext>

/**
 * A test in headless Chromium, which is started once for a test file. Skipped where there is none; in CI, that fails.
 */
export function browserTest (
  name: string,
  check: (t: Test, newContext: NewContext) => Promise<void>,
  options: { todo?: string } = {}
): void {
  const executablePath = find('chromium')
  const skip = executablePath === undefined && process.env.CI !== 'true' ? lacking('chromium') : false
  t.test(name, { ...options, skip }, async t => {
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

async function launch (executablePath: string | undefined): Promise<Browser> {
  const browser = await launchChromium(executablePath)
  t.teardown(() => browser.close())
  return browser
}
