import type { Shape } from './shape.js'

/*
 * Keycloak 26, Securing applications: endpoints below /protocol/openid-connect, the parameter iss (RFC 9207) and
 * session_state at the callback, not-before-policy beside the tokens. A session that has ended is "Session not active";
 * an unknown client or a wrong secret is unauthorized_client, with 401.
 */
const issuer = 'https://keycloak.example.com/realms/acme'
const endpoint = (path: string) => `${issuer}/protocol/openid-connect/${path}`
const name = 'alice'

const keycloak: Shape = {
  name: 'Keycloak, dynamic',
  recipe: { page: 'keycloak.md' },
  values: { YOUR_REALM: 'acme' },
  issuer,
  endpoints: {
    authorize: endpoint('auth'),
    token: endpoint('token'),
    userinfo: endpoint('userinfo'),
    revoke: endpoint('revoke'),
    jwks: endpoint('certs'),
    register: `${issuer}/clients-registrations/openid-connect`
  },
  metadata: {
    authorization_response_iss_parameter_supported: true,
    token_endpoint_auth_methods_supported: [
      'private_key_jwt',
      'client_secret_basic',
      'client_secret_post',
      'tls_client_auth',
      'client_secret_jwt'
    ],
    scopes_supported: ['openid', 'offline_access', 'profile', 'email', 'roles', 'web-origins', 'acr', 'basic'],
    code_challenge_methods_supported: ['plain', 'S256']
  },
  authMethod: 'client_secret_basic',
  lifetimeSeconds: 300,
  refreshes: true,
  subject: '9cf8c1d0-77a4-4c0e-9f55-0c5ad3f35e5a',
  idToken: {
    typ: 'ID',
    sid: '9d6bfe4f-0f30-4a39-a8c8-8f0c1b9f5b3c',
    acr: '1',
    email_verified: true,
    preferred_username: name,
    name: 'Alice Liddell',
    email: 'alice@example.com'
  },
  userinfo: { sub: '9cf8c1d0-77a4-4c0e-9f55-0c5ad3f35e5a', email_verified: true, preferred_username: name },
  tokens: {
    refresh_expires_in: 0,
    'not-before-policy': 0,
    session_state: '9d6bfe4f-0f30-4a39-a8c8-8f0c1b9f5b3c',
    scope: 'openid profile offline_access email'
  },
  refusals: {
    code: { status: 400, body: { error: 'invalid_grant', error_description: 'Code not valid' } },
    refresh: { status: 400, body: { error: 'invalid_grant', error_description: 'Session not active' } },
    secret: {
      status: 401,
      body: { error: 'unauthorized_client', error_description: 'Invalid client or Invalid client credentials' }
    }
  },
  cancelled: { error: 'access_denied', error_description: 'User cancelled the login' }
}

export const keycloakDynamic = keycloak

const { register: _register, ...endpoints } = keycloak.endpoints

/** With a client registered by hand; the registration endpoint is there, and not ours to use. */
export const keycloakStatic: Shape = {
  ...keycloak,
  name: 'Keycloak, static',
  recipe: { page: 'keycloak.md', blocks: [0, 1] },
  endpoints
}
