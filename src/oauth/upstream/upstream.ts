import * as openid from 'openid-client'
import type { BackChannel } from '../../outbound/back-channel.js'
import { isInsecure } from './discovery.js'
import { makeAuthentication } from './client-authentication.js'
import { FurtherClaims } from '../providers/further-claims.js'
import { checkAuthorizedParty, type Identity } from './identity.js'
import { observedFetch, type UpstreamObserver, type UpstreamEndpoint } from '../upstream-observer.js'
import { DEFAULT_UPSTREAM_TIMEOUT_SECONDS } from '../options.js'
import { makeBackChannel, type UpstreamSettings } from '../upstream-settings.js'
import { UpstreamRegistration, type UpstreamClient } from './registration.js'
import { isNamed, SUBJECT_CLAIM } from './subject.js'
import { asItCame, fetchAnswer } from './answers/fetch-answer.js'
import { fetchTokenAnswer } from './answers/token.js'
import { Tenants } from './tenants.js'
import { redeemCode, refreshTokens, type TokenRequestOptions } from './token-request.js'
import { StaticClient } from './static-client.js'
import { fetchUserinfoAnswer } from './answers/userinfo.js'
import type { LoginHints } from '../../stores/authorizations.js'
import { checkLoginAge, loginParameters } from './login-parameters.js'
import { fail, failRefresh, refusesClient, unusable } from './upstream-errors.js'
import { toUpstreamTokens, type UpstreamTokens } from './upstream-tokens.js'
import { UpstreamMetadata } from './upstream-metadata.js'
import { fetchClaims, fetchIdentity, toUserinfoOptions, type IdentitySource } from './userinfo.js'

/** What was sent upstream, and must match the response. */
export interface UpstreamRequest {
  state: string
  codeVerifier: string
  nonce?: string
  /** Seconds since the person logged in there. */
  maxAge?: string
}

/** The upstream authorization server, and every request that we send to it. Errors are `OAuthError`s. */
export class Upstream {
  readonly #options: UpstreamSettings
  readonly #callbackUrl: string
  readonly #now: () => number
  readonly #insecure: boolean
  readonly #observer: UpstreamObserver | undefined
  /** Of each request. */
  readonly timeoutSeconds: number
  readonly #backChannel: BackChannel
  readonly #metadata: UpstreamMetadata
  readonly #further: FurtherClaims
  /** If it is for many. */
  readonly #tenants: Tenants | undefined
  readonly #static: StaticClient
  /** Registers clients there. */
  readonly registration: UpstreamRegistration

  /** @param claimNames those that rules look at by now */
  constructor (
    options: UpstreamSettings,
    callbackUrl: string,
    now: () => number,
    observer?: UpstreamObserver,
    claimNames: () => ReadonlySet<string> = () => new Set()
  ) {
    this.#options = options
    this.#callbackUrl = callbackUrl
    this.#now = now
    this.#observer = observer
    this.timeoutSeconds = options.timeoutSeconds ?? DEFAULT_UPSTREAM_TIMEOUT_SECONDS
    this.#tenants = Tenants.find(options.issuerUrl, options.allowedTenants)
    this.#insecure = isInsecure(options.issuerUrl ?? options.tokenUrl)
    this.#backChannel = makeBackChannel(options)
    this.#metadata = new UpstreamMetadata(options, this.#fetch('discovery'), this.#backChannel, now)
    this.#static = new StaticClient(options)
    const { timeoutSeconds } = this
    this.#further = new FurtherClaims({ settings: options, fetch: this.#fetch('userinfo'), timeoutSeconds, claimNames })
    this.registration = new UpstreamRegistration({
      metadata: this.#metadata,
      scopes: options.scopes,
      server: (options.issuerUrl ?? options.tokenUrl)?.href ?? '',
      generation: options.registrationGeneration ?? '',
      callbackUrl,
      insecure: this.#insecure,
      fetch: this.#fetch('registration'),
      backChannel: this.#backChannel,
      timeoutSeconds: this.timeoutSeconds
    })
  }

  /** Rejects if the upstream cannot be reached. */
  async check (): Promise<void> {
    await this.#metadata.get()
  }

  /** What it calls itself: the issuer of subjects. */
  async findIssuer (): Promise<string> {
    return (await this.#metadata.get()).issuer
  }

  /** Our configured client there, in static mode. */
  get staticClient (): UpstreamClient | undefined {
    return this.#static.client
  }

  /** The host where people log in, for the consent page. */
  get host (): string {
    return (this.#options.issuerUrl ?? this.#options.authorizationUrl)?.host ?? ''
  }

  /** Scopes that we ask for when a person logs in there, as far as they are known now. */
  async askedScopes (): Promise<readonly string[]> {
    const server = await this.#metadata.get().catch(() => undefined)
    return server === undefined ? this.#options.scopes : this.#further.findScopes(server)
  }

  /**
   * Begins the second leg: where to send the person, and what the response must match.
   * @param hints what the client asks of the login there
   */
  async begin (
    client: UpstreamClient,
    state: string,
    hints: LoginHints = {}
  ): Promise<UpstreamRequest & { url: string }> {
    const configuration = await this.#configuration(client)
    const scopes = this.#further.findScopes(configuration.serverMetadata())
    const codeVerifier = openid.randomPKCECodeVerifier()
    const nonce = scopes.includes('openid') ? openid.randomNonce() : undefined
    const parameters = {
      ...loginParameters({
        hints,
        extra: this.#options.extraAuthorizeParams ?? {},
        supported: configuration.serverMetadata().prompt_values_supported,
        isOpenId: scopes.includes('openid')
      }),
      response_type: 'code',
      redirect_uri: this.#callbackUrl,
      state,
      ...(this.#options.pkce ?? true) && {
        code_challenge: await openid.calculatePKCECodeChallenge(codeVerifier),
        code_challenge_method: 'S256'
      },
      ...scopes.length > 0 && { scope: scopes.join(' ') },
      ...nonce !== undefined && { nonce }
    }
    try {
      const url = await (configuration.serverMetadata().require_pushed_authorization_requests === true
        ? openid.buildAuthorizationUrlWithPAR(configuration, parameters)
        : openid.buildAuthorizationUrl(configuration, parameters))
      return { url: url.href, state, codeVerifier, ...nonce !== undefined && { nonce } }
    } catch (error) {
      return fail(error)
    }
  }

  /** Ends the second leg: takes the response that the browser brought, and redeems its code. */
  async redeem (
    client: UpstreamClient,
    query: string,
    { state, codeVerifier, nonce, maxAge }: UpstreamRequest
  ): Promise<{ tokens: UpstreamTokens, identity: Identity }> {
    const callback = new URL(this.#callbackUrl)
    callback.search = query
    // the issuer is unknown, and there is no other one to mix it up with (RFC 9207 1)
    if (!this.#knowsIssuer) callback.searchParams.delete('iss')
    const { allowMissingNonce } = this.#options
    const checks = { expectedState: state, ...(this.#options.pkce ?? true) && { pkceCodeVerifier: codeVerifier } }
    const response = { callback, checks, nonce, allowMissingNonce }
    const { tokens, issuer } = await redeemCode(this.#tokenRequest(client), response)
    checkAuthorizedParty(tokens.claims(), client.clientId)
    checkLoginAge(tokens.claims(), maxAge, this.#now() / 1000)
    const userinfo = await this.#configuration(client, 'userinfo')
    const source = { accessToken: tokens.access_token, idToken: tokens.claims() }
    return {
      tokens: toUpstreamTokens(tokens, this.#now()),
      identity: await fetchIdentity(userinfo, source, this.#userinfoOptions(userinfo, issuer))
    }
  }

  /**
   * What the upstream says of a person by now.
   * @param source what its last refresh gave, or a token that is good still
   * @param person who they were at the login
   * @returns undefined if it cannot say; throws like `fetchClaims`
   */
  async fetchClaims (
    client: UpstreamClient,
    source: IdentitySource,
    { issuer, subject }: { issuer: string, subject: string }
  ): Promise<Record<string, unknown> | undefined> {
    const userinfo = await this.#configuration(client, 'userinfo')
    return await fetchClaims(userinfo, source, subject, this.#userinfoOptions(userinfo, issuer))
  }

  /** Whether claims lack something that rules look at. */
  lacks (claims: Readonly<Record<string, unknown>>): boolean {
    return this.#further.isMissing(claims)
  }

  /** Whether it knows our client, by what it says of a made-up code; also if it does not say. */
  async knows (client: UpstreamClient): Promise<boolean> {
    const configuration = await this.#configuration(client)
    configuration[openid.customFetch] = (url, init) => this.#fetchTokens(client, url, init, false)
    return await openid.genericGrantRequest(configuration, 'authorization_code', {
      code: openid.randomState(),
      redirect_uri: this.#callbackUrl,
      ...(this.#options.pkce ?? true) && { code_verifier: openid.randomPKCECodeVerifier() }
    }).then(() => true, (error: unknown) => !refusesClient(error))
  }

  /**
   * Refreshes the upstream's tokens. With an ID token, it says who the person is.
   * @param person whose they are
   * @throws {InvalidGrantError} if the login there has ended, or the person must come back
   * @throws {UpstreamError} if the new tokens are another person's
   */
  async refresh (
    client: UpstreamClient,
    refreshToken: string,
    { issuer, subject }: { issuer: string, subject: string }
  ): Promise<{ tokens: UpstreamTokens, idToken: Readonly<Record<string, unknown>> | undefined }> {
    const tokens = await refreshTokens(this.#tokenRequest(client), refreshToken, issuer).catch(failRefresh)
    const idToken = tokens.claims()
    checkAuthorizedParty(idToken, client.clientId)
    // OpenID Connect Core 12.2
    if (
      idToken !== undefined && isNamed(subject) && (this.#options.subjectClaim ?? SUBJECT_CLAIM) === SUBJECT_CLAIM &&
      idToken.sub !== subject
    ) {
      throw unusable('the ID token of the refresh has another sub than that of the login')
    }
    return { tokens: { refreshToken, ...toUpstreamTokens(tokens, this.#now()) }, idToken }
  }

  /** Revokes tokens that are no longer needed (RFC 7009), if the upstream can do that. */
  async revoke (client: UpstreamClient, { accessToken, refreshToken }: UpstreamTokens): Promise<void> {
    const configuration = await this.#configuration(client, 'revocation')
    if (configuration.serverMetadata().revocation_endpoint === undefined) return
    await openid.tokenRevocation(configuration, refreshToken ?? accessToken, {
      token_type_hint: refreshToken === undefined ? 'access_token' : 'refresh_token'
    }).catch(fail)
  }

  /**
   * Whether people of an issuer may still come.
   * @param issuer as it was recorded when they logged in
   */
  allows (issuer: string): boolean {
    return this.#tenants?.allowsIssuer(issuer) ?? true
  }

  #tokenRequest (client: UpstreamClient): TokenRequestOptions {
    return {
      configure: issuer => this.#configuration(client, 'token', issuer),
      fetch: (url, init) => this.#fetchTokens(client, url, init),
      tenants: this.#tenants
    }
  }

  #fetch (endpoint: UpstreamEndpoint) {
    return observedFetch(endpoint, this.#observer, this.#backChannel.fetch(this.#options.fetch))
  }

  /** @param endpoint what it is for @param issuer in place of the one that the metadata name */
  async #configuration (
    client: UpstreamClient,
    endpoint: UpstreamEndpoint = 'token',
    issuer?: string
  ): Promise<openid.Configuration> {
    const server = await this.#metadata.get()
    const configuration = new openid.Configuration(
      issuer === undefined ? server : { ...server, issuer },
      client.clientId,
      undefined,
      await makeAuthentication(client, server)
    )
    configuration.timeout = this.timeoutSeconds
    configuration[openid.customFetch] = async (url, init) =>
      endpoint === 'userinfo'
        ? await fetchUserinfoAnswer(this.#fetch(endpoint), url, init)
        : asItCame(await fetchAnswer(this.#fetch(endpoint), url, init))
    if (this.#insecure) openid.allowInsecureRequests(configuration)
    return configuration
  }

  async #fetchTokens (
    client: UpstreamClient,
    url: string,
    init: openid.CustomFetchOptions,
    keepIdToken = this.#knowsIssuer
  ): Promise<Response> {
    const fetch = this.#fetch('token')
    return await this.#static.send(client, init, sent => fetchTokenAnswer(fetch, url, sent, keepIdToken))
  }

  #userinfoOptions (configuration: openid.Configuration, issuer: string) {
    return toUserinfoOptions(this.#options, configuration, { issuer, further: this.#further })
  }

  /** If the endpoints were configured one by one, an ID token and `iss` cannot be checked. */
  get #knowsIssuer (): boolean {
    return this.#options.issuerUrl !== undefined
  }
}
