import { randomUUID } from 'node:crypto'
import type { JWTPayload } from 'jose'
import type { UpstreamOptions } from '../../oauth/options.js'
import { fetchFrom } from '../inject-fetch.js'
import { UpstreamClients } from './clients.js'
import { UpstreamLogins, type UpstreamLogin } from './logins.js'
import { describeUpstream, SCOPES } from './metadata.js'
import type { ScriptableUpstreamOptions } from './options.js'
import { UpstreamTokens } from './tokens.js'
import {
  errorAnswer,
  findEndpoint,
  loginPage,
  param,
  readParameters,
  toResponse,
  type ReceivedRequest,
  type UpstreamAnswer,
  type UpstreamEndpoint,
  type UpstreamOverride
} from './requests.js'

/** What a test has scripted. */
interface Script {
  down: boolean
  denying: boolean
  refreshTokens: boolean
  expiresIn: number | null
  held: { released: Promise<void>, ask: () => void, release: () => void } | undefined
}

/**
 * An authorization server of a test (OAuth 2, OpenID Connect): discovery, keys, login, code with PKCE, refresh tokens
 * that rotate and whose reuse ends the login, registration, revocation, userinfo. It keeps the rules, but for what the
 * test scripts. It listens nowhere: `fetch` is the way to it. Anybody logs in by their name.
 * @example
 * ```ts
 * import assert from 'node:assert/strict'
 * import { ScriptableUpstream, testClient } from 'fastify-mcp-oauth/testing'
 * import { buildApp } from './app.js'
 *
 * const upstream = new ScriptableUpstream()
 * const client = testClient(await buildApp(upstream.options), { upstream })
 * upstream.outage()
 * await assert.rejects(client.login({ as: 'alice' }))
 * upstream.restore()
 * await client.login({ as: 'alice' })
 * assert.equal(upstream.tokenRequests('authorization_code').length, 1)
 * ```
 */
export class ScriptableUpstream {
  /** Every request of its endpoints, oldest first. */
  readonly requests: ReceivedRequest[] = []
  /** What its endpoints do instead; may change during a test. */
  readonly overrides: Partial<Record<UpstreamEndpoint, UpstreamOverride>>
  /** The clients that it knows. */
  readonly clients: UpstreamClients
  /** Of its endpoints. */
  readonly origin: string
  /** Its issuer: the origin, with the path of the options. */
  readonly issuer: string
  /** The way to it, in place of a network. */
  readonly fetch: typeof fetch
  readonly #options: ScriptableUpstreamOptions
  #script: Script
  readonly #tokens: UpstreamTokens
  readonly #pending = new Map<string, ReceivedRequest>()
  readonly #logins = new UpstreamLogins()

  constructor (options: ScriptableUpstreamOptions = {}) {
    this.origin = options.origin ?? 'https://login.test'
    this.issuer = this.origin + (options.path ?? '')
    this.clients = new UpstreamClients(`${this.origin}/registration/`)
    this.overrides = { ...options.overrides }
    this.#options = options
    this.#tokens = new UpstreamTokens(this.issuer, options)
    this.#script = this.#asMade()
    this.fetch = fetchFrom(request => this.#serve(request))
  }

  /**
   * The `upstream` of `mcpService`, in dynamic mode; with a client registered by hand, put `clientId` and
   * `clientSecret` beside it.
   */
  get options (): UpstreamOptions {
    return { issuerUrl: new URL(this.issuer), scopes: SCOPES, fetch: this.fetch }
  }

  /** It cannot be reached, until `restore`. */
  outage (): void {
    this.#script.down = true
  }

  /** People are refused: every login comes back with `access_denied`, until `restore`. */
  deny (): void {
    this.#script.denying = true
  }

  /** From now on its token answers have no refresh token, until `restore`. */
  withoutRefreshTokens (): void {
    this.#script.refreshTokens = false
  }

  /** Access tokens that it issues from now on live so long (null: it does not say), until `restore`. */
  accessTokensLive (seconds: number | null): void {
    this.#script.expiresIn = seconds
  }

  /** It takes requests, and answers none until `release`, or `restore`. @returns `asked`: the first of them is there */
  hold (): { asked: Promise<void>, release: () => void } {
    let [ask, release] = [() => {}, () => {}]
    const asked = new Promise<void>(resolve => { ask = resolve })
    const held = { released: new Promise<void>(resolve => { release = resolve }), ask, release }
    this.#script.held = held
    return {
      asked,
      release: () => {
        this.#script.held = undefined
        held.release()
      }
    }
  }

  /** Ends whatever was scripted by the methods above; `overrides` stay. */
  restore (): void {
    this.#script.held?.release()
    this.#script = this.#asMade()
  }

  /** Logs everybody out: their tokens no longer work. */
  endLogins (): void {
    this.#logins.endAll()
  }

  /** Requests of one endpoint so far. */
  asked (endpoint: UpstreamEndpoint): ReceivedRequest[] {
    return this.requests.filter(request => request.endpoint === endpoint)
  }

  /** Token requests of one grant type so far. */
  tokenRequests (grantType: 'authorization_code' | 'refresh_token'): ReceivedRequest[] {
    return this.asked('token').filter(({ parameters }) => parameters.grant_type === grantType)
  }

  /** Whether an access token of it still works. */
  isAlive (accessToken: string): boolean {
    return this.#logins.find(accessToken) !== undefined
  }

  #asMade (): Script {
    const { refreshTokens = true, expiresIn = 600 } = this.#options
    return { down: false, denying: false, refreshTokens, expiresIn, held: undefined }
  }

  async #serve (request: Request): Promise<Response> {
    if (this.#script.down) throw new TypeError('fetch failed', { cause: new Error(`${this.origin} cannot be reached`) })
    return toResponse(await this.#answer(request))
  }

  async #answer (incoming: Request): Promise<UpstreamAnswer> {
    const url = new URL(incoming.url)
    const parameters = await readParameters(incoming)
    if (url.pathname === '/login') return this.#login(String(parameters.request), String(parameters.login))
    const endpoint = findEndpoint(url.pathname, this.#options)
    if (endpoint === undefined) {
      return { status: 404, headers: { 'content-type': 'text/html' }, body: '<h1>Not Found</h1>' }
    }
    const request = {
      endpoint,
      method: incoming.method,
      url,
      headers: Object.fromEntries(incoming.headers),
      parameters
    }
    this.requests.push(request)
    this.#script.held?.ask()
    await this.#script.held?.released
    const usual = async () => await this.#usual(request)
    return await (this.overrides[endpoint]?.(request, usual) ?? usual())
  }

  async #usual (request: ReceivedRequest): Promise<UpstreamAnswer> {
    switch (request.endpoint) {
      case 'openid-configuration':
      case 'oauth-authorization-server':
        return { status: 200, body: this.metadata() }
      case 'authorize':
        return this.#authorize(request)
      case 'token':
        return await this.#token(request)
      case 'register':
        return this.clients.register(request)
      case 'registration':
        return this.clients.deregister(request)
      case 'revoke':
        return this.#revoke(request)
      case 'userinfo':
        return this.#userinfo(request, sub =>
          ({ sub, name: `${sub} of userinfo`, email: `${sub}@userinfo.example` }))
      case 'user':
        return this.#userinfo(request, login =>
          ({ id: login.length + 1000, login, name: `${login} of user`, email: null }))
      case 'jwks':
        return { status: 200, body: await this.#tokens.jwks() }
    }
  }

  /** What it says of itself (RFC 8414). */
  metadata (): Record<string, unknown> {
    return describeUpstream(this, this.#options)
  }

  #authorize (request: ReceivedRequest): UpstreamAnswer {
    const client = this.clients.get(param(request, 'client_id'))
    // never redirect before these two are known
    if (client === undefined || !client.redirectUris.includes(param(request, 'redirect_uri'))) {
      return { status: 400, body: 'unknown client or redirect_uri' }
    }
    if (param(request, 'response_type') !== 'code') {
      return this.redirect(request, { error: 'unsupported_response_type' })
    }
    if (param(request, 'code_challenge_method') !== 'S256') return this.redirect(request, { error: 'invalid_request' })
    const id = randomUUID()
    this.#pending.set(id, request)
    return loginPage(id)
  }

  #login (id: string, subject: string): UpstreamAnswer {
    const request = this.#pending.get(id)
    if (request === undefined) return { status: 400, body: 'no such request' }
    this.#pending.delete(id)
    if (this.#script.denying) return this.redirect(request, { error: 'access_denied' })
    const [nonce, resource] = [param(request, 'nonce'), param(request, 'resource')]
    const code = this.#logins.begin({
      subject,
      scope: param(request, 'scope'),
      clientId: param(request, 'client_id'),
      redirectUri: param(request, 'redirect_uri'),
      codeChallenge: param(request, 'code_challenge'),
      ended: false,
      ...nonce !== '' && { nonce },
      ...resource !== '' && { resource }
    })
    return this.redirect(request, { code })
  }

  /** The redirect back to the client. */
  redirect (request: ReceivedRequest, parameters: Record<string, string>): UpstreamAnswer {
    const location = new URL(param(request, 'redirect_uri'))
    const iss = this.metadata().authorization_response_iss_parameter_supported === true ? { iss: this.issuer } : {}
    location.search = new URLSearchParams({ ...iss, ...parameters, state: param(request, 'state') }).toString()
    return { status: 302, headers: { location: location.href } }
  }

  async #token (request: ReceivedRequest): Promise<UpstreamAnswer> {
    const client = this.clients.of(request)
    if (client === undefined) {
      return { ...errorAnswer(401, 'invalid_client'), headers: { 'www-authenticate': 'Basic realm="upstream"' } }
    }
    const login = this.#logins.claim(request)
    if (login === undefined || login.clientId !== client.clientId) return errorAnswer(400, 'invalid_grant')
    return { status: 200, body: await this.#issue(login, param(request, 'grant_type') === 'refresh_token') }
  }

  async #issue (login: UpstreamLogin, refreshed: boolean): Promise<Record<string, unknown>> {
    const { refreshTokens, expiresIn } = this.#script
    const { idTokens = true, accessToken = () => this.#tokens.accessToken(login, expiresIn ?? 600) } = this.#options
    const access = await accessToken(login.subject)
    const refresh = refreshTokens ? randomUUID() : undefined
    this.#logins.keep(login, access, refresh)
    const isLogin = !refreshed && login.scope.split(' ').includes('openid')
    return {
      access_token: access,
      token_type: 'Bearer',
      scope: login.scope,
      ...expiresIn !== null && { expires_in: expiresIn },
      ...refresh !== undefined && { refresh_token: refresh },
      ...idTokens && isLogin && { id_token: await this.#tokens.idToken(login) }
    }
  }

  /** A JWT of this issuer, with whatever claims; `iss`, `iat` and `exp` may be among them. */
  async sign (claims: JWTPayload, seconds = 300): Promise<string> {
    return await this.#tokens.sign(claims, seconds)
  }

  #revoke (request: ReceivedRequest): UpstreamAnswer {
    if (this.clients.of(request) === undefined) return errorAnswer(401, 'invalid_client')
    this.#logins.end(param(request, 'token'))
    return { status: 200 }
  }

  #userinfo ({ headers }: ReceivedRequest, told: (subject: string) => Record<string, unknown>): UpstreamAnswer {
    const login = this.#logins.find(headers.authorization?.replace('Bearer ', '') ?? '')
    if (login === undefined) return { status: 401, headers: { 'www-authenticate': 'Bearer error="invalid_token"' } }
    return { status: 200, body: told(login.subject) }
  }
}
