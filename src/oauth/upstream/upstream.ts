import * as openid from 'openid-client'
import type { BackChannel } from '../../outbound/back-channel.js'
import { isInsecure } from './discovery.js'
import { authenticateOtherwise, makeAuthentication } from './client-authentication.js'
import { checkAuthorizedParty, type Identity } from './identity.js'
import { observedFetch, type UpstreamObserver, type UpstreamEndpoint } from '../upstream-observer.js'
import { DEFAULT_UPSTREAM_TIMEOUT_SECONDS, makeBackChannel, type UpstreamSettings } from '../options.js'
import { UpstreamRegistration, type UpstreamClient } from './registration.js'
import { isNamed, SUBJECT_CLAIM } from './subject.js'
import { asItCame, fetchAnswer } from './answers/fetch-answer.js'
import { fetchTokenAnswer } from './answers/token.js'
import { lacksNonce, refusesAuthentication } from './token-response.js'
import { fetchUserinfoAnswer } from './answers/userinfo.js'
import type { LoginHints } from '../../stores/authorizations.js'
import { checkLoginAge, loginParameters } from './login-parameters.js'
import { fail, failCallback, failRefresh, refusesClient, unusable } from './upstream-errors.js'
import { knownScopes, UpstreamMetadata } from './upstream-metadata.js'
import { fetchIdentity } from './userinfo.js'

/** The upstream's tokens for a grant. They stay in this service. */
export interface UpstreamTokens {
  accessToken: string
  refreshToken?: string
  /** Epoch seconds; absent if the upstream does not say. */
  expiresAt?: number
  /** When they are to be refreshed, some time before `expiresAt`. */
  refreshAt?: number
}

/** What was sent upstream, and must match the response. */
export interface UpstreamRequest {
  state: string
  codeVerifier: string
  nonce?: string
  /** Seconds since the person logged in there. */
  maxAge?: string
}

// tokens are refreshed this long before they expire, or after three quarters of a short life
const LEEWAY_SECONDS = 30
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
  /** How our configured client authenticates, where its metadata named another way. */
  #methodThatWorks: string | undefined
  /** Registers clients there. */
  readonly registration: UpstreamRegistration

  constructor (options: UpstreamSettings, callbackUrl: string, now: () => number, observer?: UpstreamObserver) {
    this.#options = options
    this.#callbackUrl = callbackUrl
    this.#now = now
    this.#observer = observer
    this.timeoutSeconds = options.timeoutSeconds ?? DEFAULT_UPSTREAM_TIMEOUT_SECONDS
    this.#insecure = isInsecure(options.issuerUrl ?? options.tokenUrl)
    this.#backChannel = makeBackChannel(options)
    this.#metadata = new UpstreamMetadata(options, this.#fetch('discovery'), this.#backChannel, now)
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

  /** Our configured client there, in static mode. */
  get staticClient (): UpstreamClient | undefined {
    const { clientId, clientSecret, clientKey, clientAuthMethod: authMethod = this.#methodThatWorks } = this.#options
    if (clientId === undefined) return undefined
    return {
      clientId,
      ...clientSecret !== undefined && { clientSecret },
      ...clientKey !== undefined && { clientKey },
      ...authMethod !== undefined && { authMethod }
    }
  }

  /** The host where people log in, for the consent page. */
  get host (): string {
    return (this.#options.issuerUrl ?? this.#options.authorizationUrl)?.host ?? ''
  }

  /** Scopes that we ask for when a person logs in there, as far as they are known now. */
  async askedScopes (): Promise<readonly string[]> {
    const server = await this.#metadata.get().catch(() => undefined)
    return server === undefined ? this.#options.scopes : knownScopes(this.#options.scopes, server)
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
    const scopes = knownScopes(this.#options.scopes, configuration.serverMetadata())
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
    const configuration = await this.#configuration(client)
    const callback = new URL(this.#callbackUrl)
    callback.search = query
    // the issuer is unknown, and there is no other one to mix it up with (RFC 9207 1)
    if (!this.#knowsIssuer) callback.searchParams.delete('iss')
    const { allowMissingNonce = false } = this.#options
    let response: Response | undefined
    let isAsked = false
    configuration[openid.customFetch] = async (url, init) => {
      isAsked = true
      response ??= await this.#fetchTokens(client, url, init)
      return response.clone()
    }
    const grant = (checks: openid.AuthorizationCodeGrantChecks) =>
      openid.authorizationCodeGrant(configuration, callback, {
        expectedState: state,
        ...(this.#options.pkce ?? true) && { pkceCodeVerifier: codeVerifier },
        ...checks
      })
    const tokens = await (nonce === undefined
      ? grant({})
      : grant({ expectedNonce: nonce }).catch(async (error: unknown) => {
        // an OAuth 2 server may treat `openid` as a scope like any other; the code is not redeemed again
        const mayLack = response?.ok === true && await lacksNonce(response.clone(), allowMissingNonce)
        if (!mayLack) throw error
        return await grant({})
      })).catch((error: unknown) => isAsked ? fail(error) : failCallback(error))
    checkAuthorizedParty(tokens.claims(), client.clientId)
    checkLoginAge(tokens.claims(), maxAge, this.#now() / 1000)
    const { scopes, userinfoUrl, subjectClaim } = this.#options
    const userinfo = await this.#configuration(client, 'userinfo')
    return {
      tokens: this.#toTokens(tokens),
      identity: await fetchIdentity(userinfo, tokens, {
        ...userinfoUrl && { userinfoUrl },
        ...subjectClaim !== undefined && { subjectClaim },
        openidAsked: knownScopes(scopes, userinfo.serverMetadata()).includes('openid')
      })
    }
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
   * Refreshes the upstream's tokens.
   * @param subject whose they are
   * @throws {InvalidGrantError} if the login there has ended, or the person must come back
   * @throws {UpstreamError} if the new tokens are another person's
   */
  async refresh (client: UpstreamClient, refreshToken: string, subject: string): Promise<UpstreamTokens> {
    const configuration = await this.#configuration(client)
    configuration[openid.customFetch] = (url, init) => this.#fetchTokens(client, url, init)
    const tokens = await openid.refreshTokenGrant(configuration, refreshToken).catch(failRefresh)
    const idToken = tokens.claims()
    checkAuthorizedParty(idToken, client.clientId)
    // OpenID Connect Core 12.2
    if (
      idToken !== undefined && isNamed(subject) && (this.#options.subjectClaim ?? SUBJECT_CLAIM) === SUBJECT_CLAIM &&
      idToken.sub !== subject
    ) {
      throw unusable('the ID token of the refresh has another sub than that of the login')
    }
    return { refreshToken, ...this.#toTokens(tokens) }
  }

  /** Revokes tokens that are no longer needed (RFC 7009), if the upstream can do that. */
  async revoke (client: UpstreamClient, { accessToken, refreshToken }: UpstreamTokens): Promise<void> {
    const configuration = await this.#configuration(client, 'revocation')
    if (configuration.serverMetadata().revocation_endpoint === undefined) return
    await openid.tokenRevocation(configuration, refreshToken ?? accessToken, {
      token_type_hint: refreshToken === undefined ? 'access_token' : 'refresh_token'
    }).catch(fail)
  }

  #fetch (endpoint: UpstreamEndpoint) {
    return observedFetch(endpoint, this.#observer, this.#backChannel.fetch(this.#options.fetch))
  }

  /** @param endpoint what it is for */
  async #configuration (client: UpstreamClient, endpoint: UpstreamEndpoint = 'token'): Promise<openid.Configuration> {
    const server = await this.#metadata.get()
    const configuration = new openid.Configuration(
      server,
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

  /**
   * Sends a token request. If our client is refused by a method that nobody chose, the other one is tried once, and
   * remembered.
   */
  async #fetchTokens (
    client: UpstreamClient,
    url: string,
    init: openid.CustomFetchOptions,
    keepIdToken = this.#knowsIssuer
  ): Promise<Response> {
    const fetch = this.#fetch('token')
    const response = await fetchTokenAnswer(fetch, url, init, keepIdToken)
    const { clientId, clientAuthMethod } = this.#options
    if (clientAuthMethod !== undefined || client.clientId !== clientId) return response
    if (!await refusesAuthentication(response.clone())) return response
    const other = authenticateOtherwise(client, init)
    if (other === undefined) return response
    const again = await fetchTokenAnswer(fetch, url, other.init, keepIdToken)
    if (await refusesAuthentication(again.clone())) return response
    this.#methodThatWorks = other.method
    return again
  }

  /** If the endpoints were configured one by one, an ID token and `iss` cannot be checked. */
  get #knowsIssuer (): boolean {
    return this.#options.issuerUrl !== undefined
  }

  #toTokens (
    { access_token: accessToken, refresh_token: refreshToken, expires_in: lifetime }: openid.TokenEndpointResponse
  ): UpstreamTokens {
    const now = Math.floor(this.#now() / 1000)
    return {
      accessToken,
      ...refreshToken !== undefined && { refreshToken },
      ...lifetime !== undefined &&
        { expiresAt: now + lifetime, refreshAt: now + lifetime - Math.min(LEEWAY_SECONDS, lifetime / 4) }
    }
  }
}
