import type { Shape } from './shape.js'

/*
 * Auth0: the issuer ends with a slash; with an audience the access token is a JWT; refresh tokens stay unless rotation
 * is on. A wrong secret is access_denied, with 401; an unknown refresh token is invalid_grant, with 403.
 */
const base = 'https://acme.eu.auth0.com'

export const auth0: Shape = {
  name: 'Auth0',
  recipe: { page: 'auth0.md', blocks: [0, 1] },
  values: { YOUR_TENANT: 'acme' },
  issuer: `${base}/`,
  endpoints: {
    authorize: `${base}/authorize`,
    token: `${base}/oauth/token`,
    userinfo: `${base}/userinfo`,
    revoke: `${base}/oauth/revoke`,
    jwks: `${base}/.well-known/jwks.json`
  },
  metadata: {
    // closed, unless the tenant opens it
    registration_endpoint: `${base}/oidc/register`,
    mfa_challenge_endpoint: `${base}/mfa/challenge`,
    scopes_supported: ['openid', 'profile', 'offline_access', 'name', 'email', 'email_verified', 'phone', 'address'],
    token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
    request_uri_parameter_supported: false,
    id_token_signing_alg_values_supported: ['HS256', 'RS256', 'PS256']
  },
  authMethod: 'client_secret_post',
  lifetimeSeconds: 86_400,
  refreshes: true,
  rotates: false,
  subject: 'auth0|63f1c0de5a1e2b0012345678',
  idToken: {
    nickname: 'alice',
    name: 'alice@example.com',
    picture: 'https://s.gravatar.com/avatar/0.png',
    updated_at: '2026-11-28T12:00:00.000Z',
    email: 'alice@example.com',
    email_verified: true,
    sid: 'Zx1'
  },
  userinfo: { sub: 'auth0|63f1c0de5a1e2b0012345678', email: 'alice@example.com' },
  tokens: { scope: 'openid profile email offline_access' },
  refusals: {
    code: { status: 403, body: { error: 'invalid_grant', error_description: 'Invalid authorization code' } },
    refresh: { status: 403, body: { error: 'invalid_grant', error_description: 'Unknown or invalid refresh token.' } },
    secret: { status: 401, body: { error: 'access_denied', error_description: 'Unauthorized' } }
  },
  cancelled: { error: 'access_denied', error_description: 'User did not authorize the request' },
  peculiar: {
    authorize: upstream => async (request, usual) =>
      (request.parameters.audience ?? 'https://api.example.com') === 'https://api.example.com'
        ? await usual()
        : upstream.redirect(request, { error: 'access_denied', error_description: 'Service not found' })
  }
}
