import { ASSERTION_ALGORITHMS, GRANT_TYPES, TOKEN_ENDPOINT_AUTH_METHODS } from './client.js'
import type { ProtectedServer } from './resources.js'

/** Protected resource metadata (RFC 9728 2) of one resource. */
export function protectedResourceMetadata (
  resource: string,
  { scopes, title = 'MCP server' }: Pick<ProtectedServer, 'scopes' | 'title'>,
  authorizationServers: readonly string[]
): Record<string, unknown> {
  return {
    resource,
    authorization_servers: authorizationServers,
    scopes_supported: scopes,
    bearer_methods_supported: ['header'],
    resource_name: title
  }
}

/**
 * Authorization server metadata (RFC 8414 2).
 * @param clientDocuments whether clients may be known by their metadata documents
 * @param registration whether clients may register
 */
export function authorizationServerMetadata (
  issuer: string,
  scopes: readonly string[],
  clientDocuments: boolean,
  registration = true
): Record<string, unknown> {
  const methods = [...TOKEN_ENDPOINT_AUTH_METHODS]
  const algorithms = [...ASSERTION_ALGORITHMS]
  return {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    ...registration && { registration_endpoint: `${issuer}/register` },
    revocation_endpoint: `${issuer}/revoke`,
    introspection_endpoint: `${issuer}/introspect`,
    // clients that ask for offline_access look for it here
    scopes_supported: [...scopes, 'offline_access'],
    response_types_supported: ['code'],
    response_modes_supported: ['query'],
    grant_types_supported: [...GRANT_TYPES],
    token_endpoint_auth_methods_supported: methods,
    token_endpoint_auth_signing_alg_values_supported: algorithms,
    revocation_endpoint_auth_methods_supported: methods,
    revocation_endpoint_auth_signing_alg_values_supported: algorithms,
    introspection_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
    introspection_endpoint_auth_signing_alg_values_supported: algorithms,
    code_challenge_methods_supported: ['S256'],
    authorization_response_iss_parameter_supported: true,
    ...clientDocuments && { client_id_metadata_document_supported: true }
  }
}

/** The same with what parsers of OpenID Connect Discovery insist on. We issue no ID tokens. */
export function openidConfiguration (
  ...parameters: Parameters<typeof authorizationServerMetadata>
): Record<string, unknown> {
  const [issuer] = parameters
  return {
    ...authorizationServerMetadata(...parameters),
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256']
  }
}
