import { SingleFlight } from '../../collections/single-flight.js'
import { AccessDeniedError, InvalidGrantError } from '../../errors.js'
import type { Grant, GrantStore } from '../../stores/grants.js'
import { leaseNames, type LeaseStore } from '../../stores/leases.js'
import type { Client } from '../client.js'
import { describeGrant, observedFailure, type BrokerObserver } from '../login-events.js'
import type { UpstreamClients } from '../upstream/upstream-clients.js'
import type { Upstream } from '../upstream/upstream.js'
import type { UpstreamTokens } from '../upstream/upstream-tokens.js'
import { upstreamStepMs, withLease } from '../with-lease.js'
import type { GrantDecisions } from './grant-decisions.js'
import { hasEnded, type Grants, type Refreshed } from './grants.js'

export interface RechecksOptions {
  store: GrantStore
  leases: LeaseStore
  grants: Grants
  decisions: GrantDecisions
  upstream: Upstream
  upstreamClients: UpstreamClients
  observe: BrokerObserver
}

/** Asks at each refresh whether the person may stay logged in, by what the upstream says of them by then. */
export class Rechecks {
  readonly #options: RechecksOptions
  readonly #running = new SingleFlight<string, Grant>()

  constructor (options: RechecksOptions) {
    this.#options = options
  }

  /**
   * Refreshes the upstream's tokens if they have ended, and asks again if there is anything to ask: one at a time of
   * each grant, across replicas.
   * @returns the grant with what is known by now
   * @throws {InvalidGrantError} if the person may not stay, or their login upstream is over: the grant has been ended
   * @throws {TemporarilyUnavailableError} if nobody can say at the moment; the grant stays
   * @throws {UpstreamError} if what the upstream says cannot be used; the grant stays
   */
  async recheck (grant: Grant, client: Client): Promise<Grant> {
    const { decisions, grants } = this.#options
    const { grantId } = grant
    if (!decisions.areNeeded(grant.resource)) {
      await grants.freshen(grant)
      return grant
    }
    await grants.checkIssuer(grant)
    return await this.#running.run(grantId, () => this.#lease(grant, client))
  }

  async #lease (stale: Grant, client: Client): Promise<Grant> {
    const { leases, store, upstream } = this.#options
    const find = async () => {
      const grant = await store.findGrant(stale.grantId)
      if (grant === undefined) throw hasEnded()
      return grant
    }
    const isNewer = ({ rechecks = 0 }: Grant) => rechecks > (stale.rechecks ?? 0)
    return await withLease({
      leases,
      name: leaseNames.upstreamRefresh(stale.grantId),
      // a refresh, and what comes after it
      timeoutMs: 2 * upstreamStepMs(upstream),
      work: async () => {
        const grant = await find()
        return isNewer(grant) ? grant : await this.#recheckHeld(grant, client)
      },
      findResult: async () => {
        const grant = await find()
        return isNewer(grant) ? grant : undefined
      },
      slowMessage: 'The login server is slow to respond.'
    })
  }

  async #recheckHeld (grant: Grant, client: Client): Promise<Grant> {
    const { store, grants, decisions, observe } = this.#options
    const { grantId, clientId, resource, scopes: requestedScopes, rechecks = 0 } = grant
    const refreshed = await grants.refreshHeld(grant)
    return await observedFailure(observe, { type: 'refresh', clientId, grant: describeGrant(grant) }, async () => {
      try {
        const { claims, tokens } = await this.#fetchClaims(grant, refreshed)
        const permittedScopes = [...await decisions.decide({
          claims,
          client,
          resource,
          requestedScopes,
          reason: 'refresh',
          getUpstreamAccessToken: async () =>
            tokens === undefined || grants.isOver(tokens) ? undefined : tokens.accessToken
        })]
        if (!await store.replaceClaims(grantId, rechecks, { claims, permittedScopes })) throw hasEnded()
        return { ...grant, claims, permittedScopes, rechecks: rechecks + 1 }
      } catch (error) {
        if (!(error instanceof AccessDeniedError || error instanceof InvalidGrantError)) throw error
        await grants.end(grantId, error instanceof AccessDeniedError ? 'policy' : 'upstream')
        throw error instanceof InvalidGrantError ? error : toInvalidGrant(error)
      }
    })
  }

  /** The claims of the person by now; the stored ones if the upstream cannot say, and the rules do not depend on it. */
  async #fetchClaims (
    grant: Grant,
    refreshed: Refreshed
  ): Promise<{ claims: Record<string, unknown>, tokens: UpstreamTokens | undefined }> {
    const { grants, decisions, upstream } = this.#options
    const { tokens, idToken, isNew } = refreshed
    const stored = { claims: grant.claims, tokens }
    if (tokens === undefined || (!isNew && grants.isOver(tokens))) {
      // the app around this service sees that there is no token
      if (decisions.policyNeedsClaims(grant.resource)) throw cannotBeAsked()
      return stored
    }
    const canRefresh = canBeRefreshed(refreshed)
    try {
      const claims = await this.#askOrKeep(grant, tokens, idToken)
      // a new ID token may say what userinfo does not
      return canRefresh && upstream.lacks(claims) ? await this.#askAgain(grant) : { claims, tokens }
    } catch (error) {
      // the access token alone may have been revoked, or have ended sooner than was said
      if (isEnd(error) && canRefresh) return await this.#askAgain(grant)
      if (isEnd(error) || decisions.needClaims(grant.resource)) throw error
      return stored
    }
  }

  async #askAgain (
    grant: Grant
  ): Promise<{ claims: Record<string, unknown>, tokens: UpstreamTokens | undefined }> {
    const { tokens, idToken } = await this.#options.grants.refreshHeld(grant, { anyway: true })
    if (tokens === undefined) throw hasEnded()
    return { claims: await this.#askOrKeep(grant, tokens, idToken), tokens }
  }

  async #askOrKeep (
    grant: Grant,
    { accessToken }: UpstreamTokens,
    idToken: Refreshed['idToken']
  ): Promise<Record<string, unknown>> {
    const { upstream, upstreamClients } = this.#options
    const client = await upstreamClients.find(grant.clientId)
    return (client && await upstream.fetchClaims(client, { accessToken, idToken }, grant)) ?? grant.claims
  }
}

function canBeRefreshed ({ tokens, isNew }: Refreshed): boolean {
  return tokens?.refreshToken !== undefined && !isNew
}

function isEnd (error: unknown): boolean {
  return error instanceof InvalidGrantError
}

function cannotBeAsked (): InvalidGrantError {
  return new InvalidGrantError('The login server can no longer be asked about this login. Log in again.', {
    detail: 'its token has expired, and cannot be refreshed: ask for offline_access',
    reason: 'upstream_login_ended'
  })
}

function toInvalidGrant (refusal: AccessDeniedError): InvalidGrantError {
  const { message, detail, reason } = refusal
  return new InvalidGrantError(`${message} The login has ended.`, {
    cause: refusal,
    ...detail !== undefined && { detail },
    ...reason !== undefined && { reason }
  })
}
