import type { AuthorizationTransaction } from '../../stores/authorizations.js'
import type { Grant, GrantStore } from '../../stores/grants.js'
import type { Client } from '../client.js'
import type { GrantDecisions } from '../tokens/grant-decisions.js'
import type { Grants } from '../tokens/grants.js'
import type { Login } from './login-leg.js'
import type { BrokerLifetimes } from '../options.js'
import { hashSecret, newSecret } from '../secrets.js'
import { UNNAMED_PREFIX } from '../upstream/subject.js'

export interface AuthorizationCodesOptions {
  store: GrantStore
  grants: Grants
  decisions: GrantDecisions
  lifetimes: BrokerLifetimes
  now: () => number
}

/** Authorization codes, and the grants that they stand for. */
export class AuthorizationCodes {
  readonly #options: AuthorizationCodesOptions

  constructor (options: AuthorizationCodesOptions) {
    this.#options = options
  }

  /**
   * Lets a code stand for what the person who logged in has granted.
   * @returns the grant
   * @throws {AccessDeniedError} if they may not use this server
   */
  async put (
    code: string,
    transaction: AuthorizationTransaction,
    client: Client,
    { tokens, identity }: Login
  ): Promise<Grant> {
    const { store, grants, decisions, lifetimes, now } = this.#options
    const scopes = await decisions.decide({
      claims: identity.claims,
      client,
      resource: transaction.resource,
      requestedScopes: transaction.scopes,
      reason: 'login',
      getUpstreamAccessToken: async () => tokens.accessToken
    }).catch((error: unknown) => {
      grants.discard(client.clientId, tokens)
      throw error
    })
    const { clientId, resource, redirectUri, codeChallenge } = transaction
    const grantId = newSecret('grant')
    const issuedAt = Math.floor(now() / 1000)
    const grant: Grant = {
      grantId,
      clientId,
      issuer: identity.issuer,
      // if the upstream identifies nobody, each login is a new person
      subject: identity.subject ?? UNNAMED_PREFIX + grantId,
      claims: identity.claims,
      scopes: [...scopes],
      resource,
      expiresAt: issuedAt + lifetimes.grantSeconds,
      sealedUpstreamTokens: grants.seal(grantId, tokens),
      upstreamVersion: 0
    }
    await store.putCode(hashSecret(code), {
      grant,
      redirectUri,
      codeChallenge,
      expiresAt: issuedAt + lifetimes.authorizationCodeSeconds,
      used: false
    })
    return grant
  }
}
