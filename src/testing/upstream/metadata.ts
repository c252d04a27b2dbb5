import type { ScriptableUpstreamOptions } from './options.js'

export const SCOPES = ['openid', 'profile', 'email', 'offline_access']

/** The metadata of the scriptable upstream (RFC 8414), with what a test lays over it. */
export function describeUpstream (
  { issuer, origin }: { issuer: string, origin: string },
  { metadata = {}, algorithm = 'ES256' }: ScriptableUpstreamOptions
): Record<string, unknown> {
  const all: Record<string, unknown> = {
    issuer,
    authorization_endpoint: `${origin}/authorize`,
    token_endpoint: `${origin}/token`,
    registration_endpoint: `${origin}/register`,
    revocation_endpoint: `${origin}/revoke`,
    userinfo_endpoint: `${origin}/userinfo`,
    jwks_uri: `${origin}/jwks`,
    scopes_supported: SCOPES,
    response_types_supported: ['code'],
    token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'none'],
    id_token_signing_alg_values_supported: [algorithm],
    subject_types_supported: ['public'],
    code_challenge_methods_supported: ['S256'],
    ...metadata
  }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
}
