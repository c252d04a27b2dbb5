/** What a person has granted to a client: the family of all tokens that come of it. Plain JSON. */
export interface Grant {
  grantId: string
  clientId: string
  /** Issuer of `subject`. */
  issuer: string
  subject: string
  /** Identity claims of the person, as the upstream told them. */
  claims: Record<string, unknown>
  scopes: string[]
  /** Those of `scopes` that the person may have by now; absent: all. */
  permittedScopes?: string[]
  /** Counts how often it was asked since the login whether the person may stay logged in. Absent: never. */
  rechecks?: number
  /** RFC 8707 resource that the tokens are good for. */
  resource: string
  /** Epoch seconds: the end, however often the grant is refreshed. */
  expiresAt: number
  /** The upstream's tokens, sealed; absent where it gave none worth keeping. */
  sealedUpstreamTokens: string
  /** Counts the replacements of `sealedUpstreamTokens`. */
  upstreamVersion: number
}

/** What is known of the person by now, and what they may have. */
export type Recheck = Pick<Grant, 'claims'> & Required<Pick<Grant, 'permittedScopes'>>

/** A grant that waits for its client to redeem the authorization code. */
export interface CodeRecord {
  grant: Grant
  redirectUri: string
  codeChallenge: string
  /** Epoch seconds. */
  expiresAt: number
  /** Whether the code was redeemed: a second use ends the grant. */
  used: boolean
}

/** One of our tokens, kept under its SHA-256. */
export interface TokenRecord {
  grantId: string
  scopes: string[]
  /** Epoch seconds. */
  expiresAt: number
}

/** A token's record and the hash it is kept under. */
export interface IssuedToken {
  hash: string
  record: TokenRecord
}

/** An access token, and the refresh token that comes with it where the client takes one. */
export interface IssuedTokens {
  access: IssuedToken
  refresh?: IssuedToken
  /** The token response, sealed, for a client that asks twice at once. */
  sealedResponse: string
}

export type Redemption = 'redeemed' | 'replayed' | 'unknown'

export type Rotation =
  | { outcome: 'rotated' | 'unknown' }
  /** The token was rotated a moment ago: `sealedResponse` is what that rotation gave. */
  | { outcome: 'repeated', sealedResponse: string }
  /** The token was rotated long ago: somebody else has it. The grant has been ended. */
  | { outcome: 'replayed', grant: Grant }

/** Grants that one person has at once, and gets to see: beyond, those that end first are ended. */
export const MAX_GRANTS_OF_ONE = 100
/** Access tokens of one grant that are good at once: beyond, the oldest are not. */
export const MAX_ACCESS_TOKENS_OF_GRANT = 20
/** Rotated refresh tokens of one grant that are known at once: beyond, the oldest are forgotten early. */
export const MAX_ROTATED_TOKENS_OF_GRANT = 20

/**
 * Keeps codes, grants and tokens. Every method is one atomic step; none sees what has expired or belongs to an ended
 * grant. A method that ends a grant announces it on the bus (`grantEnded`), in the same step.
 */
export interface GrantStore {
  putCode (hash: string, code: CodeRecord): Promise<void>
  /** @returns the code, used or not; a used one is remembered to the end of its grant's first access token */
  findCode (hash: string): Promise<CodeRecord | undefined>
  /** Marks the code as used and begins its grant with these tokens. A used one is `replayed`. */
  redeemCode (hash: string, tokens: IssuedTokens): Promise<Redemption>
  findGrant (grantId: string): Promise<Grant | undefined>
  /** The grants of a person, those that end last first; at most `MAX_GRANTS_OF_ONE`. */
  findGrantsOf (issuer: string, subject: string): Promise<Grant[]>
  findAccessToken (hash: string): Promise<{ token: TokenRecord, grant: Grant } | undefined>
  /** Finds a refresh token, rotated ones included. */
  findRefreshToken (hash: string): Promise<{ token: TokenRecord, grant: Grant, rotated: boolean } | undefined>
  /**
   * Puts `tokens` in the place of a refresh token. Within `repeatSeconds` of a rotation, the same answer is given
   * again.
   * @param forget whether nothing is kept of the replaced token after that, which makes it `unknown` then: it shows by
   * itself what grant it belongs to. Else its hash is kept to its end.
   */
  rotate (hash: string, tokens: IssuedTokens, repeatSeconds: number, forget?: boolean): Promise<Rotation>
  /** Replaces the upstream's tokens where they still have this version. @returns whether it did */
  replaceUpstreamTokens (grantId: string, version: number, sealed: string): Promise<boolean>
  /** Replaces what is known of the person, if the grant was rechecked so many times. @returns whether it did */
  replaceClaims (grantId: string, rechecks: number, recheck: Recheck): Promise<boolean>
  /** Which of these grants have ended. */
  findEnded (grantIds: readonly string[]): Promise<string[]>
  /** Ends what a person has beyond `MAX_GRANTS_OF_ONE`. @returns each grant to one caller only */
  endSurplus (issuer: string, subject: string): Promise<Grant[]>
  /** Ends a grant and all its tokens. @returns the grant, to the first caller only */
  end (grantId: string): Promise<Grant | undefined>
}
