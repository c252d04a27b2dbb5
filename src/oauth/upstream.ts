import * as openid from 'openid-client'
import { AccessDeniedError, TemporarilyUnavailableError, UpstreamError } from '../errors.js'
import type { UpstreamOptions } from './options.js'
import { isLoopbackHost } from './redirect-uris.js'
import { upstreamError } from './upstream-errors.js'

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
}

/** Who logged in. */
export interface Identity {
  issuer: string
  /** Absent where the upstream does not tell. */
  subject?: string
  claims: Record<string, unknown>
}

/** What was sent upstream, and what the answer has to match. */
export interface UpstreamRequest {
  state: string
  codeVerifier: string
  nonce?: string
}

const DISCOVERED_SECONDS = 3600
const TIMEOUT_SECONDS = 10
const CACHED_METADATA = new URL('https://cached.invalid/.well-known/oauth-authorization-server')
const PERSONAL_CLAIMS = ['name', 'preferred_username', 'nickname', 'given_name', 'family_name', 'email', 'email_verified', 'picture', 'locale', 'groups', 'roles']

/** The upstream authorization server: discovery, and every request that we make of it. Errors are `OAuthError`s. */
export class Upstream {
  readonly #options: UpstreamOptions
  readonly #callbackUrl: string
  readonly #now: () => number
  readonly #insecure: boolean
  #metadata: { value: Promise<openid.ServerMetadata>, expiresAt: number } | undefined

  constructor (options: UpstreamOptions, callbackUrl: string, now: () => number) {
    this.#options = options
    this.#callbackUrl = callbackUrl
    this.#now = now
    const where = options.issuerUrl ?? options.tokenUrl
    this.#insecure = where?.protocol === 'http:' && isLoopbackHost(where.hostname)
  }

  /** Rejects where the upstream cannot be reached. */
  async check (): Promise<void> {
    await this.#server()
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

  /** Registers a client of ours upstream (RFC 7591), with our callback as its only redirect URI. */
  async register (clientName: string): Promise<UpstreamClient> {
    const server = await this.#server()
    if (server.registration_endpoint === undefined) {
      throw new UpstreamError('The login server does not let this service register.', { detail: 'no registration_endpoint: set OAUTH_CLIENT_ID' })
    }
    const scopes = this.#scopes(server)
    const registered = await openid.dynamicClientRegistration(CACHED_METADATA, {
      client_name: clientName,
      redirect_uris: [this.#callbackUrl],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      application_type: isLoopbackHost(new URL(this.#callbackUrl).hostname) ? 'native' : 'web',
      token_endpoint_auth_method: preferredAuthMethod(server.token_endpoint_auth_methods_supported),
      ...scopes.length > 0 && { scope: scopes.join(' ') }
    }, undefined, {
      timeout: TIMEOUT_SECONDS,
      [openid.customFetch]: (url, init) => registrationFetch(url, init, server),
      ...this.#insecure && { execute: [openid.allowInsecureRequests] }
    }).catch(fail)
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
    const response = await fetch(url, {
      method: 'DELETE',
      redirect: 'error',
      headers: { authorization: `Bearer ${registrationAccessToken}` },
      signal: AbortSignal.timeout(TIMEOUT_SECONDS * 1000)
    }).catch(fail)
    await response.body?.cancel()
  }

  /** Begins the second leg: where to send the person, and what the answer has to match. */
  async begin (client: UpstreamClient, state: string): Promise<UpstreamRequest & { url: string }> {
    const configuration = await this.#configuration(client)
    const scopes = this.#scopes(configuration.serverMetadata())
    const codeVerifier = openid.randomPKCECodeVerifier()
    const nonce = scopes.includes('openid') ? openid.randomNonce() : undefined
    const url = openid.buildAuthorizationUrl(configuration, {
      ...this.#options.extraAuthorizeParams,
      response_type: 'code',
      redirect_uri: this.#callbackUrl,
      state,
      code_challenge: await openid.calculatePKCECodeChallenge(codeVerifier),
      code_challenge_method: 'S256',
      ...scopes.length > 0 && { scope: scopes.join(' ') },
      ...nonce !== undefined && { nonce }
    })
    return { url: url.href, state, codeVerifier, ...nonce !== undefined && { nonce } }
  }

  /** Ends the second leg: takes the answer that the browser brought, and redeems its code. */
  async redeem (client: UpstreamClient, query: string, { state, codeVerifier, nonce }: UpstreamRequest): Promise<{ tokens: UpstreamTokens, identity: Identity }> {
    const configuration = await this.#configuration(client)
    const answer = new URL(this.#callbackUrl)
    answer.search = query
    const tokens = await openid.authorizationCodeGrant(configuration, answer, {
      expectedState: state, pkceCodeVerifier: codeVerifier, ...nonce !== undefined && { expectedNonce: nonce }
    }).catch(fail)
    return { tokens: this.#tokensOf(tokens), identity: await this.#identity(configuration, tokens) }
  }

  /** Refreshes the upstream's tokens. @throws {InvalidGrantError} where the login there has ended */
  async refresh (client: UpstreamClient, refreshToken: string): Promise<UpstreamTokens> {
    const tokens = await openid.refreshTokenGrant(await this.#configuration(client), refreshToken).catch(fail)
    return { refreshToken, ...this.#tokensOf(tokens) }
  }

  /** Tells the upstream that its tokens are not needed any more (RFC 7009), where it can be told. */
  async revoke (client: UpstreamClient, { accessToken, refreshToken }: UpstreamTokens): Promise<void> {
    const configuration = await this.#configuration(client)
    if (configuration.serverMetadata().revocation_endpoint === undefined) return
    await openid.tokenRevocation(configuration, refreshToken ?? accessToken, { token_type_hint: refreshToken === undefined ? 'access_token' : 'refresh_token' }).catch(fail)
  }

  async #configuration (client: UpstreamClient): Promise<openid.Configuration> {
    const server = await this.#server()
    const configuration = new openid.Configuration(server, client.clientId, undefined, this.#authentication(client, server))
    configuration.timeout = TIMEOUT_SECONDS
    if (this.#insecure) openid.allowInsecureRequests(configuration)
    return configuration
  }

  #authentication ({ clientSecret, authMethod }: UpstreamClient, server: openid.ServerMetadata): openid.ClientAuth {
    if (clientSecret === undefined) return openid.None()
    // RFC 8414 2: basic where the metadata does not say; without any metadata, what most take
    const supported = server.token_endpoint_auth_methods_supported ?? [this.#options.issuerUrl === undefined ? 'client_secret_post' : 'client_secret_basic']
    const method = authMethod ?? (supported.includes('client_secret_basic') ? 'client_secret_basic' : 'client_secret_post')
    return method === 'client_secret_basic' ? openid.ClientSecretBasic(clientSecret) : openid.ClientSecretPost(clientSecret)
  }

  #scopes ({ scopes_supported: supported }: openid.ServerMetadata): string[] {
    return this.#options.scopes.filter(scope => supported === undefined || supported.includes(scope))
  }

  #tokensOf (tokens: openid.TokenEndpointResponse): UpstreamTokens {
    return {
      accessToken: tokens.access_token,
      ...tokens.refresh_token !== undefined && { refreshToken: tokens.refresh_token },
      ...tokens.expires_in !== undefined && { expiresAt: Math.floor(this.#now() / 1000) + tokens.expires_in }
    }
  }

  async #identity (configuration: openid.Configuration, tokens: openid.TokenEndpointResponse & openid.TokenEndpointResponseHelpers): Promise<Identity> {
    const { issuer, userinfo_endpoint: userinfoEndpoint } = configuration.serverMetadata()
    const { userinfoUrl, subjectClaim = 'sub' } = this.#options
    const idToken: Record<string, unknown> | undefined = tokens.claims()
    let claims = { ...idToken }
    if (userinfoUrl !== undefined) {
      const response = await openid.fetchProtectedResource(configuration, tokens.access_token, userinfoUrl, 'GET', undefined, new Headers({ accept: 'application/json' })).catch(fail)
      const told: unknown = await response.json().catch(() => undefined)
      if (!response.ok || typeof told !== 'object' || told === null) throw upstreamError(response.status >= 500 ? response : new Error(`userinfo answered ${response.status}`))
      claims = { ...claims, ...told }
    } else if (userinfoEndpoint !== undefined && (idToken === undefined || (idToken.name === undefined && idToken.email === undefined))) {
      const expected = typeof idToken?.sub === 'string' ? idToken.sub : openid.skipSubjectCheck
      // with an ID token we know who it is; the rest is only nicer to have
      const told = await openid.fetchUserInfo(configuration, tokens.access_token, expected).catch((error: unknown) => idToken === undefined ? fail(error) : {})
      claims = { ...claims, ...told }
    }
    const subject = claims[subjectClaim]
    if (subjectClaim !== 'sub' && typeof subject !== 'string' && typeof subject !== 'number') {
      throw new AccessDeniedError('The login server did not tell who you are.', { detail: `no claim ${subjectClaim}` })
    }
    const known = typeof subject === 'string' || typeof subject === 'number' ? String(subject) : undefined
    return {
      issuer,
      ...known !== undefined && { subject: known },
      claims: { ...personal(claims, subjectClaim), ...known !== undefined && { sub: known } }
    }
  }

  #server (): Promise<openid.ServerMetadata> {
    const now = this.#now() / 1000
    if (this.#metadata === undefined || this.#metadata.expiresAt <= now) {
      const stale = this.#metadata?.value
      const value = this.#discover().catch(async (error: unknown) => {
        this.#metadata = undefined
        // an upstream whose discovery is down may still answer: what was known goes on
        if (stale === undefined) throw error
        return await stale
      })
      this.#metadata = { value, expiresAt: now + DISCOVERED_SECONDS }
    }
    return this.#metadata.value
  }

  async #discover (): Promise<openid.ServerMetadata> {
    const { issuerUrl, authorizationUrl, tokenUrl, registrationUrl, revocationUrl } = this.#options
    const explicit = {
      ...authorizationUrl && { authorization_endpoint: authorizationUrl.href },
      ...tokenUrl && { token_endpoint: tokenUrl.href },
      ...registrationUrl && { registration_endpoint: registrationUrl.href },
      ...revocationUrl && { revocation_endpoint: revocationUrl.href }
    }
    if (issuerUrl === undefined) return { issuer: authorizationUrl?.origin ?? '', ...explicit }
    const failures: unknown[] = []
    for (const algorithm of ['oidc', 'oauth2'] as const) {
      try {
        const configuration = await openid.discovery(issuerUrl, 'discovery', undefined, undefined, {
          algorithm, timeout: TIMEOUT_SECONDS, ...this.#insecure && { execute: [openid.allowInsecureRequests] }
        })
        const discovered: openid.ServerMetadata = configuration.serverMetadata()
        return { ...discovered, ...explicit }
      } catch (error) {
        failures.push(error)
      }
    }
    const [outage] = failures.map(upstreamError).filter(error => error instanceof TemporarilyUnavailableError)
    throw outage ?? upstreamError(failures[0])
  }
}

// upstreams that answer 200 instead of 201, or leave out when the secret expires, have registered us all the same
async function registrationFetch (url: string, init: openid.CustomFetchOptions, server: openid.ServerMetadata): Promise<Response> {
  if (url === CACHED_METADATA.href) return Response.json(server)
  const { body: sent = null, signal = null, ...rest } = init
  const response = await fetch(url, { ...rest, body: sent, signal })
  if (response.status !== 200 && response.status !== 201) return response
  const body: unknown = await response.json().catch(() => undefined)
  const answer = typeof body === 'object' && body !== null ? { ...'client_secret' in body && { client_secret_expires_at: 0 }, ...body } : body
  return Response.json(answer, { status: 201 })
}

function preferredAuthMethod (supported = ['client_secret_basic']): string {
  return ['client_secret_basic', 'client_secret_post', 'none'].find(method => supported.includes(method)) ?? 'client_secret_basic'
}

function personal (claims: Record<string, unknown>, subjectClaim: string): Record<string, unknown> {
  return Object.fromEntries([...PERSONAL_CLAIMS, subjectClaim].filter(name => claims[name] !== undefined).map(name => [name, claims[name]]))
}

function fail (error: unknown): never {
  throw upstreamError(error)
}
