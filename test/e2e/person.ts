import type { OAuthClientProvider } from '@modelcontextprotocol/sdk/client/auth.js'
import type {
  OAuthClientInformationMixed,
  OAuthClientMetadata,
  OAuthTokens
} from '@modelcontextprotocol/sdk/shared/auth.js'
import { Browser, logIn } from '../support/browser.js'

const REDIRECT_URI = 'http://localhost:3334/callback'

/** A person with a browser, and what their MCP client remembers of its login; serves both SDK lines. */
export class Person implements OAuthClientProvider {
  readonly name: string
  readonly browser = new Browser(url => url.href.startsWith(REDIRECT_URI))
  readonly clientMetadata: OAuthClientMetadata
  readonly redirectUrl = REDIRECT_URI
  authorizationUrl: URL | undefined
  #client: OAuthClientInformationMixed | undefined
  #tokens: OAuthTokens | undefined
  #codeVerifier = ''

  constructor (name: string, metadata: Partial<OAuthClientMetadata> = {}) {
    this.name = name
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

  /** Logs in and consents where the client sent the browser; returns the parameters of the redirect back to the client. */
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
