import { createLocalJWKSet } from 'jose'
import { InvalidClientError, OAuthError } from '../../errors.js'
import { BoundedMap } from '../../collections/bounded-map.js'
import { SingleFlight } from '../../collections/single-flight.js'
import { parseUsableKeys } from '../clients/client-keys.js'
import { PublicJsonFetcher, type PublicJsonOptions } from './public-json.js'
import type { PublicJsonKind } from './refusals.js'

/** Finds the key of a signature among those of a client; as `jose` takes it. */
export type LocalKeySet = ReturnType<typeof createLocalJWKSet>

interface Known {
  keys: LocalKeySet
  /** Epoch seconds: asked last. */
  askedAt: number
  /** Epoch seconds: it is not asked before, unless a key is unknown. */
  askAgainAt: number
  /** Epoch seconds: until then the keys are used while the host cannot be reached. */
  staleUntil: number
  /** Why they could not be read when they were asked for last: another key may be good. */
  outage?: OAuthError
}

const KIND: PublicJsonKind = {
  name: 'key set',
  maxBytes: 65_536,
  // many are served as text, and nothing but keys is taken from them
  checkType: false,
  gone: 'client_keys_unusable',
  unreachable: 'client_keys_unreachable'
}
const MAX_KNOWN = 500
/** How often a key set is asked for a key that it did not have, and after a failure. */
const ASK_AGAIN_SECONDS = 30
const MIN_FRESH_SECONDS = 60
/** A key that its owner has withdrawn is not accepted for longer. */
const MAX_FRESH_SECONDS = 3600
/** How long the last good keys are used while their host cannot be reached. */
const STALE_SECONDS = 86_400

/**
 * Key sets of clients (`jwks_uri`), fetched when needed as metadata documents are: one fetch at a time for each, and
 * its outcome is remembered.
 */
export class KeySets {
  readonly #fetcher: PublicJsonFetcher
  readonly #now: () => number
  readonly #known = new BoundedMap<string, Known>(MAX_KNOWN)
  readonly #refused = new BoundedMap<string, { error: OAuthError, until: number }>(MAX_KNOWN)
  readonly #fetching = new SingleFlight<string, LocalKeySet>()

  constructor (options: PublicJsonOptions & { now: () => number }) {
    this.#fetcher = new PublicJsonFetcher(KIND, options)
    this.#now = options.now
  }

  /** Whether `get` need not ask the host. */
  isKnown (uri: string): boolean {
    const now = this.#now() / 1000
    return now < (this.#known.get(uri)?.askAgainAt ?? 0) || now < (this.#refused.get(uri)?.until ?? 0)
  }

  /**
   * Whether `renew` would ask the host: it was not asked a moment ago.
   * @throws {OAuthError} if it was, and could not be read: the keys may have changed
   */
  mayRenew (uri: string): boolean {
    const { askedAt = 0, outage } = this.#known.get(uri) ?? {}
    if (this.#now() / 1000 >= askedAt + ASK_AGAIN_SECONDS) return true
    if (outage !== undefined) throw outage
    return false
  }

  /**
   * The keys; the last good ones, for a day, while their host cannot be reached.
   * @throws {InvalidClientError} if they cannot be used @throws {TemporarilyUnavailableError} if they cannot be read
   */
  async get (uri: string): Promise<LocalKeySet> {
    const now = this.#now() / 1000
    const known = this.#known.get(uri)
    if (known !== undefined && now < known.askAgainAt) return known.keys
    const refused = this.#refused.get(uri)
    if (refused !== undefined && now < refused.until) throw refused.error
    try {
      return await this.#fetchOnce(uri)
    } catch (error) {
      if (!(error instanceof OAuthError)) throw error
      if (!isWithdrawn(error) && known !== undefined && now < known.staleUntil) {
        this.#known.set(uri, { ...known, askedAt: now, askAgainAt: now + ASK_AGAIN_SECONDS, outage: error })
        return known.keys
      }
      this.#known.delete(uri)
      this.#refused.set(uri, { error, until: now + (error.retryAfterSeconds ?? ASK_AGAIN_SECONDS) })
      throw error
    }
  }

  /**
   * Asks for the keys again: they may have changed.
   * @throws as `get` does, and then the known keys stay
   */
  async renew (uri: string): Promise<LocalKeySet> {
    const known = this.#known.get(uri)
    const askedAt = this.#now() / 1000
    if (known !== undefined) this.#known.set(uri, { ...known, askedAt })
    try {
      return await this.#fetchOnce(uri)
    } catch (error) {
      if (known !== undefined && error instanceof OAuthError && !isWithdrawn(error)) {
        this.#known.set(uri, { ...known, askedAt, outage: error })
      }
      throw error
    }
  }

  async #fetchOnce (uri: string): Promise<LocalKeySet> {
    return await this.#fetching.run(uri, () => this.#fetch(uri))
  }

  async #fetch (uri: string): Promise<LocalKeySet> {
    const { value, maxAgeSeconds } = await this.#fetcher.fetch(uri)
    const keys = parseUsableKeys(value)
    if (keys.length === 0) {
      throw new InvalidClientError('The key set of the client cannot be used.', {
        detail: `${uri} has no public key for RS256, ES256, PS256 or EdDSA signatures`,
        reason: 'client_keys_unusable'
      })
    }
    const now = this.#now() / 1000
    const askAgainAt = now + Math.min(MAX_FRESH_SECONDS, Math.max(MIN_FRESH_SECONDS, maxAgeSeconds))
    const known = {
      keys: createLocalJWKSet({ keys }),
      askedAt: now,
      askAgainAt,
      staleUntil: askAgainAt + STALE_SECONDS
    }
    this.#known.set(uri, known)
    return known.keys
  }
}

/** Whether the host says that there are no keys; not if there is an outage, or its response cannot be used. */
function isWithdrawn ({ reason }: OAuthError): boolean {
  return reason === 'client_keys_unusable'
}
