import { AccessDeniedError, InvalidRequestError, OAuthError, UnsupportedResponseTypeError } from '../errors.js'
import type { AuthorizationTransaction, AuthorizationTransactionStore } from '../stores/authorizations.js'
import type { Grant, GrantStore } from '../stores/grants.js'
import type { BrowserState, BrowserStates } from './browser-state.js'
import { resolveRedirectUri, type Client, type Clients } from './clients.js'
import { observed, type AuthorizationEvent, type BrokerObserver, type CallbackEvent, type ConsentEvent } from './events.js'
import type { Grants } from './grants.js'
import type { Identity } from './identity.js'
import type { Keyring } from './keyring.js'
import type { AuthorizeGrant, BrokerLifetimes, BrokerLog } from './options.js'
import { checkCodeChallenge } from './pkce.js'
import { redirectKindOf, withParameters, type RedirectKind } from './redirect-uris.js'
import type { RecognisedSecrets } from './recognised-secrets.js'
import type { Resources } from './resources.js'
import { requestedScopes } from './scopes.js'
import { hashOf, newId, newSecret } from './secrets.js'
import { UNNAMED_PREFIX } from './subject.js'
import type { UpstreamClients } from './upstream-clients.js'
import type { Upstream, UpstreamTokens } from './upstream.js'

/** Parameters of an authorization request (RFC 6749 4.1.1, 7636 4.3, 8707 2), each at most once. */
export type AuthorizationParameters = Readonly<Record<string, string | undefined>>

/** What the person is asked. */
export interface ConsentRequest {
  /** Names this attempt in the answer. */
  transactionId: string
  client: Client
  redirectUri: string
  redirectKind: RedirectKind
  scopes: readonly string[]
  resource: string
  /** Where the person will log in. */
  loginHost: string
}

/** What follows in the browser. */
export type NextStep =
  | { kind: 'redirect', url: string }
  | { kind: 'consent', request: ConsentRequest }
  /** An error for a client that nobody vouches for: the person decides whether to go there. */
  | { kind: 'refusal', error: OAuthError, url: string }

export interface AuthorizationOptions {
  issuer: string
  clients: Clients
  transactions: AuthorizationTransactionStore
  grantStore: GrantStore
  grants: Grants
  upstream: Upstream
  upstreamClients: UpstreamClients
  browserStates: BrowserStates
  resources: Resources
  keyring: Keyring
  recognised: RecognisedSecrets
  scopes: readonly [string, ...string[]]
  consentInDynamicMode: boolean
  authorizeGrant: AuthorizeGrant
  lifetimes: BrokerLifetimes
  log: BrokerLog
  observe: BrokerObserver
  now: () => number
}

/** What the upstream gave for its code. */
interface Redeemed {
  client: Client
  tokens: UpstreamTokens
  identity: Identity
}

/**
 * Authorization requests, from the client's `/authorize` to the redirect back to it (RFC 6749 4.1).
 * What is thrown is for a page: the client, or its redirect URI, is not to be trusted.
 */
export class Authorization {
  readonly #options: AuthorizationOptions

  constructor (options: AuthorizationOptions) {
    this.#options = options
  }

  /**
   * Takes a client's authorization request.
   * @throws {OAuthError} before the client and its redirect URI are verified
   */
  async begin (parameters: AuthorizationParameters, browser: BrowserState): Promise<NextStep> {
    const id = newId()
    const event: AuthorizationEvent = { type: 'authorization', clientId: parameters.client_id, redirectUri: parameters.redirect_uri, links: [hashOf(id)] }
    const verified: { redirectUri?: string } = {}
    try {
      const { client, transaction } = await observed(this.#options.observe, event, async () => {
        const client = event.client = await this.#clientOf(parameters)
        const redirectUri = verified.redirectUri = resolveRedirectUri(client, parameters.redirect_uri)
        return { client, transaction: this.#check(parameters, client, redirectUri, browser) }
      })
      if (this.#needsConsent(transaction, client, browser)) return await this.#askConsent(id, transaction, client)
      return { kind: 'redirect', url: await this.#sendUpstream(id, transaction, client) }
    } catch (error) {
      const { client } = event
      const { redirectUri } = verified
      if (client === undefined || redirectUri === undefined) throw error
      const failure = this.#failure(error, { redirectUri, ...parameters.state !== undefined && { state: parameters.state } })
      // a link that anybody can make must not send people to a site that anybody can register (RFC 9700 4.11.2)
      const vouched = client.kind === 'preregistered' || redirectKindOf(redirectUri) !== 'web'
      return vouched ? { kind: 'redirect', url: failure.url } : { kind: 'refusal', ...failure }
    }
  }

  /**
   * Takes the person's answer on the consent page.
   * @returns where to go now, and the state that the browser is to keep
   * @throws {OAuthError} where the attempt is unknown, over, or another browser's
   */
  async decide (transactionId: string, allow: boolean, remember: boolean, browser: BrowserState): Promise<{ url: string, browser: BrowserState }> {
    const { browserStates, clients, lifetimes, observe } = this.#options
    const state = newId()
    const event: ConsentEvent = { type: 'consent', links: [hashOf(transactionId), hashOf(state)] }
    const answered: { transaction?: AuthorizationTransaction } = {}
    try {
      const transaction = await observed(observe, event, async () => {
        // people press twice: to allow again is another login upstream, to deny is the end
        answered.transaction = await (allow ? this.#find(transactionId, browser, false) : this.#take(transactionId, browser, false))
        if (!allow) throw new AccessDeniedError('The person denied access.', { reason: 'denied_by_person' })
        return answered.transaction
      })
      const client = await clients.find(transaction.clientId)
      const url = await this.#sendUpstream(state, transaction, client)
      return { url, browser: remember && isMemorable(client, transaction) ? browserStates.remember(browser, transaction, lifetimes.consentSeconds) : browser }
    } catch (error) {
      if (answered.transaction === undefined) throw error
      return { url: this.#failure(error, answered.transaction).url, browser }
    }
  }

  /**
   * Takes the upstream's answer at our callback.
   * @param query as it came
   * @throws {OAuthError} where the attempt is unknown, over, or another browser's
   */
  async complete (query: string, browser: BrowserState): Promise<{ url: string }> {
    const state = new URLSearchParams(query).get('state')
    const code = this.#options.recognised.make('authorizationCode')
    const event: CallbackEvent = { type: 'callback', links: [hashOf(state ?? ''), hashOf(code)] }
    const taken: { transaction?: AuthorizationTransaction } = {}
    try {
      return await observed(this.#options.observe, event, async () => {
        if (state === null) throw new InvalidRequestError('The login server sent no state.')
        const transaction = taken.transaction = await this.#take(state, browser, true)
        await this.#grant(transaction, code, await this.#redeem(transaction, state, query))
        return { url: this.#answer(transaction, { code }) }
      })
    } catch (error) {
      if (taken.transaction === undefined) throw error
      return { url: this.#failure(error, taken.transaction).url }
    }
  }

  async #clientOf ({ client_id: clientId }: AuthorizationParameters): Promise<Client> {
    if (clientId === undefined) throw new InvalidRequestError('The client_id is missing.')
    return await this.#options.clients.find(clientId)
  }

  #check (parameters: AuthorizationParameters, client: Client, redirectUri: string, browser: BrowserState): AuthorizationTransaction {
    const { resources, scopes } = this.#options
    if (parameters.response_type === undefined) throw new InvalidRequestError('The response_type is missing.')
    if (parameters.response_type !== 'code') throw new UnsupportedResponseTypeError('The response_type must be code.')
    if (![undefined, 'query'].includes(parameters.response_mode)) throw new InvalidRequestError('The response_mode must be query.')
    if (parameters.request !== undefined || parameters.request_uri !== undefined) throw new InvalidRequestError('Request objects are not supported.')
    return {
      browserHash: hashOf(browser.id),
      clientId: client.clientId,
      redirectUri,
      ...parameters.state !== undefined && { state: parameters.state },
      codeChallenge: checkCodeChallenge(parameters.code_challenge, parameters.code_challenge_method),
      resource: resources.resolve(parameters.resource),
      scopes: requestedScopes(parameters.scope, scopes)
    }
  }

  #needsConsent (transaction: AuthorizationTransaction, client: Client, browser: BrowserState): boolean {
    const { upstreamClients, consentInDynamicMode, browserStates } = this.#options
    if (client.trusted === true) return false
    if (isMemorable(client, transaction) && browserStates.remembers(browser, transaction)) return false
    return consentInDynamicMode || !upstreamClients.dynamic || client.kind === 'document'
  }

  async #askConsent (transactionId: string, transaction: AuthorizationTransaction, client: Client): Promise<NextStep> {
    const { transactions, lifetimes, upstream } = this.#options
    await transactions.put(transactionId, transaction, lifetimes.authorizationSeconds)
    const { redirectUri, scopes, resource } = transaction
    return { kind: 'consent', request: { transactionId, client, redirectUri, redirectKind: redirectKindOf(redirectUri), scopes, resource, loginHost: upstream.host } }
  }

  async #sendUpstream (state: string, transaction: AuthorizationTransaction, client: Client): Promise<string> {
    const { transactions, upstream, upstreamClients, keyring, lifetimes, observe } = this.#options
    return await observed(observe, { type: 'upstream', links: [hashOf(state)] }, async () => {
      const { url, codeVerifier, nonce } = await upstream.begin(await upstreamClients.for(client), state)
      const sealedCodeVerifier = keyring.seal(purposeOf(state), codeVerifier)
      await transactions.put(state, { ...transaction, upstream: { sealedCodeVerifier, ...nonce !== undefined && { nonce } } }, lifetimes.authorizationSeconds)
      return url
    })
  }

  async #find (id: string, browser: BrowserState, sentUpstream: boolean): Promise<AuthorizationTransaction> {
    const transaction = await this.#options.transactions.get(id)
    if (transaction === undefined || (transaction.upstream !== undefined) !== sentUpstream) throw over()
    if (transaction.browserHash !== hashOf(browser.id)) {
      throw new AccessDeniedError('This login was begun in another browser, or this browser blocks cookies. Start again in your app.', { detail: 'the browser cookie is not that of the attempt', reason: 'other_browser' })
    }
    return transaction
  }

  async #take (id: string, browser: BrowserState, sentUpstream: boolean): Promise<AuthorizationTransaction> {
    await this.#find(id, browser, sentUpstream)
    const taken = await this.#options.transactions.take(id)
    if (taken === undefined) throw over()
    return taken
  }

  async #redeem (transaction: AuthorizationTransaction, state: string, query: string): Promise<Redeemed> {
    const { clients, keyring, upstream, upstreamClients } = this.#options
    const client = await clients.find(transaction.clientId)
    const codeVerifier = keyring.open(purposeOf(state), transaction.upstream?.sealedCodeVerifier ?? '')
    if (typeof codeVerifier !== 'string') throw over()
    const nonce = transaction.upstream?.nonce
    const redeemed = await upstream.redeem(await upstreamClients.for(client), query, { state, codeVerifier, ...nonce !== undefined && { nonce } })
    return { client, ...redeemed }
  }

  async #authorize ({ scopes: requested }: AuthorizationTransaction, client: Client, { claims }: Identity): Promise<readonly string[]> {
    const { client_name: clientName } = client.metadata
    const decision = await this.#options.authorizeGrant({
      claims, client: { clientId: client.clientId, ...clientName !== undefined && { clientName } }, requestedScopes: requested
    })
    if (!decision.allow) throw new AccessDeniedError(decision.reason ?? 'You may not use this server.', { detail: 'refused by authorizeGrant', reason: 'denied_by_service' })
    return decision.scopes === undefined ? requested : requested.filter(scope => decision.scopes?.includes(scope))
  }

  /** Lets a code stand for what the person has granted. */
  async #grant (transaction: AuthorizationTransaction, code: string, { client, tokens, identity }: Redeemed): Promise<void> {
    const { grantStore, grants, lifetimes, now } = this.#options
    const scopes = await this.#authorize(transaction, client, identity).catch((error: unknown) => {
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
      // where nobody tells who it is, each login is somebody else
      subject: identity.subject ?? UNNAMED_PREFIX + grantId,
      claims: identity.claims,
      scopes: [...scopes],
      resource,
      expiresAt: issuedAt + lifetimes.grantSeconds,
      sealedUpstreamTokens: grants.seal(grantId, tokens),
      upstreamVersion: 0
    }
    await grantStore.putCode(hashOf(code), { grant, redirectUri, codeChallenge, expiresAt: issuedAt + lifetimes.authorizationCodeSeconds, used: false })
  }

  #failure (error: unknown, to: Pick<AuthorizationTransaction, 'redirectUri' | 'state'>): { error: OAuthError, url: string } {
    if (!(error instanceof OAuthError)) throw error
    const { code, message, detail } = error
    this.#options.log.info({ code, detail }, `authorization failed: ${message}`)
    // RFC 6749 4.1.2.1 has no invalid_grant and no invalid_client here
    const wireCode = ['invalid_grant', 'invalid_client'].includes(code) ? 'server_error' : code
    return { error, url: this.#answer(to, { error: wireCode, error_description: message }) }
  }

  /** The redirect back to the client, with its `state` and our `iss` (RFC 9207). */
  #answer ({ redirectUri, state }: Pick<AuthorizationTransaction, 'redirectUri' | 'state'>, parameters: Record<string, string>): string {
    return withParameters(redirectUri, { ...parameters, state, iss: this.#options.issuer })
  }
}

function over (): InvalidRequestError {
  return new InvalidRequestError('This login is over, or took too long. Start again in your app.', { reason: 'login_over' })
}

// what any program on the machine, or any client, can pretend to be is asked for each time
function isMemorable (client: Client, { redirectUri }: AuthorizationTransaction): boolean {
  return client.kind !== 'document' && redirectKindOf(redirectUri) === 'web'
}

function purposeOf (state: string): string {
  return `upstream code verifier of ${state}`
}
