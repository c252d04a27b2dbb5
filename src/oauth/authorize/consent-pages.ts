import { setTimeout as delay } from 'node:timers/promises'
import { AccessDeniedError, OAuthError, type FailureReason } from '../../errors.js'
import type { AuthorizationTransaction, AuthorizationTransactionStore } from '../../stores/authorizations.js'
import type { AuthorizationCodes } from './authorization-codes.js'
import type { Visitor } from './browser-state.js'
import type { Clients } from '../clients/clients.js'
import type { Client } from '../client.js'
import type { ClientRedirects } from './client-redirects.js'
import { loginOver, type ConsentForm, type ConsentForms } from './consent-forms.js'
import { findPersonHash, isMemorable, type Consents } from './consents.js'
import { hashSecret, newId } from '../secrets.js'
import { describeGrant, notePerson, observed, type BrokerObserver, type ConsentEvent } from '../login-events.js'
import type { Grants } from '../tokens/grants.js'
import type { Keyring } from '../keyring.js'
import { forOtherAccount, isSilent } from './login-hints.js'
import type { Login, LoginLeg } from './login-leg.js'
import { consentNeeded } from './silent-login.js'
import type { ConsentRequest, NextStep } from './next-step.js'
import type { RecognisedSecrets } from '../tokens/recognised-secrets.js'
import { classifyRedirectUri } from '../clients/redirect-uris.js'
import type { Resources } from '../resources.js'
import type { Identity } from '../upstream/identity.js'
import type { Upstream } from '../upstream/upstream.js'

export interface ConsentPagesOptions {
  clients: Clients
  transactions: AuthorizationTransactionStore
  forms: ConsentForms
  consents: Consents
  login: LoginLeg
  codes: AuthorizationCodes
  grants: Grants
  redirects: ClientRedirects
  resources: Resources
  upstream: Upstream
  keyring: Keyring
  recognised: RecognisedSecrets
  /** A page that was answered sooner than this was not read. */
  delayMs: number
  /** How long an attempt may take. */
  seconds: number
  observe: BrokerObserver
  now: () => number
}

/** The person's decision on a consent page. */
export interface ConsentDecision {
  allow: boolean
  /** Whether the consent also counts for later attempts. */
  remember: boolean
}

/** Asks people for their consent, and acts on their decisions. */
export class ConsentPages {
  readonly #options: ConsentPagesOptions

  constructor (options: ConsentPagesOptions) {
    this.#options = options
  }

  /** What a page asks. */
  async ask (form: Omit<ConsentForm, 'askedAt'> & { askedAt?: number }, client: Client): Promise<ConsentRequest> {
    const { forms, upstream, resources } = this.#options
    const { redirectUri, scopes, resource } = form.transaction
    const server = resources.find(resource)
    return {
      transaction: forms.seal(form),
      client,
      redirectUri,
      redirectKind: classifyRedirectUri(redirectUri),
      scopes,
      baseScope: server?.scopes[0],
      resource,
      serverTitle: server?.title,
      loginHost: upstream.host,
      upstreamScopes: await upstream.askedScopes(),
      memorable: isMemorable(client, redirectUri)
    }
  }

  /** Keeps a completed login while the person is asked: their consent was assumed, but they have not given it. */
  async askLoggedIn (
    transaction: AuthorizationTransaction,
    client: Client,
    login: Login,
    address: string
  ): Promise<ConsentRequest> {
    const { transactions, keyring, grants, seconds: ttlSeconds } = this.#options
    const { upstream, ...asked } = transaction
    if (isSilent(transaction.hints)) {
      grants.discard(client.clientId, login.tokens)
      throw consentNeeded()
    }
    const id = newId()
    const kept = { ...asked, sealedLogin: keyring.seal(sealingPurpose(id), login) }
    await transactions.add(id, kept, { address, ttlSeconds }).catch((error: unknown) => {
      grants.discard(client.clientId, login.tokens)
      throw error
    })
    const request = await this.ask({ id, transaction: asked, loggedIn: true }, client)
    return { ...request, ...describePerson(login.identity) }
  }

  /**
   * What follows if a login fails: if the person may not use this server, they learn so, and may try another account.
   * @param who they are, and the client; undefined: nobody has logged in
   */
  fail (
    error: unknown,
    { upstream: _, sealedLogin: __, ...transaction }: AuthorizationTransaction,
    who: { client: Client, identity: Identity } | undefined
  ): NextStep {
    const { forms, redirects, upstream } = this.#options
    const failure = redirects.failure(error, transaction)
    const { reason = '' } = failure.error
    if (!DENIALS.has(reason) || isSilent(transaction.hints)) return { kind: 'redirect', ...failure }
    const sealed = forms.seal({ id: newId(), transaction, loggedIn: false })
    if (who === undefined) return { kind: 'other-account', ...failure, transaction: sealed }
    const { client, identity } = who
    const person = {
      transaction: sealed,
      clientName: client.metadata.client_name,
      resource: transaction.resource,
      loginHost: upstream.host,
      ...describePerson(identity)
    }
    return { kind: 'denied', ...failure, person }
  }

  /**
   * Acts on the person's decision. An attempt goes upstream once, however often it is allowed; denying ends it.
   * @param sealed the transaction of the page
   * @throws {OAuthError} if the attempt is unknown, over, or belongs to another browser
   */
  async decide (sealed: string, decision: ConsentDecision, visitor: Visitor): Promise<NextStep> {
    const { forms, now, delayMs, clients } = this.#options
    const form = forms.open(sealed, visitor.browser)
    const tooSoonMs = form.askedAt + delayMs - now()
    if (decision.allow && tooSoonMs > 0) {
      // by the time the page is shown again, the person has had the time to read it
      await delay(Math.min(tooSoonMs, delayMs))
      const request = await this.ask(form, await clients.find(form.transaction.clientId))
      return { kind: 'consent', request: { ...request, tooSoon: true } }
    }
    return form.loggedIn
      ? await this.#decideLoggedIn(form, decision, visitor)
      : await this.#decideFirst(form, decision, visitor)
  }

  /**
   * Sends the person upstream to log in with another account. They are asked when they come back, unless that person
   * has agreed before. The attempt of the page is over.
   * @param sealed the transaction of the page
   * @throws {OAuthError} if the attempt is unknown, over, or belongs to another browser
   */
  async switchAccount (sealed: string, visitor: Visitor): Promise<NextStep> {
    const { forms, clients, login, redirects } = this.#options
    const form = forms.open(sealed, visitor.browser)
    const { sealedLogin: _, ...transaction } = await this.#leave(form, visitor)
    const client = await clients.find(transaction.clientId)
    const hints = forOtherAccount(transaction.hints)
    const consent = transaction.consent === 'waived' ? 'waived' : 'assumed'
    try {
      const url = await login.send(newId(), { ...transaction, consent, hints }, client, visitor.address, [
        hashSecret(form.id)
      ])
      return { kind: 'redirect', url }
    } catch (error) {
      return { kind: 'redirect', url: redirects.failure(error, transaction).url }
    }
  }

  /** Ends the attempt of a page; what the upstream has given for it is revoked. */
  async #leave ({ id, loggedIn, transaction }: ConsentForm, { address }: Visitor): Promise<AuthorizationTransaction> {
    const { transactions, keyring, grants, seconds: ttlSeconds } = this.#options
    if (!loggedIn) {
      if (!await transactions.end(id, { address, ttlSeconds })) throw loginOver()
      return transaction
    }
    const kept = await transactions.take(id)
    const login = keyring.open(sealingPurpose(id), kept?.sealedLogin ?? '')
    if (kept === undefined || !isLogin(login)) throw loginOver()
    grants.discard(kept.clientId, login.tokens)
    return kept
  }

  /** Before the login: sends the person upstream. */
  async #decideFirst (
    { id, transaction }: ConsentForm,
    { allow, remember }: ConsentDecision,
    { address, http }: Visitor
  ): Promise<NextStep> {
    const { clients, login, observe, transactions, redirects, seconds: ttlSeconds } = this.#options
    const event: ConsentEvent = { type: 'consent', links: [hashSecret(id)], http, clientId: transaction.clientId }
    const client = await clients.find(transaction.clientId)
    try {
      await observed(observe, event, async () => {
        if (allow) return
        if (!await transactions.end(id, { address, ttlSeconds })) throw loginOver()
        throw denied()
      })
      const consent = remember && isMemorable(client, transaction.redirectUri) ? 'remembered' : 'given'
      return { kind: 'redirect', url: await login.send(id, { ...transaction, consent }, client, address) }
    } catch (error) {
      // too late: the client has its response already, so the person gets a page
      if (error instanceof OAuthError && error.reason === 'login_over') throw error
      return { kind: 'redirect', ...redirects.failure(error, transaction) }
    }
  }

  /** After the login: sends the person back to the client. */
  async #decideLoggedIn (
    { id }: ConsentForm,
    { allow, remember }: ConsentDecision,
    { http }: Visitor
  ): Promise<NextStep> {
    const { clients, keyring, grants, observe, recognised, consents, codes, redirects, transactions } = this.#options
    const transaction = await transactions.take(id)
    const login = keyring.open(sealingPurpose(id), transaction?.sealedLogin ?? '')
    if (transaction === undefined || !isLogin(login)) throw loginOver()
    const code = recognised.make('authorizationCode')
    const event: ConsentEvent = { type: 'consent', links: [hashSecret(id), hashSecret(code)], http }
    event.clientId = transaction.clientId
    notePerson(event, login.identity)
    let who: { client: Client, identity: Identity } | undefined
    try {
      return await observed(observe, event, async () => {
        if (!allow) {
          grants.discard(transaction.clientId, login.tokens)
          throw denied()
        }
        const client = await clients.find(transaction.clientId)
        who = { client, identity: login.identity }
        const person = findPersonHash(login.identity)
        if (remember && person !== undefined && isMemorable(client, transaction.redirectUri)) {
          await consents.remember(person, transaction)
        }
        event.grant = describeGrant(await codes.put(code, transaction, client, login))
        return { kind: 'redirect', url: redirects.success(transaction, code) }
      })
    } catch (error) {
      return this.fail(error, transaction, who)
    }
  }
}

/** The service, and not the person or the login server, said no. */
const DENIALS: ReadonlySet<string> = new Set<FailureReason>([
  'denied_by_policy',
  'denied_by_service',
  'tenant_not_allowed'
])

/** What to call the person. */
function describePerson ({ claims, subject }: Identity): { loggedInAs?: string } {
  const name = [claims.email, claims.name, subject].find(claim => typeof claim === 'string')
  return typeof name === 'string' ? { loggedInAs: name } : {}
}

function denied (): AccessDeniedError {
  return new AccessDeniedError('The person denied access.', { reason: 'denied_by_person' })
}

function sealingPurpose (id: string): string {
  return `login of ${id}`
}

// nobody else can seal one
function isLogin (value: unknown): value is Login {
  return typeof value === 'object' && value !== null && 'tokens' in value && 'identity' in value
}
