/** What an authorization server says of itself whose tokens are JWTs, or are asked about. */
export function issuerMetadata (issuer: string) {
  return {
    issuer,
    jwks_uri: `${issuer}/jwks`,
    introspection_endpoint: `${issuer}/introspect`,
    authorization_endpoint: `${issuer}/a`,
    token_endpoint: `${issuer}/t`
  }
}
