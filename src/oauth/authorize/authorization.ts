import { setTimeout as delay } from 'node:timers/promises'
import { AccessDeniedError, InvalidRequestError, OAuthError } from '../../errors.js'
import type {
  AuthorizationTransaction,
  AuthorizationTransactionStore,
  ConsentState
} from '../../stores/authorizations.js'
import type { AuthorizationCodes } from './authorization-codes.js'
import { checkRequest, checkRequestSize, type AuthorizationParameters } from './authorization-request.js'
import type { BrowserState } from './browser-state.js'
import { resolveRedirectUri, type Clients } from '../clients/clients.js'
import type { Client } from '../client.js'
import { checkBrowser, loginOver, type ConsentForm, type ConsentForms } from './consent-forms.js'
import { isMemorable, type Consents } from './consents.js'
import { personHash, hashSecret, newId } from '../secrets.js'
import {
  observed,
  type AuthorizationEvent,
  type BrokerObserver,
  type CallbackEvent,
  type ConsentEvent
} from '../login-events.js'
import type { Grants } from '../tokens/grants.js'
import type { Identity } from '../upstream/identity.js'
import type { Keyring } from '../keyring.js'
import type { Login, LoginLeg } from './login-leg.js'
import type { ConsentRequest, NextStep } from './next-step.js'
import type { BrokerLifetimes } from '../options.js'
import type { BrokerLog } from '../../log.js'
import type { RecognisedSecrets } from '../tokens/recognised-secrets.js'
import { classifyRedirectUri, withParameters } from '../clients/redirect-uris.js'
import type { Resources } from '../resources.js'
import type { UpstreamClients } from '../upstream/upstream-clients.js'
import type { Upstream } from '../upstream/upstream.js'

/** Who asks, as far as that is known: a browser, and the address that what is kept counts for. */
export interface Visitor {
  browser: BrowserState
  address: string
}

export interface AuthorizationOptions {
  issuer: string
  clients: Clients
  transactions: AuthorizationTransactionStore
  forms: ConsentForms
  consents: Consents
  login: LoginLeg
  codes: AuthorizationCodes
  grants: Grants
  upstream: Upstream
  upstreamClients: UpstreamClients
  resources: Resources
  keyring: Keyring
  recognised: RecognisedSecrets
  scopes: readonly [string, ...string[]]
  consentInDynamicMode: boolean
  /** A consent page that was answered sooner was not read. */
  consentDelayMs: number
  lifetimes: BrokerLifetimes
  log: BrokerLog
  observe: BrokerObserver
  now: () => number
}

/** The person's answer to a consent page. */
export interface ConsentDecision {
  allow: boolean
  /** Whether the consent is to stand for later attempts. */
  remember: boolean
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
   * Checks that a request is of a client that is known, for a redirect URI of its own: what else is wrong, `begin` tells.
   * @throws {OAuthError}
   */
  async verify (parameters: AuthorizationParameters): Promise<void> {
    const event: AuthorizationEvent = {
      type: 'authorization',
      clientId: parameters.client_id,
      redirectUri: parameters.redirect_uri,
      links: []
    }
    try {
      checkRequestSize(parameters)
      const client = event.client = await this.#clientOf(parameters)
      resolveRedirectUri(client, parameters.redirect_uri)
    } catch (error) {
      this.#options.observe({ ...event, error })
      throw error
    }
  }

  /**
   * Takes a client's authorization request. Nothing is kept of it here, but where nobody has to be asked.
   * @throws {OAuthError} before the client and its redirect URI are verified
   */
  async begin (parameters: AuthorizationParameters, { browser, address }: Visitor): Promise<NextStep> {
    const id = newId()
    const event: AuthorizationEvent = {
      type: 'authorization',
      clientId: parameters.client_id,
      redirectUri: parameters.redirect_uri,
      links: [hashSecret(id)]
    }
    const verified: { redirectUri?: string } = {}
    try {
      const { client, request } = await observed(this.#options.observe, event, async () => {
        checkRequestSize(parameters)
        const client = event.client = await this.#clientOf(parameters)
        const redirectUri = verified.redirectUri = resolveRedirectUri(client, parameters.redirect_uri)
        const { resources, scopes } = this.#options
        return {
          client,
          request: { clientId: client.clientId, redirectUri, ...checkRequest(parameters, resources, scopes) }
        }
      })
      const consent = await this.#consentTo(request, client, browser)
      const transaction: AuthorizationTransaction = {
        browserHash: hashSecret(browser.id),
        ...request,
        consent: consent ?? 'given'
      }
      if (consent === undefined) {
        return { kind: 'consent', request: await this.#ask({ id, transaction, loggedIn: false }, client) }
      }
      return { kind: 'redirect', url: await this.#options.login.send(id, transaction, client, address) }
    } catch (error) {
      const { client } = event
      const { redirectUri } = verified
      if (client === undefined || redirectUri === undefined) throw error
      const failure = this.#failure(error, {
        redirectUri,
        ...parameters.state !== undefined && { state: parameters.state }
      })
      // a link that anybody can make must not send people to a site that anybody can register (RFC 9700 4.11.2)
      const vouched = client.kind === 'preregistered' || classifyRedirectUri(redirectUri) !== 'web'
      return vouched ? { kind: 'redirect', url: failure.url } : { kind: 'refusal', ...failure }
    }
  }

  /**
   * Takes the person's answer to the consent page. An attempt goes upstream once, however often it is allowed; to deny is the end.
   * @param sealed the transaction of the page
   * @throws {OAuthError} where the attempt is unknown, over, or another browser's
   */
  async decide (sealed: string, decision: ConsentDecision, visitor: Visitor): Promise<NextStep> {
    const { forms, now, consentDelayMs, clients } = this.#options
    const form = forms.open(sealed, visitor.browser)
    const tooSoonMs = form.askedAt + consentDelayMs - now()
    if (decision.allow && tooSoonMs > 0) {
      // who answers again when the page is there once more has had the time to read it
      await delay(Math.min(tooSoonMs, consentDelayMs))
      return {
        kind: 'consent',
        request: { ...await this.#ask(form, await clients.find(form.transaction.clientId)), tooSoon: true }
      }
    }
    const url =
      await (form.loggedIn ? this.#decideLoggedIn(form, decision) : this.#decideFirst(form, decision, visitor))
    return { kind: 'redirect', url }
  }

  /**
   * Takes the upstream's answer at our callback. Asks who came back, where their consent was assumed and is not theirs.
   * @param query as it came
   * @throws {OAuthError} where the attempt is unknown, over, or another browser's
   */
  async complete (query: string, { browser, address }: Visitor): Promise<{ next: NextStep, browser: BrowserState }> {
    const state = new URLSearchParams(query).get('state')
    const code = this.#options.recognised.make('authorizationCode')
    const event: CallbackEvent = { type: 'callback', links: [hashSecret(state ?? ''), hashSecret(code)] }
    const taken: { transaction?: AuthorizationTransaction } = {}
    try {
      return await observed(this.#options.observe, event, async () => {
        if (state === null) throw new InvalidRequestError('The login server sent no state.')
        const transaction = taken.transaction = await this.#take(state, browser)
        const { client, ...login } = await this.#options.login.redeem(state, transaction, query)
        const person = findPersonHash(login.identity)
        const next = withPerson(browser, person)
        if (!await this.#isAgreed(transaction, person)) {
          return { next: await this.#askLoggedIn(transaction, client, login, address), browser: next }
        }
        if (transaction.consent === 'remembered' && person !== undefined) {
          await this.#options.consents.remember(person, transaction)
        }
        await this.#options.codes.put(code, transaction, client, login)
        return { next: { kind: 'redirect', url: this.#answer(transaction, { code }) }, browser: next }
      })
    } catch (error) {
      if (taken.transaction === undefined) throw error
      return { next: { kind: 'redirect', url: this.#failure(error, taken.transaction).url }, browser }
    }
  }

  async #clientOf ({ client_id: clientId }: AuthorizationParameters): Promise<Client> {
    if (clientId === undefined) throw new InvalidRequestError('The client_id is missing.')
    return await this.#options.clients.find(clientId)
  }

  /** Why nobody has to be asked now; undefined where the person has to be. */
  async #consentTo (
    request: Pick<AuthorizationTransaction, 'clientId' | 'redirectUri' | 'resource' | 'scopes'>,
    client: Client,
    { person }: BrowserState
  ): Promise<ConsentState | undefined> {
    const { upstreamClients, consentInDynamicMode, consents } = this.#options
    if (client.trusted === true || (!consentInDynamicMode && upstreamClients.dynamic && client.kind !== 'document')) {
      return 'waived'
    }
    const assumed = person !== undefined && isMemorable(client, request.redirectUri) &&
      await consents.cover(person, request)
    return assumed ? 'assumed' : undefined
  }

  async #isAgreed (transaction: AuthorizationTransaction, person: string | undefined): Promise<boolean> {
    if (transaction.consent !== 'assumed') return true
    return person !== undefined && await this.#options.consents.cover(person, transaction)
  }

  async #ask (form: Omit<ConsentForm, 'askedAt'> & { askedAt?: number }, client: Client): Promise<ConsentRequest> {
    const { forms, upstream } = this.#options
    const { redirectUri, scopes, resource } = form.transaction
    return {
      transaction: forms.seal(form),
      client,
      redirectUri,
      redirectKind: classifyRedirectUri(redirectUri),
      scopes,
      resource,
      loginHost: upstream.host,
      upstreamScopes: await upstream.askedScopes(),
      memorable: isMemorable(client, redirectUri)
    }
  }

  /** Keeps a login while the person who came back is asked: it was assumed that they had agreed. */
  async #askLoggedIn (
    transaction: AuthorizationTransaction,
    client: Client,
    login: Login,
    address: string
  ): Promise<NextStep> {
    const { transactions, keyring, grants, lifetimes: { authorizationSeconds: ttlSeconds } } = this.#options
    const { upstream, ...asked } = transaction
    const id = newId()
    await transactions.add(id, { ...asked, sealedLogin: keyring.seal(sealingPurpose(id), login) }, {
      address,
      ttlSeconds
    }).catch((error: unknown) => {
      grants.discard(client.clientId, login.tokens)
      throw error
    })
    const name = [login.identity.claims.name, login.identity.claims.email, login.identity.subject].find(claim =>
      typeof claim === 'string'
    )
    const request = await this.#ask({ id, transaction: asked, loggedIn: true }, client)
    return { kind: 'consent', request: { ...request, ...typeof name === 'string' && { loggedInAs: name } } }
  }

  async #decideFirst (
    { id, transaction }: ConsentForm,
    { allow, remember }: ConsentDecision,
    { address }: Visitor
  ): Promise<string> {
    const { clients, login, observe, transactions, lifetimes } = this.#options
    const event: ConsentEvent = { type: 'consent', links: [hashSecret(id)] }
    const client = await clients.find(transaction.clientId)
    try {
      await observed(observe, event, async () => {
        if (allow) return
        if (!await transactions.end(id, { address, ttlSeconds: lifetimes.authorizationSeconds })) throw loginOver()
        throw denied()
      })
      const consent = remember && isMemorable(client, transaction.redirectUri) ? 'remembered' : 'given'
      return await login.send(id, { ...transaction, consent }, client, address)
    } catch (error) {
      // who comes too late gets a page: the client has its answer already
      if (error instanceof OAuthError && error.reason === 'login_over') throw error
      return this.#failure(error, transaction).url
    }
  }

  async #decideLoggedIn ({ id }: ConsentForm, { allow, remember }: ConsentDecision): Promise<string> {
    const { clients, keyring, grants, observe, recognised, consents, codes, transactions } = this.#options
    const transaction = await transactions.take(id)
    const login = keyring.open(sealingPurpose(id), transaction?.sealedLogin ?? '')
    if (transaction === undefined || !isLogin(login)) throw loginOver()
    const code = recognised.make('authorizationCode')
    try {
      return await observed(observe, { type: 'consent', links: [hashSecret(id), hashSecret(code)] }, async () => {
        if (!allow) {
          grants.discard(transaction.clientId, login.tokens)
          throw denied()
        }
        const client = await clients.find(transaction.clientId)
        const person = findPersonHash(login.identity)
        if (remember && person !== undefined && isMemorable(client, transaction.redirectUri)) {
          await consents.remember(person, transaction)
        }
        await codes.put(code, transaction, client, login)
        return this.#answer(transaction, { code })
      })
    } catch (error) {
      return this.#failure(error, transaction).url
    }
  }

  /** Takes an attempt whose person was sent upstream. */
  async #take (id: string, browser: BrowserState): Promise<AuthorizationTransaction> {
    const { transactions } = this.#options
    const transaction = await transactions.get(id)
    if (transaction?.upstream === undefined) throw loginOver()
    checkBrowser(transaction, browser)
    const taken = await transactions.take(id)
    if (taken === undefined) throw loginOver()
    return taken
  }

  #failure (
    error: unknown,
    to: Pick<AuthorizationTransaction, 'redirectUri' | 'state'>
  ): { error: OAuthError, url: string } {
    if (!(error instanceof OAuthError)) throw error
    const { code, message, detail } = error
    this.#options.log.info({ code, detail }, `authorization failed: ${message}`)
    // RFC 6749 4.1.2.1 has no invalid_grant and no invalid_client here
    const wireCode = ['invalid_grant', 'invalid_client'].includes(code) ? 'server_error' : code
    return { error, url: this.#answer(to, { error: wireCode, error_description: message }) }
  }

  /** The redirect back to the client, with its `state` and our `iss` (RFC 9207). */
  #answer (
    { redirectUri, state }: Pick<AuthorizationTransaction, 'redirectUri' | 'state'>,
    parameters: Record<string, string>
  ): string {
    return withParameters(redirectUri, { ...parameters, state, iss: this.#options.issuer })
  }
}

function denied (): AccessDeniedError {
  return new AccessDeniedError('The person denied access.', { reason: 'denied_by_person' })
}

/** Where nobody tells who it is, there is nobody to remember. */
function findPersonHash ({ issuer, subject }: Identity): string | undefined {
  return subject === undefined ? undefined : personHash({ issuer, subject })
}

function withPerson ({ id }: BrowserState, person: string | undefined): BrowserState {
  return { id, ...person !== undefined && { person } }
}

function sealingPurpose (id: string): string {
  return `login of ${id}`
}

// nobody else can seal one
function isLogin (value: unknown): value is Login {
  return typeof value === 'object' && value !== null && 'tokens' in value && 'identity' in value
}
