import * as openid from 'openid-client'
import { TemporarilyUnavailableError, UpstreamError } from '../../errors.js'
import { isInsecure } from './discovery.js'
import { clientSecretBasic } from './client-secret-basic.js'
import { checkAuthorizedParty, readIdentity, unusable, type Identity } from './identity.js'
import { observedFetch, type UpstreamObserver, type UpstreamEndpoint } from '../upstream-observer.js'
import type { UpstreamSettings } from '../options.js'
import { isLoopbackHost } from '../../loopback.js'
import { upstreamError } from './upstream-errors.js'
import { OPENID_SCOPES } from '../scopes.js'
import { isNamed, SUBJECT_CLAIM } from './subject.js'
import { REGISTER_BY_HAND, registrationFetch, send, tokenFetch } from './tolerant-fetch.js'
import { UpstreamMetadata } from './upstream-metadata.js'

/** Who we are at the upstream for some client (RFC 7591 3.2.1), as far as we need it. */
export interface UpstreamClient {
  clientId: string
  clientSecret?: string
  authMethod?: string
  /** Where, and with what, the registration is deleted (RFC 7592). */
  registrationUri?: string
  registrationAccessToken?: string
}

/** The upstream's tokens for a grant. They stay in this service. */
export interface UpstreamTokens {
  accessToken: string
  refreshToken?: string
  /** Epoch seconds; absent where the upstream does not say. */
  expiresAt?: number
  /** When they are to be refreshed, some time before `expiresAt`. */
  refreshAt?: number
}

/** What was sent upstream, and what the answer has to match. */
export interface UpstreamRequest {
  state: string
  codeVerifier: string
  nonce?: string
}

// tokens are refreshed this long before they end; sooner where they do not live long
const LEEWAY_SECONDS = 30
const CACHED_METADATA = new URL('https://cached.invalid/.well-known/oauth-authorization-server')
// RFC 8414 2: a server need not name all of its scopes; these are left out where it names others only
const STANDARD_SCOPES: readonly string[] = OPENID_SCOPES
// of an authorization request (RFC 6749 4.1.1, 7636 4.3, 9101 5, OpenID Connect Core 3.1.2.1): ours to set
const OUR_PARAMETERS = [
  'client_id',
  'response_type',
  'response_mode',
  'redirect_uri',
  'state',
  'nonce',
  'code_challenge',
  'code_challenge_method',
  'request',
  'request_uri'
]

/** The upstream authorization server: every request that we make of it. Errors are `OAuthError`s. */
export class Upstream {
  readonly #options: UpstreamSettings
  readonly #callbackUrl: string
  readonly #now: () => number
  readonly #insecure: boolean
  readonly #observer: UpstreamObserver | undefined
  /** Of each request. */
  readonly timeoutSeconds: number
  readonly #metadata: UpstreamMetadata

  constructor (options: UpstreamSettings, callbackUrl: string, now: () => number, observer?: UpstreamObserver) {
    this.#options = options
    this.#callbackUrl = callbackUrl
    this.#now = now
    this.#observer = observer
    this.timeoutSeconds = options.timeoutSeconds ?? 10
    this.#insecure = isInsecure(options.issuerUrl ?? options.tokenUrl)
    this.#metadata = new UpstreamMetadata(options, this.#fetch('discovery'), this.timeoutSeconds, now)
  }

  /** Rejects where the upstream cannot be reached. */
  async check (): Promise<void> {
    await this.#metadata.get()
  }

  /** Our configured client there, in static mode. */
  get staticClient (): UpstreamClient | undefined {
    const { clientId, clientSecret } = this.#options
    return clientId === undefined ? undefined : { clientId, ...clientSecret !== undefined && { clientSecret } }
  }

  /** The host where people log in, for the consent page. */
  get host (): string {
    return (this.#options.issuerUrl ?? this.#options.authorizationUrl)?.host ?? ''
  }

  /** What we ask for when a person logs in there, as far as can be told now. */
  async askedScopes (): Promise<readonly string[]> {
    const server = await this.#metadata.get().catch(() => undefined)
    return server === undefined ? this.#options.scopes : this.#scopes(server)
  }

  /** Registers a client of ours upstream (RFC 7591), with our callback as its only redirect URI. */
  async register (clientName: string): Promise<UpstreamClient> {
    const server = await this.#metadata.get()
    if (server.registration_endpoint === undefined) {
      throw new UpstreamError('The login server does not let this service register.', {
        detail: `it has no registration endpoint: ${REGISTER_BY_HAND}`,
        reason: 'upstream_refused_client'
      })
    }
    const scopes = this.#scopes(server)
    const registered = await openid.dynamicClientRegistration(
      CACHED_METADATA,
      {
        client_name: clientName,
        redirect_uris: [this.#callbackUrl],
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        application_type: isLoopbackHost(new URL(this.#callbackUrl).hostname) ? 'native' : 'web',
        token_endpoint_auth_method: preferredAuthMethod(server.token_endpoint_auth_methods_supported),
        ...scopes.length > 0 && { scope: scopes.join(' ') }
      },
      undefined,
      {
        timeout: this.timeoutSeconds,
        [openid.customFetch]: async (url, init) => url === CACHED_METADATA.href
          ? Response.json(server)
          : await registrationFetch(this.#fetch('registration'), url, init),
        ...this.#insecure && { execute: [openid.allowInsecureRequests] }
      }
    ).catch(fail)
    const client = registered.clientMetadata()
    const { registration_client_uri: registrationUri, registration_access_token: registrationAccessToken } = client
    return {
      clientId: client.client_id,
      ...typeof client.client_secret === 'string' && { clientSecret: client.client_secret },
      ...typeof client.token_endpoint_auth_method === 'string' && { authMethod: client.token_endpoint_auth_method },
      ...typeof registrationUri === 'string' && { registrationUri },
      ...typeof registrationAccessToken === 'string' && { registrationAccessToken }
    }
  }

  /** Deletes a registration (RFC 7592 2.3), where the upstream lets us. */
  async deregister ({ registrationUri, registrationAccessToken }: UpstreamClient): Promise<void> {
    if (registrationUri === undefined || registrationAccessToken === undefined) return
    const url = new URL(registrationUri)
    if (url.protocol !== 'https:' && !this.#insecure) return
    const response = await this.#fetch('registration')(url, {
      method: 'DELETE',
      redirect: 'error',
      headers: { authorization: `Bearer ${registrationAccessToken}` },
      signal: AbortSignal.timeout(this.timeoutSeconds * 1000)
    }).catch(fail)
    await response.body?.cancel()
    // 401: it is gone already (RFC 7592 2.3)
    if (!response.ok && response.status !== 401 && response.status !== 404) fail(response)
  }

  /** Begins the second leg: where to send the person, and what the answer has to match. */
  async begin (client: UpstreamClient, state: string): Promise<UpstreamRequest & { url: string }> {
    const configuration = await this.#configuration(client)
    const scopes = this.#scopes(configuration.serverMetadata())
    const codeVerifier = openid.randomPKCECodeVerifier()
    const nonce = scopes.includes('openid') ? openid.randomNonce() : undefined
    const extra = Object.entries(this.#options.extraAuthorizeParams ?? {}).filter(([name]) =>
      !OUR_PARAMETERS.includes(name)
    )
    const parameters = {
      ...Object.fromEntries(extra),
      response_type: 'code',
      redirect_uri: this.#callbackUrl,
      state,
      code_challenge: await openid.calculatePKCECodeChallenge(codeVerifier),
      code_challenge_method: 'S256',
      ...scopes.length > 0 && { scope: scopes.join(' ') },
      ...nonce !== undefined && { nonce }
    }
    try {
      const url = openid.buildAuthorizationUrl(configuration, parameters)
      return { url: url.href, state, codeVerifier, ...nonce !== undefined && { nonce } }
    } catch (error) {
      return fail(error)
    }
  }

  /** Ends the second leg: takes the answer that the browser brought, and redeems its code. */
  async redeem (
    client: UpstreamClient,
    query: string,
    { state, codeVerifier, nonce }: UpstreamRequest
  ): Promise<{ tokens: UpstreamTokens, identity: Identity }> {
    const configuration = await this.#configuration(client)
    const answer = new URL(this.#callbackUrl)
    answer.search = query
    // nobody knows who the issuer is; there is no other one to mix it up with either (RFC 9207 1)
    if (!this.#knowsIssuer) answer.searchParams.delete('iss')
    let response: Response | undefined
    configuration[openid.customFetch] = async (url, init) => {
      response ??= await tokenFetch(this.#fetch('token'), url, init, this.#knowsIssuer)
      return response.clone()
    }
    const grant = (checks: openid.AuthorizationCodeGrantChecks) =>
      openid.authorizationCodeGrant(configuration, answer, {
        expectedState: state,
        pkceCodeVerifier: codeVerifier,
        ...checks
      })
    const tokens = await (nonce === undefined
      ? grant({})
      : grant({ expectedNonce: nonce }).catch(async (error: unknown) => {
        // an OAuth 2 server may take `openid` for a scope like any other; the code is not redeemed again
        if (response === undefined || !response.ok || await hasIdToken(response.clone())) throw error
        return await grant({})
      })).catch(fail)
    checkAuthorizedParty(tokens.claims(), client.clientId)
    return {
      tokens: this.#tokensOf(tokens),
      identity: await this.#identity(await this.#configuration(client, 'userinfo'), tokens)
    }
  }

  /**
   * Refreshes the upstream's tokens.
   * @param subject whose they are
   * @throws {InvalidGrantError} where the login there has ended @throws {UpstreamError} where they are somebody else's
   */
  async refresh (client: UpstreamClient, refreshToken: string, subject: string): Promise<UpstreamTokens> {
    const configuration = await this.#configuration(client)
    configuration[openid.customFetch] = (url, init) => tokenFetch(this.#fetch('token'), url, init, this.#knowsIssuer)
    const tokens = await openid.refreshTokenGrant(configuration, refreshToken).catch(fail)
    const idToken = tokens.claims()
    checkAuthorizedParty(idToken, client.clientId)
    // OpenID Connect Core 12.2
    if (
      idToken !== undefined && isNamed(subject) && (this.#options.subjectClaim ?? SUBJECT_CLAIM) === SUBJECT_CLAIM &&
      idToken.sub !== subject
    ) {
      throw unusable('the ID token of a refresh is of another sub than that of the login')
    }
    return { refreshToken, ...this.#tokensOf(tokens) }
  }

  /** Tells the upstream that its tokens are not needed any more (RFC 7009), where it can be told. */
  async revoke (client: UpstreamClient, { accessToken, refreshToken }: UpstreamTokens): Promise<void> {
    const configuration = await this.#configuration(client, 'revocation')
    if (configuration.serverMetadata().revocation_endpoint === undefined) return
    await openid.tokenRevocation(configuration, refreshToken ?? accessToken, {
      token_type_hint: refreshToken === undefined ? 'access_token' : 'refresh_token'
    }).catch(fail)
  }

  #fetch (endpoint: UpstreamEndpoint) {
    return observedFetch(endpoint, this.#observer, this.#options.fetch)
  }

  /** @param endpoint what it is for */
  async #configuration (client: UpstreamClient, endpoint: UpstreamEndpoint = 'token'): Promise<openid.Configuration> {
    const server = await this.#metadata.get()
    const configuration = new openid.Configuration(
      server,
      client.clientId,
      undefined,
      this.#authentication(client, server)
    )
    configuration.timeout = this.timeoutSeconds
    configuration[openid.customFetch] = (url, init) => send(this.#fetch(endpoint), url, init)
    if (this.#insecure) openid.allowInsecureRequests(configuration)
    return configuration
  }

  #authentication ({ clientSecret, authMethod }: UpstreamClient, server: openid.ServerMetadata): openid.ClientAuth {
    if (clientSecret === undefined || authMethod === 'none') return openid.None()
    // RFC 8414 2: basic where the metadata does not say
    const { token_endpoint_auth_methods_supported: supported = ['client_secret_basic'] } = server
    const method = authMethod ??
      (supported.includes('client_secret_basic') ? 'client_secret_basic' : 'client_secret_post')
    return method === 'client_secret_basic' ? clientSecretBasic(clientSecret) : openid.ClientSecretPost(clientSecret)
  }

  #scopes ({ scopes_supported: supported }: openid.ServerMetadata): string[] {
    return this.#options.scopes.filter(scope =>
      supported === undefined || supported.includes(scope) || !STANDARD_SCOPES.includes(scope)
    )
  }

  /** Where the endpoints were named one by one, an ID token and `iss` cannot be checked. */
  get #knowsIssuer (): boolean {
    return this.#options.issuerUrl !== undefined
  }

  #tokensOf (
    { access_token: accessToken, refresh_token: refreshToken, expires_in: lifetime, token_type: type }:
    openid.TokenEndpointResponse
  ): UpstreamTokens {
    // RFC 6749 7.1: a token of a kind that we cannot use is not used; one of DPoP takes a proof that we do not give
    if (type.toLowerCase() !== 'bearer') {
      throw unusable(`the token_type is ${JSON.stringify(type.slice(0, 100))}, not Bearer`)
    }
    const now = Math.floor(this.#now() / 1000)
    return {
      accessToken,
      ...refreshToken !== undefined && { refreshToken },
      ...lifetime !== undefined &&
        { expiresAt: now + lifetime, refreshAt: now + lifetime - Math.min(LEEWAY_SECONDS, lifetime / 4) }
    }
  }

  async #identity (
    configuration: openid.Configuration,
    tokens: openid.TokenEndpointResponse & openid.TokenEndpointResponseHelpers
  ): Promise<Identity> {
    const server = configuration.serverMetadata()
    const { userinfoUrl, subjectClaim = SUBJECT_CLAIM } = this.#options
    const idToken: Record<string, unknown> | undefined = tokens.claims()
    let told: Record<string, unknown> = {}
    if (userinfoUrl !== undefined) {
      told = await this.#fetchUser(configuration, tokens.access_token, userinfoUrl)
    } else if (
      server.userinfo_endpoint !== undefined &&
      (idToken === undefined || (idToken.name === undefined && idToken.email === undefined))
    ) {
      const expected = typeof idToken?.sub === 'string' ? idToken.sub : openid.skipSubjectCheck
      told = await openid.fetchUserInfo(configuration, tokens.access_token, expected).catch((error: unknown) => {
        // with an ID token we know who it is; without `openid` nobody promised to tell
        const optional = idToken !== undefined ||
          (!this.#scopes(server).includes('openid') && !(upstreamError(error) instanceof TemporarilyUnavailableError))
        return optional ? {} : fail(error)
      })
    }
    return readIdentity({ issuer: server.issuer, told, idToken, subjectClaim })
  }

  async #fetchUser (
    configuration: openid.Configuration,
    accessToken: string,
    url: URL
  ): Promise<Record<string, unknown>> {
    const response = await openid.fetchProtectedResource(
      configuration,
      accessToken,
      url,
      'GET',
      undefined,
      new Headers({ accept: 'application/json' })
    ).catch(fail)
    if (!response.ok) fail(response)
    const told: unknown = await response.json().catch(fail)
    if (typeof told !== 'object' || told === null) {
      throw new UpstreamError('The login server did not tell who you are.', { detail: `no JSON object at ${url.href}` })
    }
    return { ...told }
  }
}

function preferredAuthMethod (supported = ['client_secret_basic']): string {
  return ['client_secret_basic', 'client_secret_post', 'none'].find(method => supported.includes(method)) ??
    'client_secret_basic'
}

async function hasIdToken (response: Response): Promise<boolean> {
  const body: unknown = await response.json().catch(() => undefined)
  return typeof body === 'object' && body !== null && 'id_token' in body
}

function fail (error: unknown): never {
  throw upstreamError(error)
}
