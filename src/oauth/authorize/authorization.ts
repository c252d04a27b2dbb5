import { InvalidRequestError } from '../../errors.js'
import type {
  AuthorizationTransaction,
  AuthorizationTransactionStore,
  ConsentState
} from '../../stores/authorizations.js'
import type { AuthorizationCodes } from './authorization-codes.js'
import { checkRequest, checkRequestSize, type AuthorizationParameters } from './authorization-request.js'
import type { BrowserState, Visitor } from './browser-state.js'
import type { AllowedClients } from '../clients/allowed-clients.js'
import { resolveRedirectUri, type Clients } from '../clients/clients.js'
import type { Client } from '../client.js'
import type { ClientRedirects } from './client-redirects.js'
import { checkBrowser, loginOver } from './consent-forms.js'
import type { ConsentPages } from './consent-pages.js'
import { findPersonHash, isMemorable, type Consents } from './consents.js'
import { checkSameBrowser, silentError, silentRefusal } from './silent-login.js'
import { hashSecret, newId } from '../secrets.js'
import {
  describeGrant,
  notePerson,
  observed,
  observedFailure,
  type AuthorizationEvent,
  type BrokerObserver,
  type CallbackEvent
} from '../login-events.js'
import { asksForConsent, isSilent } from './login-hints.js'
import type { Login, LoginLeg } from './login-leg.js'
import type { NextStep } from './next-step.js'
import type { GrantDecisions } from '../tokens/grant-decisions.js'
import type { Grants } from '../tokens/grants.js'
import type { RecognisedSecrets } from '../tokens/recognised-secrets.js'
import { classifyRedirectUri } from '../clients/redirect-uris.js'
import type { Resources } from '../resources.js'
import type { Identity } from '../upstream/identity.js'
import type { UpstreamClients } from '../upstream/upstream-clients.js'

export interface AuthorizationOptions {
  clients: Clients
  allowed: AllowedClients
  transactions: AuthorizationTransactionStore
  consentPages: ConsentPages
  consents: Consents
  login: LoginLeg
  codes: AuthorizationCodes
  decisions: GrantDecisions
  grants: Grants
  redirects: ClientRedirects
  upstreamClients: UpstreamClients
  resources: Resources
  recognised: RecognisedSecrets
  consentInDynamicMode: boolean
  observe: BrokerObserver
}

/**
 * Authorization requests, from the client's `/authorize` to the redirect back to it (RFC 6749 4.1).
 * Errors that are thrown are shown on a page: the client, or its redirect URI, cannot be trusted.
 */
export class Authorization {
  readonly #options: AuthorizationOptions

  constructor (options: AuthorizationOptions) {
    this.#options = options
  }

  /**
   * Checks that the client is known and the redirect URI is one of its own. `begin` checks the rest.
   * @throws {OAuthError}
   */
  async verify (parameters: AuthorizationParameters): Promise<void> {
    await this.#identify(parameters, toEvent(parameters))
  }

  /**
   * Starts an authorization request. Nothing is stored here unless the person needs no consent page.
   * @throws {OAuthError} until the client and its redirect URI are verified
   */
  async begin (parameters: AuthorizationParameters, { browser, address, http }: Visitor): Promise<NextStep> {
    const { observe, resources, consentPages, login, redirects } = this.#options
    const id = newId()
    const event = { ...toEvent(parameters, [hashSecret(id)]), http }
    const { client, redirectUri } = await this.#identify(parameters, event)
    try {
      const { consent, ...request } = await observed(observe, { ...event, client }, async () => {
        const checked = checkRequest(parameters, resources)
        const request = { clientId: client.clientId, redirectUri, ...checked }
        const consent = await this.#findConsent(request, client, browser)
        if (consent === undefined && isSilent(checked.hints)) throw silentRefusal(browser)
        return { ...request, consent }
      })
      const transaction: AuthorizationTransaction = {
        browserHash: hashSecret(browser.id),
        ...request,
        consent: consent ?? 'given'
      }
      if (consent === undefined) {
        return { kind: 'consent', request: await consentPages.ask({ id, transaction, loggedIn: false }, client) }
      }
      return { kind: 'redirect', url: await login.send(id, transaction, client, address) }
    } catch (error) {
      const { state } = parameters
      const failure = redirects.failure(error, { redirectUri, ...state !== undefined && { state } })
      // a link that anybody can make must not send people to a site that anybody can register, except for silent
      // authentication, which allows no page (RFC 9700 4.11.2)
      const vouched = client.kind === 'preregistered' || classifyRedirectUri(redirectUri) !== 'web' ||
        isSilent(parameters)
      return { kind: vouched ? 'redirect' : 'refusal', ...failure }
    }
  }

  /**
   * Takes the upstream's response at our callback. If consent was assumed, and is not that of the person who logged in,
   * they are asked.
   * @param query as it came
   * @throws {OAuthError} if the attempt is unknown, over, or belongs to another browser
   */
  async complete (query: string, visitor: Visitor): Promise<{ next: NextStep, browser: BrowserState }> {
    const { browser, address, http } = visitor
    const { observe, recognised, consentPages, consents, codes, login: leg, redirects } = this.#options
    const state = new URLSearchParams(query).get('state')
    const id = state ?? ''
    const code = recognised.make('authorizationCode')
    const event: CallbackEvent = { type: 'callback', links: [hashSecret(id), hashSecret(code)], http }
    const transaction = await observedFailure(observe, event, async () => {
      if (state === null) throw new InvalidRequestError('The login server sent no state.')
      return await this.#take(id, browser)
    })
    event.clientId = transaction.clientId
    let arrived: { client: Client, identity: Identity } | undefined
    try {
      return await observed(observe, event, async () => {
        // a silent login has no page to say so on
        if (isSilent(transaction.hints)) checkSameBrowser(transaction, browser)
        const { client, ...login } = await leg.redeem(id, transaction, query).catch((error: unknown) => {
          throw isSilent(transaction.hints) ? silentError(error, query) : error
        })
        notePerson(event, login.identity)
        arrived = { client, identity: login.identity }
        // nobody is asked for a consent that would be of no use
        this.#checkPolicy(transaction, client, login)
        const person = findPersonHash(login.identity)
        const next = withPerson(browser, person)
        if (!await this.#isAgreed(transaction, person)) {
          const request = await consentPages.askLoggedIn(transaction, client, login, address)
          return { next: { kind: 'consent', request }, browser: next }
        }
        if (transaction.consent === 'remembered' && person !== undefined) await consents.remember(person, transaction)
        event.grant = describeGrant(await codes.put(code, transaction, client, login))
        return { next: { kind: 'redirect', url: redirects.success(transaction, code) }, browser: next }
      })
    } catch (error) {
      return { next: consentPages.fail(error, transaction, arrived), browser }
    }
  }

  #checkPolicy ({ resource, scopes: requestedScopes }: AuthorizationTransaction, client: Client, login: Login): void {
    const { decisions, grants } = this.#options
    try {
      decisions.checkPolicy({ claims: login.identity.claims, resource, requestedScopes })
    } catch (error) {
      grants.discard(client.clientId, login.tokens)
      throw error
    }
  }

  /** Who asks, and where the response may go. */
  async #identify (
    parameters: AuthorizationParameters,
    event: AuthorizationEvent
  ): Promise<{ client: Client, redirectUri: string }> {
    const { observe, clients, allowed } = this.#options
    const client = await observedFailure(observe, event, async () => {
      checkRequestSize(parameters)
      if (parameters.client_id === undefined) throw new InvalidRequestError('The client_id is missing.')
      return await clients.find(parameters.client_id)
    })
    const redirectUri = await observedFailure(
      observe,
      { ...event, client },
      () => {
        const redirectUri = resolveRedirectUri(client, parameters.redirect_uri)
        allowed.check(client, redirectUri)
        return redirectUri
      }
    )
    return { client, redirectUri }
  }

  /** Why the person need not be asked; undefined if they must be. */
  async #findConsent (
    request: Pick<AuthorizationTransaction, 'clientId' | 'redirectUri' | 'resource' | 'scopes' | 'hints'>,
    client: Client,
    { person }: BrowserState
  ): Promise<ConsentState | undefined> {
    const { upstreamClients, consentInDynamicMode, consents } = this.#options
    if (client.trusted === true || (!consentInDynamicMode && upstreamClients.dynamic && client.kind !== 'document')) {
      return 'waived'
    }
    const mayAssume = !asksForConsent(request.hints) && isMemorable(client, request.redirectUri)
    const assumed = person !== undefined && mayAssume && await consents.cover(person, request)
    return assumed ? 'assumed' : undefined
  }

  async #isAgreed (transaction: AuthorizationTransaction, person: string | undefined): Promise<boolean> {
    if (transaction.consent !== 'assumed') return true
    return person !== undefined && !asksForConsent(transaction.hints) &&
      await this.#options.consents.cover(person, transaction)
  }

  /** Takes an attempt whose person was sent upstream. */
  async #take (id: string, browser: BrowserState): Promise<AuthorizationTransaction> {
    const { transactions } = this.#options
    const transaction = await transactions.get(id)
    if (transaction?.upstream === undefined) throw loginOver()
    if (!isSilent(transaction.hints)) checkBrowser(transaction, browser)
    const taken = await transactions.take(id)
    if (taken === undefined) throw loginOver()
    return taken
  }
}

function toEvent (
  { client_id: clientId, redirect_uri: redirectUri }: AuthorizationParameters,
  links: readonly string[] = []
): AuthorizationEvent {
  return { type: 'authorization', clientId, redirectUri, links }
}

function withPerson ({ id }: BrowserState, person: string | undefined): BrowserState {
  return { id, ...person !== undefined && { person } }
}
