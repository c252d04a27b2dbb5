import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose'
import { stillLasts } from '../../collections/still-lasts.js'
import { SingleFlight } from '../../collections/single-flight.js'
import { UpstreamError, type OAuthError } from '../../errors.js'
import { findOutageOfStatus } from '../../errors/outage.js'
import type { BrokerLog } from '../../log.js'
import type { Fetch } from '../upstream-observer.js'
import { readKeySetAnswer } from '../upstream/answers/key-set.js'
import { toTokenError, unverified } from './token-error.js'

export interface IssuerKeysOptions {
  /** `jwks_uri` of the issuer. */
  url: string
  fetch: Fetch
  log: Pick<BrokerLog, 'warn'>
  now: () => number
}

/** The keys as they were fetched last. */
interface Known {
  find: ReturnType<typeof createLocalJWKSet>
  fetchedAt: number
}

const TIMEOUT_MS = 5000
/** A key that the issuer has withdrawn is not accepted for longer, unless its keys cannot be fetched. */
const FRESH_SECONDS = 600
/** How often the keys are fetched for a key that they did not have. */
const UNKNOWN_KEY_SECONDS = 30
/** How often they are fetched while that fails. */
const RETRY_SECONDS = 2
/** How long the last good keys are used while they cannot be fetched. */
const STALE_SECONDS = 86_400

/**
 * The keys of an issuer (RFC 7517), fetched when needed. An outage does not make good tokens bad: the last good keys
 * stay in use for a day, and a token of a key that they lack may be of a new one.
 */
export class IssuerKeys {
  readonly #options: IssuerKeysOptions
  readonly #fetching = new SingleFlight<string, Known>()
  #known: Known | undefined
  /** The last fetch, if it failed. */
  #failure: { error: OAuthError, at: number } | undefined

  constructor (options: IssuerKeysOptions) {
    this.#options = options
  }

  /**
   * Finds the key of a signature, as `jose` takes it.
   * @throws {JWKSNoMatchingKey} if the issuer has no such key
   * @throws {TemporarilyUnavailableError} if nobody can say now whether it has
   */
  readonly find: JWTVerifyGetKey = async (header, token) => {
    const { find } = await this.#get()
    try {
      return await find(header, token)
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error
      const renewed = await this.#renew()
      if (renewed === undefined) throw error
      return await renewed.find(header, token)
    }
  }

  /** The keys as they were fetched last; undefined if they never were. */
  get keySet (): JSONWebKeySet | undefined {
    return this.#known?.find.jwks()
  }

  async #get (): Promise<Known> {
    const { now } = this.#options
    const known = this.#known
    const age = known === undefined ? Infinity : Math.abs(now() / 1000 - known.fetchedAt)
    if (known === undefined || age >= STALE_SECONDS) return await this.#fetch()
    if (age < FRESH_SECONDS) return known
    const fetching = this.#fetch().catch(() => known)
    // only the first request of an outage waits for it
    return this.#failure === undefined ? await fetching : known
  }

  /** The keys as they are now; undefined if they were fetched a moment ago. */
  async #renew (): Promise<Known | undefined> {
    const { now } = this.#options
    const age = Math.abs(now() / 1000 - (this.#known?.fetchedAt ?? -Infinity))
    return this.#failure === undefined && age < UNKNOWN_KEY_SECONDS ? undefined : await this.#fetch()
  }

  /** Fetches the keys, unless that failed a moment ago. */
  async #fetch (): Promise<Known> {
    const failure = this.#failure
    const now = this.#options.now() / 1000
    if (failure !== undefined && stillLasts(now, failure.at + RETRY_SECONDS, RETRY_SECONDS)) throw failure.error
    return await this.#fetching.run(this.#options.url, async () => await this.#fetchNow())
  }

  async #fetchNow (): Promise<Known> {
    const { url, log, now } = this.#options
    try {
      const known = { find: createLocalJWKSet(await this.#request()), fetchedAt: now() / 1000 }
      this.#known = known
      this.#failure = undefined
      return known
    } catch (cause) {
      const error = cause instanceof UpstreamError
        ? unverified('lasting', cause.detail ?? cause.message, cause)
        : toTokenError(cause)
      if (this.#failure === undefined && this.#known !== undefined) {
        log.warn({ err: error, detail: error.detail, url }, 'the keys of the issuer cannot be fetched; ' +
          'those that it had stay in use for up to a day')
      }
      this.#failure = { error, at: now() / 1000 }
      throw error
    }
  }

  async #request () {
    const { url, fetch } = this.#options
    const response = await fetch(url, {
      redirect: 'manual',
      headers: { accept: 'application/jwk-set+json, application/json' },
      signal: AbortSignal.timeout(TIMEOUT_MS)
    })
    if (response.ok) return await readKeySetAnswer(response, url)
    await response.body?.cancel()
    throw unverified(findOutageOfStatus(response.status) ?? 'lasting', `${url} responds with status ${response.status}`)
  }
}
