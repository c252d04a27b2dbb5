import type * as openid from 'openid-client'
import { stillLasts } from '../../collections/still-lasts.js'
import { callerAddress } from '../../caller-address.js'
import type { CallerInfo } from '../../caller.js'
import { InvalidTokenError, passesIn, TemporarilyUnavailableError } from '../../errors.js'
import type { RateKey, RateLimits } from '../rate-limits.js'
import { hashSecret } from '../secrets.js'
import { BoundedMap } from '../../collections/bounded-map.js'
import { SingleFlight } from '../../collections/single-flight.js'

export interface IntrospectionOptions {
  /** Asks the authorization server about a token. */
  ask: (token: string) => Promise<CallerInfo>
  limits: RateLimits
  /** Invalid tokens that one address may have us ask about in a minute. */
  unknownPerMinute: number
  now: () => number
}

/** The last response about a token. */
type Said = { until: number } & ({ caller: CallerInfo } | { error: InvalidTokenError })

// how long a revocation may stay unseen
const GOOD_SECONDS = 15
const REFUSED_SECONDS = 10
const MAX_SAID = 10_000
// tokens that were good are asked about even while made-up ones wait
const MAX_UNKNOWN_AT_ONCE = 32
const MAX_KNOWN_AT_ONCE = 128
// hosted clients share an address: it may send this many times more tokens that were good once
const SHARED = 10

/**
 * Asks about opaque tokens (RFC 7662): once for concurrent requests, not again for some seconds, a limited number at a
 * time, and a limited number of invalid ones for each address.
 */
export class Introspection {
  readonly #options: IntrospectionOptions
  /** By the token's hash: good ones, which stay known when they are asked for again, and the others. */
  readonly #good = new BoundedMap<string, Said & { caller: CallerInfo }>(MAX_SAID)
  readonly #refused = new BoundedMap<string, Said & { error: InvalidTokenError }>(MAX_SAID)
  readonly #asking = new SingleFlight<string, CallerInfo>()
  #askingUnknown = 0
  #askingKnown = 0

  constructor (options: IntrospectionOptions) {
    this.#options = options
  }

  /**
   * Who bears a token.
   * @throws {InvalidTokenError} @throws {TemporarilyUnavailableError} @throws {RateLimitedError}
   */
  async verify (token: string, request: { readonly ip: string } | undefined): Promise<CallerInfo> {
    const hash = hashSecret(token)
    const now = this.#options.now() / 1000
    const good = this.#good.get(hash)
    if (good !== undefined && stillLasts(now, good.until, GOOD_SECONDS)) return good.caller
    const refused = this.#refused.get(hash)
    if (refused !== undefined && stillLasts(now, refused.until, REFUSED_SECONDS)) throw refused.error
    return await this.#asking.run(hash, () => this.#askFor(token, hash, good !== undefined, request))
  }

  async #askFor (
    token: string,
    hash: string,
    known: boolean,
    request: { readonly ip: string } | undefined
  ): Promise<CallerInfo> {
    const { limits, unknownPerMinute } = this.#options
    if (request === undefined) return await this.#ask(token, hash, known)
    const key: RateKey = ['introspection', known ? 'recognised' : 'address', callerAddress(request)]
    limits.countHere(key, known ? unknownPerMinute * SHARED : unknownPerMinute)
    const caller = await this.#ask(token, hash, known)
    limits.takeBackHere(key)
    return caller
  }

  async #ask (token: string, hash: string, known: boolean): Promise<CallerInfo> {
    const { ask, now } = this.#options
    if (known ? this.#askingKnown >= MAX_KNOWN_AT_ONCE : this.#askingUnknown >= MAX_UNKNOWN_AT_ONCE) {
      throw new TemporarilyUnavailableError(...passesIn(1, 'Too many access tokens are being verified.'))
    }
    if (known) this.#askingKnown++
    else this.#askingUnknown++
    try {
      const caller = await ask(token)
      this.#good.set(hash, { caller, until: Math.min(now() / 1000 + GOOD_SECONDS, caller.expiresAt ?? Infinity) })
      return caller
    } catch (error) {
      if (error instanceof InvalidTokenError) {
        this.#good.delete(hash)
        this.#refused.set(hash, { error, until: now() / 1000 + REFUSED_SECONDS })
      }
      throw error
    } finally {
      if (known) this.#askingKnown--
      else this.#askingUnknown--
    }
  }
}

/** Whether an introspection response says that the token is valid now (RFC 7662 2.2). */
export function isActive (
  { active, exp, nbf, iss }: openid.IntrospectionResponse,
  issuer: string,
  nowSeconds: number,
  toleranceSeconds: number
): boolean {
  return active && (iss === undefined || iss === issuer) &&
    (exp === undefined || nowSeconds < exp + toleranceSeconds) &&
    (nbf === undefined || nbf <= nowSeconds + toleranceSeconds)
}
