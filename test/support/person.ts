import type { OAuthClientProvider } from '@modelcontextprotocol/sdk/client/auth.js'
import type {
  OAuthClientInformationMixed,
  OAuthClientMetadata,
  OAuthTokens
} from '@modelcontextprotocol/sdk/shared/auth.js'
import type { BrowserContext, Page } from 'playwright-core'
import { Browser, logIn } from './browser.js'

const REDIRECT_URI = 'http://localhost:3334/callback'

/** A browser that stops where it would return to the client. @param fetch the way to the pages */
export function openPersonsBrowser (fetch = globalThis.fetch): Browser {
  return new Browser(url => url.href.startsWith(REDIRECT_URI), fetch)
}

/** A person with a browser, and what their MCP client remembers of its login; serves both SDK lines. */
export class Person implements OAuthClientProvider {
  readonly name: string
  readonly browser: Browser
  readonly clientMetadata: OAuthClientMetadata
  readonly redirectUrl = REDIRECT_URI
  authorizationUrl: URL | undefined
  #client: OAuthClientInformationMixed | undefined
  #tokens: OAuthTokens | undefined
  #codeVerifier = ''

  /** @param browser in which they may have logged in before */
  constructor (name: string, metadata: Partial<OAuthClientMetadata> = {}, browser = openPersonsBrowser()) {
    this.name = name
    this.browser = browser
    this.clientMetadata = {
      client_name: 'Test client',
      redirect_uris: [REDIRECT_URI],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
      ...metadata
    }
  }

  state () { return `state-of-${this.name}` }
  clientInformation () { return this.#client }
  saveClientInformation (client: OAuthClientInformationMixed) { this.#client = client }
  tokens () { return this.#tokens }
  saveTokens (tokens: OAuthTokens) { this.#tokens = tokens }
  redirectToAuthorization (url: URL) { this.authorizationUrl = url }
  saveCodeVerifier (codeVerifier: string) { this.#codeVerifier = codeVerifier }
  codeVerifier () { return this.#codeVerifier }

  /**
   * Logs in and consents where the client sent the browser; returns the parameters of the redirect back to the client.
   */
  async logIn (): Promise<URLSearchParams> {
    if (this.authorizationUrl === undefined) throw new Error('The client did not ask to log in.')
    const { url, status, html } = await logIn(this.browser, this.authorizationUrl, this.name)
    if (!url.href.startsWith(REDIRECT_URI)) throw new Error(`The login ended at ${url.href} (${status}): ${html}`)
    return url.searchParams
  }

  /** The client's access token; throws before the login. */
  get accessToken (): string {
    if (this.#tokens === undefined) throw new Error(`${this.name} is not logged in.`)
    return this.#tokens.access_token
  }
}

/* The same person in front of Chromium. */

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
