import { SingleFlight } from '../../collections/single-flight.js'
import { InvalidGrantError, OAuthError } from '../../errors.js'
import type { Grant, GrantStore } from '../../stores/grants.js'
import { leaseNames, type LeaseStore } from '../../stores/leases.js'
import type { Keyring } from '../keyring.js'
import {
  describeGrant,
  observed,
  observedFailure,
  type BrokerObserver,
  type GrantEnd,
  type RefreshEvent,
  type StepRequest
} from '../login-events.js'
import type { BrokerLog } from '../../log.js'
import { upstreamStepMs, withLease } from '../with-lease.js'
import type { UpstreamClients } from '../upstream/upstream-clients.js'
import type { Upstream } from '../upstream/upstream.js'
import type { UpstreamTokens } from '../upstream/upstream-tokens.js'

export interface GrantsOptions {
  store: GrantStore
  leases: LeaseStore
  keyring: Keyring
  upstream: Upstream
  upstreamClients: UpstreamClients
  observe: BrokerObserver
  log: BrokerLog
  now: () => number
}

/** The upstream's tokens after a refresh that may not have been necessary. */
export interface Refreshed {
  /** Undefined if there are none that can be read. */
  tokens: UpstreamTokens | undefined
  idToken: Readonly<Record<string, unknown>> | undefined
  /** Whether they have just come from the upstream. */
  isNew: boolean
}

/** Grants and the upstream tokens behind them. */
export class Grants {
  readonly #options: GrantsOptions
  readonly #refreshing = new SingleFlight<string, UpstreamTokens>()

  constructor (options: GrantsOptions) {
    this.#options = options
  }

  /** Seals the upstream's tokens for a grant. */
  seal (grantId: string, tokens: UpstreamTokens): string {
    return this.#options.keyring.seal(sealingPurpose(grantId), tokens)
  }

  /**
   * The upstream's access token of a grant, refreshed if it has ended.
   * @returns undefined if none still works
   * @throws {InvalidGrantError} where the login upstream has ended: the grant has been ended too
   * @throws {TemporarilyUnavailableError} where the upstream cannot be reached
   */
  async upstreamAccessToken (grantId: string): Promise<string | undefined> {
    const grant = await this.#options.store.findGrant(grantId)
    if (grant === undefined) throw hasEnded()
    const tokens = await this.freshen(grant)
    return tokens === undefined || this.isOver(tokens) ? undefined : tokens.accessToken
  }

  /**
   * Refreshes the upstream's tokens of a grant if they have ended and can be refreshed. Throws like
   * `upstreamAccessToken`.
   */
  async freshen (grant: Grant): Promise<UpstreamTokens | undefined> {
    await this.checkIssuer(grant)
    const tokens = this.#open(grant)
    if (tokens === undefined) return undefined
    if (!this.#isDue(tokens)) {
      await this.#sealAnew(grant, tokens)
      return tokens
    }
    return await this.#refreshing.run(grant.grantId, () => this.#refresh(grant))
  }

  /**
   * Ends a grant: its tokens, its live streams on every replica, and the upstream's tokens.
   * @param cause for observers
   * @param http the request that asks for it, for observers
   */
  async end (grantId: string, cause: GrantEnd = 'ended', http?: StepRequest): Promise<void> {
    const grant = await this.#options.store.end(grantId)
    if (grant !== undefined) this.hasEnded(grant, cause, http)
  }

  /** Takes note of a grant that the store has ended, and has announced. */
  hasEnded (grant: Grant, cause: GrantEnd = 'ended', http?: StepRequest): void {
    this.#options.observe({ type: 'grant_ended', grant: describeGrant(grant), cause, http })
    const tokens = this.#open(grant)
    if (tokens !== undefined) this.discard(grant.clientId, tokens)
  }

  /** Informs the upstream that its tokens are not needed. Nothing waits for it: our side has ended already. */
  discard (clientId: string, tokens: UpstreamTokens): void {
    const { log, upstream, upstreamClients } = this.#options
    const tell = async () => {
      const client = await upstreamClients.find(clientId)
      if (client !== undefined) await upstream.revoke(client, tokens)
    }
    tell().catch((err: unknown) => {
      log.warn({ err, clientId }, 'tokens that are no longer needed could not be revoked at the upstream')
    })
  }

  /** @throws {InvalidGrantError} if people of its issuer may no longer log in: the grant has been ended */
  async checkIssuer (grant: Grant): Promise<void> {
    const { upstream, observe } = this.#options
    const { grantId, clientId, issuer } = grant
    if (upstream.allows(issuer)) return
    await this.end(grantId, 'policy')
    await observedFailure(observe, { type: 'refresh', clientId, grant: describeGrant(grant) }, () => {
      throw new InvalidGrantError('People of your organization may no longer log in here.', {
        detail: `the issuer of the login is ${issuer}`,
        reason: 'tenant_not_allowed'
      })
    })
  }

  /** One refresh at a time across replicas: upstreams revoke everything if a refresh token is used twice. */
  async #refresh (stale: Grant): Promise<UpstreamTokens> {
    const { leases, store, upstream } = this.#options
    return await withLease({
      leases,
      name: leaseNames.upstreamRefresh(stale.grantId),
      timeoutMs: upstreamStepMs(upstream),
      work: () => this.#refreshOnce(stale.grantId),
      findResult: async () => {
        const grant = await store.findGrant(stale.grantId)
        if (grant === undefined) throw hasEnded()
        const tokens = grant.upstreamVersion > stale.upstreamVersion ? this.#open(grant) : undefined
        // a newer version may only have been sealed again, with a newer key
        return tokens === undefined || this.isOver(tokens) ? undefined : tokens
      },
      slowMessage: 'The login server is slow to respond.'
    })
  }

  async #refreshOnce (grantId: string): Promise<UpstreamTokens> {
    const grant = await this.#options.store.findGrant(grantId)
    if (grant === undefined) throw hasEnded()
    const { tokens } = await this.refreshHeld(grant)
    if (tokens === undefined) throw hasEnded()
    return tokens
  }

  /**
   * Refreshes the upstream's tokens if they have ended, or `anyway`, and can be refreshed. Only for who holds the lease
   * of their refresh. Throws like `upstreamAccessToken`.
   * @returns those that there are then, and the claims of the ID token that came with them
   */
  async refreshHeld (grant: Grant, { anyway = false } = {}): Promise<Refreshed> {
    const tokens = this.#open(grant)
    const asBefore = { tokens, idToken: undefined, isNew: false }
    // or somebody else was faster
    if (tokens === undefined || (!anyway && !this.#isDue(tokens))) return asBefore
    const { refreshToken } = tokens
    if (refreshToken === undefined) return asBefore
    const refreshed = await this.#ask(grant, refreshToken).catch((error: unknown) => {
      if (error instanceof InvalidGrantError || anyway || this.isOver(tokens)) throw error
      return undefined
    })
    if (refreshed === undefined) return asBefore
    await this.#replace(grant, refreshed.tokens)
    return { ...refreshed, isNew: true }
  }

  /** Asks the upstream for new tokens. If it has ended the login, so do we. */
  async #ask (grant: Grant, refreshToken: string): ReturnType<Upstream['refresh']> {
    const { upstream, upstreamClients, observe } = this.#options
    const { grantId, clientId } = grant
    const client = await upstreamClients.find(clientId)
    if (client === undefined) throw hasEnded()
    const event: RefreshEvent = { type: 'refresh', clientId, grant: describeGrant(grant) }
    return await observed(observe, event, async () =>
      await upstream.refresh(client, refreshToken, grant)
    ).catch(async (error: unknown) => {
      if (error instanceof OAuthError && error.reason === 'upstream_refused_client') upstreamClients.doubt(clientId)
      if (error instanceof InvalidGrantError) await this.end(grantId, 'upstream')
      throw error
    })
  }

  /** Replaces the tokens that were refreshed, which no longer work, whatever the version of the grant is by now. */
  async #replace (refreshed: Grant, tokens: UpstreamTokens): Promise<void> {
    const { store } = this.#options
    const { grantId } = refreshed
    let replaced = false
    while (!replaced) {
      const grant = await store.findGrant(grantId)
      if (grant === undefined) {
        // it ended meanwhile, and the upstream was told of the old tokens only
        this.discard(refreshed.clientId, tokens)
        throw hasEnded()
      }
      replaced = await store.replaceUpstreamTokens(grantId, grant.upstreamVersion, this.seal(grantId, tokens))
    }
  }

  async #sealAnew (grant: Grant, tokens: UpstreamTokens): Promise<void> {
    const { keyring, store } = this.#options
    if (keyring.isOutdated(grant.sealedUpstreamTokens)) {
      await store.replaceUpstreamTokens(grant.grantId, grant.upstreamVersion, this.seal(grant.grantId, tokens))
    }
  }

  /** Whether tokens no longer work, by what the upstream said of them. */
  isOver ({ expiresAt = Infinity }: UpstreamTokens): boolean {
    return expiresAt <= this.#options.now() / 1000
  }

  #isDue (tokens: UpstreamTokens): tokens is UpstreamTokens & { refreshToken: string } {
    const { refreshToken, expiresAt = Infinity, refreshAt = expiresAt } = tokens
    return refreshToken !== undefined && refreshAt <= this.#options.now() / 1000
  }

  #open (grant: Grant): UpstreamTokens | undefined {
    const tokens = this.#options.keyring.open(sealingPurpose(grant.grantId), grant.sealedUpstreamTokens)
    return isTokens(tokens) ? tokens : undefined
  }
}

function sealingPurpose (grantId: string): string {
  return `upstream tokens of ${grantId}`
}

function isTokens (value: unknown): value is UpstreamTokens {
  return typeof value === 'object' && value !== null && 'accessToken' in value && typeof value.accessToken === 'string'
}

/** The login is over: the person has to come back. */
export function hasEnded (): InvalidGrantError {
  return new InvalidGrantError('The login has ended. Log in again.')
}
