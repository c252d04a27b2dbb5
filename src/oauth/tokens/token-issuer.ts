import {
  InvalidGrantError,
  InvalidRequestError,
  InvalidTargetError,
  UnauthorizedClientError,
  UnsupportedGrantTypeError
} from '../../errors.js'
import type { Grant, GrantStore, IssuedTokens } from '../../stores/grants.js'
import type { AllowedClients } from '../clients/allowed-clients.js'
import type { ClientAuthentication, ClientCredentials } from '../clients/client-authentication.js'
import { takesRefreshTokens, type Clients } from '../clients/clients.js'
import type { Client } from '../client.js'
import { describeGrant, observedFailure, type BrokerObserver, type TokenEvent } from '../login-events.js'
import type { Grants } from './grants.js'
import type { Keyring } from '../keyring.js'
import type { BrokerLifetimes } from '../options.js'
import { checkCodeVerifier } from '../pkce.js'
import type { Resources } from '../resources.js'
import { narrowedScopes, permittedScopes } from '../scopes.js'
import type { Rechecks } from './rechecks.js'
import type { RecognisedSecrets } from './recognised-secrets.js'
import { isTokenResponse, type TokenResponse } from './token-response.js'
import { hashSecret, isSecret } from '../secrets.js'
import type { UpstreamClients } from '../upstream/upstream-clients.js'

export interface TokensOptions {
  clients: Clients
  allowed: AllowedClients
  authentication: ClientAuthentication
  upstreamClients: UpstreamClients
  store: GrantStore
  grants: Grants
  rechecks: Rechecks
  resources: Resources
  keyring: Keyring
  recognised: RecognisedSecrets
  lifetimes: BrokerLifetimes
  observe: BrokerObserver
  now: () => number
}

interface Issued {
  response: TokenResponse
  /** Whether it was given before: the refresh token was rotated a moment ago. */
  repeated: boolean
}

type FormParameters = Readonly<Record<string, string | undefined>>

/** Called once it is known who makes a token request, before anything is issued. What it throws is the response. */
export interface TokenRequestWitness {
  /** The HTTP request, for observers. */
  http?: TokenEvent['http']
  /**
   * The client is known, and has proven its secret or key if it must.
   * @param proven whether it had anything to prove
   */
  client? (client: Client, proven: boolean): Promise<void>
  /** The request is about to have somebody else asked for the client's keys, and shows nothing that we issued. */
  fetch? (): Promise<void>
  /** The code or refresh token belongs to this grant and to the client. */
  grant? (grant: Grant): Promise<void>
}

/** Issues tokens: for authorization codes, and for refresh tokens. */
export class TokenIssuer {
  readonly #options: TokensOptions

  constructor (options: TokensOptions) {
    this.#options = options
  }

  /**
   * Handles a token request.
   * @throws {OAuthError}
   */
  async request (
    parameters: FormParameters,
    credentials: ClientCredentials,
    witness: TokenRequestWitness = {}
  ): Promise<TokenResponse> {
    const { observe, authentication, allowed } = this.#options
    const { grant_type: grantType, code } = parameters
    const links = code === undefined ? [] : [hashSecret(code)]
    const { http } = witness
    const event: TokenEvent = { type: 'token', grantType, clientId: credentials.clientId, links, http }
    const { client, proven } = await observedFailure(observe, event, async () =>
      await authentication.authenticate(credentials, {
        isTheirs: async () => await this.#isOf(parameters, credentials),
        beforeFetch: async () => { await witness.fetch?.() }
      })
    )
    const known: TokenEvent = { ...event, client }
    const grant = async (grant: Grant) => {
      known.grant = describeGrant(grant)
      await witness.grant?.(grant)
    }
    const { response, repeated } = await observedFailure(observe, known, async () => {
      await witness.client?.(client, proven)
      allowed.check(client)
      return await this.#issueFor(parameters, client, { ...witness, grant })
    })
    observe({ ...known, repeated, links: [...links, hashSecret(response.access_token)] })
    return response
  }

  /** Whether we made the code or refresh token of a request. */
  recognises ({ code = '', refresh_token: refreshToken = '' }: FormParameters): boolean {
    const { recognised } = this.#options
    return recognised.recognises('authorizationCode', code) || recognised.recognises('refreshToken', refreshToken)
  }

  /** Whether the code or refresh token of a request was given to the client that makes it. */
  async #isOf (
    { code = '', refresh_token: refreshToken = '' }: FormParameters,
    { clientId }: ClientCredentials
  ): Promise<boolean> {
    const { store } = this.#options
    const found = isSecret('authorizationCode', code)
      ? await store.findCode(hashSecret(code))
      : isSecret('refreshToken', refreshToken) ? await store.findRefreshToken(hashSecret(refreshToken)) : undefined
    return found?.grant.clientId === clientId
  }

  async #issueFor (parameters: FormParameters, client: Client, witness: TokenRequestWitness): Promise<Issued> {
    const { grant_type: grantType } = parameters
    if (grantType === undefined) throw new InvalidRequestError('The grant_type is missing.')
    if (grantType !== 'authorization_code' && grantType !== 'refresh_token') {
      throw new UnsupportedGrantTypeError('The grant_type must be authorization_code or refresh_token.')
    }
    if (grantType === 'authorization_code') {
      return { response: await this.#redeem(parameters, client, witness), repeated: false }
    }
    if (!takesRefreshTokens(client)) {
      throw new UnauthorizedClientError('This client did not register for refresh_token.')
    }
    return await this.#refresh(parameters, client, witness)
  }

  async #redeem (parameters: FormParameters, client: Client, witness: TokenRequestWitness): Promise<TokenResponse> {
    const { store, grants, clients, upstreamClients } = this.#options
    const { code } = parameters
    if (code === undefined) throw new InvalidRequestError('The code is missing.')
    const hash = hashSecret(code)
    const found = isSecret('authorizationCode', code) ? await store.findCode(hash) : undefined
    if (found === undefined || found.grant.clientId !== client.clientId) {
      throw new InvalidGrantError('The authorization code is unknown or has expired.', {
        reason: found === undefined ? 'unknown_code' : 'code_of_another_client'
      })
    }
    const { grant, redirectUri, codeChallenge, used } = found
    await witness.grant?.(grant)
    if (used) return await this.#replayed(grant)
    checkSameRedirectUri(parameters.redirect_uri, redirectUri)
    checkCodeVerifier(parameters.code_verifier, codeChallenge)
    this.#checkResource(parameters.resource, grant)

    const { issued, response } = this.#issue(grant, grant.scopes, client)
    const outcome = await store.redeemCode(hash, issued)
    if (outcome === 'replayed') return await this.#replayed(grant)
    if (outcome === 'unknown') {
      throw new InvalidGrantError('The authorization code has expired.', { reason: 'unknown_code' })
    }
    await Promise.all([clients.keep(client), upstreamClients.keep(client.clientId)])
    for (const surplus of await store.endSurplus(grant.issuer, grant.subject)) grants.hasEnded(surplus, 'surplus')
    return response
  }

  // RFC 6749 4.1.2: the tokens of the first use may be in the wrong hands
  async #replayed (grant: Grant): Promise<never> {
    await this.#options.grants.end(grant.grantId, 'replayed')
    throw new InvalidGrantError('The authorization code was used before. Log in again.', {
      detail: `code replay ended ${grant.grantId}`,
      reason: 'code_used_twice'
    })
  }

  async #refresh (parameters: FormParameters, client: Client, witness: TokenRequestWitness): Promise<Issued> {
    const { store, grants, rechecks, lifetimes, keyring, recognised, clients, upstreamClients } = this.#options
    const { refresh_token: refreshToken } = parameters
    if (refreshToken === undefined) throw new InvalidRequestError('The refresh_token is missing.')
    const hash = hashSecret(refreshToken)
    const found = isSecret('refreshToken', refreshToken) ? await store.findRefreshToken(hash) : undefined
    if (found === undefined) return await this.#forgotten(refreshToken, client)
    if (found.grant.clientId !== client.clientId) throw unknownRefreshToken()
    const { grant, rotated } = found
    await witness.grant?.(grant)
    const asked = narrowedScopes(parameters.scope, grant.scopes)
    this.#checkResource(parameters.resource, grant)
    const scopes = permittedScopes(rotated ? grant : await rechecks.recheck(grant, client), asked)

    const { issued, response } = this.#issue(grant, scopes, client, hash)
    const tellsGrant = recognised.originOf(refreshToken) !== undefined
    const rotation = await store.rotate(hash, issued, lifetimes.refreshTokenReuseSeconds, tellsGrant)
    switch (rotation.outcome) {
      case 'rotated':
        await Promise.all([clients.renew(client), upstreamClients.renew(client.clientId)])
        return { response, repeated: false }
      case 'unknown': return await this.#forgotten(refreshToken, client)
      case 'replayed':
        grants.hasEnded(rotation.grant, 'replayed')
        throw refreshTokenReplayed(grant)
      case 'repeated': {
        const repeated = keyring.open(sealingPurpose(hash), rotation.sealedResponse)
        if (!isTokenResponse(repeated)) throw unknownRefreshToken()
        return { response: repeated, repeated: true }
      }
    }
  }

  /**
   * A refresh token that the store does not know. If we made it, it has not expired and its grant stands, then it was
   * rotated: somebody else has it, or has its successor.
   */
  async #forgotten (refreshToken: string, client: Client): Promise<never> {
    const { store, grants, recognised, now } = this.#options
    const origin = recognised.originOf(refreshToken)
    if (origin === undefined || origin.expiresAt <= now() / 1000) throw unknownRefreshToken()
    const grant = await store.findGrant(origin.grantId)
    if (grant === undefined || grant.clientId !== client.clientId) throw unknownRefreshToken()
    await grants.end(grant.grantId, 'replayed')
    throw refreshTokenReplayed(grant)
  }

  #issue (
    grant: Grant,
    scopes: readonly string[],
    client: Client,
    replaced = ''
  ): { issued: IssuedTokens, response: TokenResponse } {
    const { lifetimes, keyring, recognised, now } = this.#options
    const issuedAt = Math.floor(now() / 1000)
    const { grantId } = grant
    const refreshExpiresAt = Math.min(issuedAt + lifetimes.refreshTokenSeconds, grant.expiresAt)
    const accessToken = recognised.make('accessToken')
    const refreshToken = takesRefreshTokens(client)
      ? recognised.makeRefreshToken({ grantId, expiresAt: refreshExpiresAt })
      : undefined
    const expiresAt = Math.min(issuedAt + lifetimes.accessTokenSeconds, grant.expiresAt)
    const response: TokenResponse = {
      access_token: accessToken,
      token_type: 'Bearer',
      expires_in: expiresAt - issuedAt,
      scope: scopes.join(' '),
      ...refreshToken !== undefined && { refresh_token: refreshToken }
    }
    return {
      response,
      issued: {
        access: { hash: hashSecret(accessToken), record: { grantId, scopes: [...scopes], expiresAt } },
        ...refreshToken !== undefined && {
          refresh: {
            hash: hashSecret(refreshToken),
            record: { grantId, scopes: grant.scopes, expiresAt: refreshExpiresAt }
          }
        },
        sealedResponse: keyring.seal(sealingPurpose(replaced), response)
      }
    }
  }

  #checkResource (resource: string | undefined, grant: Grant): void {
    if (resource !== undefined && this.#options.resources.resolve(resource).resource !== grant.resource) {
      throw new InvalidTargetError('The resource is not the one that was authorized.', { reason: 'other_resource' })
    }
  }
}

// clients of OAuth 2.1 no longer send it; if a client does, it must match
function checkSameRedirectUri (given: string | undefined, authorized: string): void {
  if (given !== undefined && given !== authorized) {
    throw new InvalidGrantError('The redirect_uri must be the same as in the authorization request.', {
      reason: 'redirect_uri_mismatch'
    })
  }
}

function sealingPurpose (refreshTokenHash: string): string {
  return `token response for ${refreshTokenHash}`
}

function unknownRefreshToken (): InvalidGrantError {
  return new InvalidGrantError('The refresh token is unknown, has expired, or was revoked. Log in again.')
}

function refreshTokenReplayed ({ grantId }: Grant): InvalidGrantError {
  const detail = `refresh token replay ended ${grantId}`
  return new InvalidGrantError('The refresh token was used before. Log in again.', {
    detail,
    reason: 'refresh_token_used_twice'
  })
}
