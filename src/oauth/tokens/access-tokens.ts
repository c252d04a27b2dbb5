import { stillLasts } from '../../collections/still-lasts.js'
import type { CallerInfo } from '../../caller.js'
import { callerAddress } from '../../caller-address.js'
import { InvalidTokenError, TemporarilyUnavailableError } from '../../errors.js'
import type { Bus } from '../../stores/bus.js'
import type { Grant, GrantStore, TokenRecord } from '../../stores/grants.js'
import type { Client } from '../client.js'
import { observed, type BrokerObserver, type CallEvent, type StepRequest } from '../login-events.js'
import type { Grants } from './grants.js'
import type { RateKey, RateLimits } from '../rate-limits.js'
import type { RecognisedSecrets } from './recognised-secrets.js'
import type { Resources } from '../resources.js'
import { permittedScopes } from '../scopes.js'
import { hashSecret, isSecret } from '../secrets.js'
import { BoundedMap } from '../../collections/bounded-map.js'

export interface AccessTokensOptions {
  store: GrantStore
  grants: Grants
  resources: Resources
  bus: Bus
  recognised: RecognisedSecrets
  /** Of this process: failed lookups by address. */
  limits: RateLimits
  /** Unknown tokens that one address may have us look up in a minute. */
  unknownPerMinute: number
  /** Of a grant, in seconds. */
  grantSeconds: number
  observe: BrokerObserver
  now: () => number
}

interface Known {
  caller: CallerInfo
  /** Milliseconds since the epoch: when it is looked up again. */
  until: number
}

// a token that is in use is looked up this often; the end of a grant is broadcast
const KNOWN_MS = 5000
// and while the store is away, nobody can end a grant
const KNOWN_WITHOUT_STORE_MS = 60_000
const MAX_KNOWN = 10_000
// hosted clients share an address: it may send this many times more expired tokens that we made
const SHARED = 10

/** Verification, revocation (RFC 7009) and introspection (RFC 7662) of access tokens. */
export class AccessTokens {
  readonly #options: AccessTokensOptions
  readonly #known = new BoundedMap<string, Known>(MAX_KNOWN)
  /** Counts the grants that ended, so that a lookup that began before is not remembered after. */
  #ended = 0
  readonly #unsubscribe: ReadonlyArray<() => void>

  constructor (options: AccessTokensOptions) {
    this.#options = options
    const { bus } = options
    this.#unsubscribe = [
      bus.subscribe('grantEnded', ({ grantId }) => { this.#forget(grantId) }),
      bus.onGap(() => { this.#doubtAll() })
    ]
  }

  /**
   * Establishes who calls with a token; at once if it was looked up recently.
   * @param request it came with: its address is counted if the lookup finds nothing
   * @throws {InvalidTokenError} (or rejects with it) @throws {RateLimitedError}
   */
  verify (token: string, request?: { readonly ip: string }): CallerInfo | Promise<CallerInfo> {
    if (!isSecret('accessToken', token)) throw new InvalidTokenError('The access token was not issued by this server.')
    const hash = hashSecret(token)
    const known = this.#known.get(hash)
    return known !== undefined && stillLasts(this.#options.now(), known.until, KNOWN_MS)
      ? known.caller
      : this.#lookUpFor(request, token, hash, known)
  }

  async #lookUpFor (
    request: { readonly ip: string } | undefined,
    token: string,
    hash: string,
    known: Known | undefined
  ): Promise<CallerInfo> {
    if (request === undefined) return await this.#lookUp(token, hash, known)
    const { limits, recognised, unknownPerMinute } = this.#options
    // a token that we made is looked up even if others at its address sent many made-up ones
    const isOurs = known !== undefined || recognised.recognises('accessToken', token)
    const key: RateKey = ['access token', isOurs ? 'recognised' : 'address', callerAddress(request)]
    limits.countHere(key, isOurs ? unknownPerMinute * SHARED : unknownPerMinute)
    try {
      const caller = await this.#lookUp(token, hash, known)
      limits.takeBackHere(key)
      return caller
    } catch (error) {
      // an outage is not the caller's fault
      if (!(error instanceof InvalidTokenError)) limits.takeBackHere(key)
      throw error
    }
  }

  async #lookUp (token: string, hash: string, known: Known | undefined): Promise<CallerInfo> {
    const now = this.#options.now()
    const ended = this.#ended
    let found: Awaited<ReturnType<GrantStore['findAccessToken']>>
    try {
      found = await this.#options.store.findAccessToken(hash)
    } catch (error) {
      if (
        error instanceof TemporarilyUnavailableError && known !== undefined && known === this.#known.get(hash) &&
        this.#isGood(known)
      ) return known.caller
      throw error
    }
    this.#known.delete(hash)
    const caller = await this.#callerOf(token, hash, found)
    if (ended === this.#ended) {
      this.#known.set(hash, { caller, until: Math.min(now + KNOWN_MS, (caller.expiresAt ?? Infinity) * 1000) })
    }
    return caller
  }

  /**
   * Ends the grant of a token of either kind, if it is this client's. Others, and unknown tokens, are left alone (RFC
   * 7009 2.2).
   * @param onGrant gets it before it ends; what it throws is the response
   * @param http the request, for observers
   */
  async revoke (
    token: string,
    client: Client,
    onGrant: (grant: Grant) => Promise<void> = async () => {},
    http?: StepRequest
  ): Promise<void> {
    const grant = await this.#grantOf(token)
    if (grant?.clientId !== client.clientId) return
    await onGrant(grant)
    await this.#options.grants.end(grant.grantId, 'revoked', http)
  }

  /** Whether we made a token of either kind; it may have expired. */
  recognises (token: string): boolean {
    const { recognised } = this.#options
    return recognised.recognises('accessToken', token) || recognised.recognises('refreshToken', token)
  }

  /** Whether a token of either kind was given to this client. */
  async isOf (token: string, clientId: string): Promise<boolean> {
    return (await this.#grantOf(token))?.clientId === clientId
  }

  /** The introspection response of a token (RFC 7662 2.2). */
  async introspect (token: string): Promise<Record<string, unknown>> {
    const { store } = this.#options
    const found = isSecret('accessToken', token)
      ? await store.findAccessToken(hashSecret(token))
      : isSecret('refreshToken', token) ? await store.findRefreshToken(hashSecret(token)) : undefined
    if (found === undefined || ('rotated' in found && found.rotated === true)) return { active: false }
    const { token: { scopes, expiresAt }, grant } = found
    return {
      active: true,
      client_id: grant.clientId,
      scope: permittedScopes(grant, scopes).join(' '),
      exp: expiresAt,
      sub: grant.subject,
      aud: grant.resource,
      ...isSecret('accessToken', token) && { token_type: 'Bearer' }
    }
  }

  /** Lets go of its subscription. */
  close (): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
  }

  async #callerOf (
    token: string,
    hash: string,
    found: Awaited<ReturnType<GrantStore['findAccessToken']>>
  ): Promise<CallerInfo> {
    const { grantSeconds, observe, resources } = this.#options
    const event: CallEvent = {
      type: 'call',
      links: [hash],
      ...found !== undefined && { loggedInAt: found.grant.expiresAt - grantSeconds }
    }
    return await observed(observe, event, () => {
      if (found === undefined) throw new InvalidTokenError('The access token is unknown, has expired, or was revoked.')
      if (!resources.includes(found.grant.resource)) {
        throw new InvalidTokenError('The access token is for another resource.', { reason: 'other_resource' })
      }
      return toCaller(token, found)
    })
  }

  async #grantOf (token: string): Promise<Grant | undefined> {
    const { store } = this.#options
    if (isSecret('accessToken', token)) return (await store.findAccessToken(hashSecret(token)))?.grant
    if (isSecret('refreshToken', token)) return (await store.findRefreshToken(hashSecret(token)))?.grant
    return undefined
  }

  /** Whether a token may be accepted while it cannot be looked up. */
  #isGood ({ caller: { expiresAt = Infinity }, until }: Known): boolean {
    const now = this.#options.now()
    return now < expiresAt * 1000 &&
      stillLasts(now, until + KNOWN_WITHOUT_STORE_MS, KNOWN_MS + KNOWN_WITHOUT_STORE_MS)
  }

  /** The end of a grant may have been missed: every token is looked up before it is accepted again. */
  #doubtAll (): void {
    this.#ended++
    const now = this.#options.now()
    for (const known of this.#known.values()) known.until = Math.min(known.until, now)
  }

  #forget (grantId: string): void {
    this.#ended++
    for (const [hash, { caller }] of this.#known) if (caller.extra.grantId === grantId) this.#known.delete(hash)
  }
}

function toCaller (
  token: string,
  { token: { scopes, expiresAt }, grant }: { token: TokenRecord, grant: Grant }
): CallerInfo {
  const { clientId, issuer, subject, claims, grantId, resource } = grant
  return {
    token,
    clientId,
    scopes: permittedScopes(grant, scopes),
    expiresAt,
    resource: new URL(resource),
    extra: { issuer, subject, grantId, claims }
  }
}
