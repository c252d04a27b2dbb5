import { decodeJwt } from 'jose'
import * as openid from 'openid-client'
import { getMember, isObject } from '../../members.js'
import { lacksNonce } from './token-response.js'
import { identifyTenant, type Tenants } from './tenants.js'
import { fail, failCallback, unusable } from './upstream-errors.js'

export type Tokens = openid.TokenEndpointResponse & openid.TokenEndpointResponseHelpers
type Claims = Readonly<Record<string, unknown>>
type FetchTokens = (url: string, init: openid.CustomFetchOptions) => Promise<Response>

/** How a token request is sent. */
export interface TokenRequestOptions {
  /** Our client at the upstream, for the issuer of its metadata, or another one. */
  configure: (issuer?: string) => Promise<openid.Configuration>
  fetch: FetchTokens
  /** The rules, if the upstream is for many tenants. */
  tenants: Tenants | undefined
}

/**
 * A token request. It is sent once, however often its response is checked: a code or a refresh token is good for one
 * request, and what the response has to match may only be known when it is there.
 */
class TokenRequest {
  readonly #options: TokenRequestOptions
  #response: Response | undefined
  /** Whether the upstream was asked. */
  isSent = false

  constructor (options: TokenRequestOptions) {
    this.#options = options
  }

  /** Our client, whose request this one is. @param issuer in place of that of the metadata */
  async configure (issuer?: string): Promise<openid.Configuration> {
    const configuration = await this.#options.configure(issuer)
    configuration[openid.customFetch] = async (url, init) => (await this.#send(url, init)).clone()
    return configuration
  }

  /** Likewise, for a first look at a response whose ID token cannot be checked yet: it is left out. */
  async configureWithoutIdToken (issuer?: string): Promise<openid.Configuration> {
    const configuration = await this.#options.configure(issuer)
    configuration[openid.customFetch] = async (url, init) => {
      const response = await this.#send(url, init)
      const body: unknown = await response.clone().json().catch(() => undefined)
      if (!isObject(body)) return response.clone()
      return Response.json({ ...body, id_token: undefined }, { status: response.status })
    }
    return configuration
  }

  /**
   * The claims of the ID token, unchecked; undefined if there is none.
   * @throws {UpstreamError} if it is none
   */
  async readIdToken (): Promise<Claims | undefined> {
    const body: unknown = await this.#response?.clone().json().catch(() => undefined)
    const idToken = getMember(body, 'id_token')
    return idToken === undefined ? undefined : decode(idToken)
  }

  /** Whether the response may be taken although it lacks the nonce. */
  async mayLackNonce (allowMissingNonce = false): Promise<boolean> {
    return this.#response?.ok === true && await lacksNonce(this.#response.clone(), allowMissingNonce)
  }

  async #send (url: string, init: openid.CustomFetchOptions): Promise<Response> {
    this.isSent = true
    this.#response ??= await this.#options.fetch(url, init)
    return this.#response
  }
}

function decode (idToken: unknown): Claims {
  try {
    return decodeJwt(String(idToken))
  } catch (error) {
    throw unusable('the ID token is not a JWT', error)
  }
}

/** A response at our callback, and what it has to match. */
export interface CodeResponse {
  callback: URL
  checks: openid.AuthorizationCodeGrantChecks
  nonce?: string | undefined
  allowMissingNonce: boolean | undefined
}

/**
 * Redeems a code.
 * @returns the tokens, and their issuer
 * @throws {OAuthError}
 */
export async function redeemCode (
  options: TokenRequestOptions,
  { callback, checks, nonce, allowMissingNonce }: CodeResponse
): Promise<{ tokens: Tokens, issuer: string }> {
  const request = new TokenRequest(options)
  const grant = async (configuration: openid.Configuration, more: openid.AuthorizationCodeGrantChecks = {}) =>
    await openid.authorizationCodeGrant(configuration, callback, { ...checks, ...more })
  const failGrant = (error: unknown) => request.isSent ? fail(error) : failCallback(error)
  let known: { iss: string, issuer: string } | undefined
  if (options.tenants !== undefined) {
    known = await findTenant(request, options, callback, async configuration => {
      await grant(configuration).catch(failGrant)
    })
    // it has been checked, in any spelling
    if (callback.searchParams.has('iss')) callback.searchParams.set('iss', known.iss)
  }
  const configuration = await request.configure(known?.iss)
  const tokens = await (nonce === undefined
    ? grant(configuration)
    : grant(configuration, { expectedNonce: nonce }).catch(async (error: unknown) => {
      // an OAuth 2 server may treat `openid` as a scope like any other; the code is not redeemed again
      if (!await request.mayLackNonce(allowMissingNonce)) throw error
      return await grant(configuration)
    })).catch(failGrant)
  return { tokens, issuer: known?.issuer ?? configuration.serverMetadata().issuer }
}

/** Sends a code whose issuer depends on the person, and reads from the ID token who that is. */
async function findTenant (
  request: TokenRequest,
  { configure, tenants }: TokenRequestOptions,
  callback: URL,
  send: (configuration: openid.Configuration) => Promise<void>
): Promise<{ iss: string, issuer: string }> {
  const { issuer: template } = (await configure()).serverMetadata()
  // RFC 9207: another server must not get the code; which tenant it is shows in the ID token
  const named = callback.searchParams.get('iss') ?? undefined
  if (tenants === undefined || (named !== undefined && !tenants.isOfTenant(template, named))) {
    return failCallback(unusable(`the iss of the response is ${JSON.stringify(named)?.slice(0, 100)}`))
  }
  await send(await request.configureWithoutIdToken(named))
  const found = identifyTenant(tenants, template, await request.readIdToken())
  if (named !== undefined && named.toLowerCase() !== found.iss.toLowerCase()) {
    return failCallback(unusable(`the iss of the response is ${named}, but that of the ID token is ${found.iss}`))
  }
  return found
}

/**
 * Refreshes tokens.
 * @param issuer of the login
 * @throws what openid-client throws @throws {OAuthError} if the ID token is of another tenant
 */
export async function refreshTokens (
  options: TokenRequestOptions,
  refreshToken: string,
  issuer: string
): Promise<Tokens> {
  const request = new TokenRequest(options)
  if (options.tenants === undefined) return await openid.refreshTokenGrant(await request.configure(), refreshToken)
  const configuration = await request.configureWithoutIdToken()
  const tokens = await openid.refreshTokenGrant(configuration, refreshToken)
  const idToken = await request.readIdToken()
  if (idToken === undefined) return tokens
  const found = identifyTenant(options.tenants, configuration.serverMetadata().issuer, idToken)
  if (found.issuer !== issuer) {
    throw unusable(`the ID token of the refresh has the iss ${found.iss}, but that of the login was ${issuer}`)
  }
  return await openid.refreshTokenGrant(await request.configure(found.iss), refreshToken)
}
