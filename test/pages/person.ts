import type { BrowserContext, Page } from 'playwright-core'

/** Logs in at the demo upstream, whose login page the tab shows, and consents there. */
export async function logInUpstream (page: Page, name = 'alice'): Promise<void> {
  await page.getByPlaceholder('Enter any login').fill(name)
  await page.getByPlaceholder('and password').fill('any')
  await page.getByRole('button', { name: 'Sign-in' }).click()
  await page.getByRole('button', { name: 'Continue' }).click()
}

/** The parameters that a client gets, once the tab is at its redirect URI. */
export async function answerAt (page: Page, redirectUri: string): Promise<URLSearchParams> {
  await page.waitForURL(url => url.href.startsWith(redirectUri))
  return new URL(page.url()).searchParams
}

/** What Chromium says of content security policies, in every tab; it goes on to grow. */
export function cspReports (context: BrowserContext): readonly string[] {
  const reports: string[] = []
  context.on('console', message => {
    if (/content security policy/i.test(message.text())) reports.push(message.text())
  })
  return reports
}

/** The element that has the focus, as a screen reader names it: `button "Deny"`. */
export async function focused (page: Page): Promise<string> {
  const snapshot = await page.locator(':focus').ariaSnapshot()
  return snapshot.replace(/^- /, '').replace(/ \[active\]/, '')
}
