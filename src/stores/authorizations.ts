/**
 * One attempt to authorize a client, from `/authorize` to `/oauth/callback`. Plain JSON.
 * It is bound to the browser it began in: an attacker cannot consent for a victim, nor a victim complete for an attacker.
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
  /** Present once the person has agreed and was sent upstream. */
  upstream?: UpstreamLeg
}

/** What the second leg has to match. */
export interface UpstreamLeg {
  /** Sealed: our PKCE code verifier. */
  sealedCodeVerifier: string
  nonce?: string
}

/** Keeps authorization transactions under a random id, for minutes. */
export interface AuthorizationTransactionStore {
  put (id: string, transaction: AuthorizationTransaction, ttlSeconds: number): Promise<void>
  get (id: string): Promise<AuthorizationTransaction | undefined>
  /** Removes the transaction. @returns it, to the first caller only */
  take (id: string): Promise<AuthorizationTransaction | undefined>
}
