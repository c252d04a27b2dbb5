import type { JWTPayload } from 'jose'

/** A JWT or an introspection response, as far as its kind is concerned. */
export type TokenClaims = Pick<JWTPayload, 'iss' | 'aud'> & Readonly<Record<string, unknown>>

/** `typ` headers of access tokens: RFC 9068, RFC 7519, Okta's. */
const ACCESS_TOKEN_TYPES = ['at+jwt', 'jwt', 'okta-internal-at+jwt']
/** Values for access tokens of members that name the kind (`typ` of Keycloak, `token_use` of Cognito and Hydra). */
const ACCESS_TOKEN_KINDS = [
  'bearer',
  'access',
  'access_token',
  'at',
  'at+jwt',
  'jwt',
  'urn:ietf:params:oauth:token-type:access_token'
]
const KIND_CLAIMS = ['typ', 'token_use', 'token_type']

/**
 * Claims of tokens that are not access tokens: of ID tokens (OpenID Connect Core 2, 3.3.2.11; Financial-grade API
 * `s_hash`), security
 * events and logout tokens (RFC 8417, OpenID Connect Back-Channel Logout 2.4), DPoP proofs (RFC 9449 4.2), responses
 * (JARM,
 * RFC 9701).
 */
const FOREIGN_CLAIMS = ['nonce', 'at_hash', 'c_hash', 's_hash', 'events', 'htm', 'htu', 'token_introspection']

/** Why the `typ` header cannot be that of an access token (RFC 9068 4, RFC 8725 3.11); undefined if it can. */
export function objectionToType (typ: unknown, strict: boolean): string | undefined {
  if (typ === undefined) return strict ? 'it has no typ; it must be at+jwt' : undefined
  // RFC 7515 4.1.9: a media type, in any case, "application/" left out
  const type = typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : undefined
  const isTaken = type !== undefined && (strict ? type === 'at+jwt' : ACCESS_TOKEN_TYPES.includes(type))
  return isTaken ? undefined : `its typ is ${JSON.stringify(typ)}`
}

/**
 * Why claims are not those of a bearer access token; undefined if they may be.
 * @param tokenEndpoint where the authorization server takes client assertions and assertion grants
 */
export function objectionToClaims (claims: TokenClaims, tokenEndpoint: string | undefined): string | undefined {
  for (const name of KIND_CLAIMS) {
    const kind = claims[name]
    if (kind !== undefined && !(typeof kind === 'string' && ACCESS_TOKEN_KINDS.includes(kind.toLowerCase()))) {
      return `its ${name} is ${JSON.stringify(kind)}`
    }
  }
  const foreign = FOREIGN_CLAIMS.find(name => claims[name] !== undefined)
  if (foreign !== undefined) return `it has ${foreign}, which access tokens do not have`
  // RFC 7523 3: a client that vouches for itself
  if (claims.iss !== undefined && claims.iss === claims.sub) return 'its iss is its sub, as in a client assertion'
  if (tokenEndpoint !== undefined && [claims.aud].flat().includes(tokenEndpoint)) {
    return 'it is for the token endpoint, like a client assertion'
  }
  // RFC 9449 6.1, RFC 8705 3.1: its bearer would have to prove possession of the key
  return claims.cnf === undefined ? undefined : 'it is bound to a key (cnf), and no proof of that is taken here'
}
