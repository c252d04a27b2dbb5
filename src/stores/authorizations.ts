/**
 * One attempt to authorize a client, from when the person is sent to log in to `/oauth/callback`. Plain JSON.
 * It is bound to the browser it began in: an attacker cannot consent for a victim, nor a victim complete for an
 * attacker.
 */
export interface AuthorizationTransaction {
  /** SHA-256 of the browser's cookie. */
  browserHash: string
  clientId: string
  redirectUri: string
  /** The client's `state`, returned as it came. */
  state?: string
  codeChallenge: string
  resource: string
  scopes: string[]
  /** What the client asks of the login itself; absent: nothing. */
  hints?: LoginHints
  /** What the person who logs in has said to it, or may still have to. */
  consent: ConsentState
  /** Present once the person was sent upstream. */
  upstream?: UpstreamLeg
  /** Sealed: who came back, and the upstream's tokens. Present while they are asked for their consent. */
  sealedLogin?: string
}

/** Of the login upstream (OpenID Connect Core 3.1.2.1), as it is passed on there. */
export interface LoginHints {
  /** `none`, or some of `login`, `consent`, `select_account` and `create`. */
  prompt?: string
  login_hint?: string
  max_age?: string
  ui_locales?: string
  acr_values?: string
}

/**
 * - `given`: the person at this browser has agreed in this attempt; `remembered`: and does not want to be asked again
 * - `assumed`: the person who logged in last at this browser has agreed before; who comes back may be another
 * - `waived`: nobody is asked for this client
 */
export type ConsentState = 'given' | 'remembered' | 'assumed' | 'waived'

/** What the second leg has to match. */
interface UpstreamLeg {
  /** Where the person was sent. */
  url: string
  /** Sealed: our PKCE code verifier. */
  sealedCodeVerifier: string
  nonce?: string
}

/** For whom something is kept before anybody is known, and for how long. */
export interface KeptFor {
  /** The address that asks for it, as limits count it. */
  address: string
  ttlSeconds: number
}

/** What may be kept of attempts; at a bound new ones are refused, and nobody's goes for another's. */
export interface AuthorizationBounds {
  /** Attempts of one address. */
  maxOfAddress: number
  maxBytesOfAddress: number
  /** Attempts in all. */
  max: number
  maxBytes: number
}

export const AUTHORIZATION_BOUNDS: AuthorizationBounds = {
  maxOfAddress: 300, maxBytesOfAddress: 1_048_576, max: 50_000, maxBytes: 33_554_432
}

/** Every attempt counts for so many bytes besides its content; one that is over, for these only. */
export const ATTEMPT_OVERHEAD_BYTES = 200

/**
 * Keeps authorization transactions under a random id, for minutes. An id is good once: what was taken stays known as
 * over.
 */
export interface AuthorizationTransactionStore {
  /**
   * Keeps a transaction, unless there is one of this id.
   * @returns the one that stands; undefined if it is over
   * @throws {TemporarilyUnavailableError} at a bound
   */
  add(
    id: string,
    transaction: AuthorizationTransaction,
    keptFor: KeptFor
  ): Promise<AuthorizationTransaction | undefined>
  get(id: string): Promise<AuthorizationTransaction | undefined>
  /** Ends the transaction. @returns it, to the first caller only */
  take (id: string): Promise<AuthorizationTransaction | undefined>
  /**
   * Ends a transaction that may or may not be kept.
   * @returns whether it was not over
   * @throws {TemporarilyUnavailableError} at a bound
   */
  end (id: string, keptFor: KeptFor): Promise<boolean>
}
