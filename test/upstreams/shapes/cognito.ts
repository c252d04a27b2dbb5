import type { Shape } from './shape.js'

/*
 * Amazon Cognito: the issuer is on another host than the endpoints, which are on the user pool's domain; there is no
 * registration, no offline_access, and a client that is not known is invalid_client with 400. Errors have no
 * description. Access tokens have client_id and no aud.
 */
const issuer = 'https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEfGhI'
const domain = 'https://acme.auth.eu-central-1.amazoncognito.com'

export const cognito: Shape = {
  name: 'Amazon Cognito',
  recipe: { page: 'cognito.md' },
  values: { YOUR_REGION: 'eu-central-1', YOUR_POOL: 'eu-central-1_AbCdEfGhI' },
  issuer,
  endpoints: {
    authorize: `${domain}/oauth2/authorize`,
    token: `${domain}/oauth2/token`,
    userinfo: `${domain}/oauth2/userInfo`,
    revoke: `${domain}/oauth2/revoke`,
    jwks: `${issuer}/.well-known/jwks.json`
  },
  metadata: {
    scopes_supported: ['openid', 'email', 'phone', 'profile'],
    response_types_supported: ['code', 'token'],
    token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
    code_challenge_methods_supported: undefined,
    end_session_endpoint: `${domain}/logout`
  },
  authMethod: 'client_secret_basic',
  lifetimeSeconds: 3600,
  refreshes: true,
  rotates: false,
  subject: 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee',
  idToken: {
    'cognito:username': 'alice',
    'cognito:groups': ['staff'],
    token_use: 'id',
    event_id: '64f513be',
    origin_jti: 'b1c3',
    auth_time: 1_790_000_000,
    email: 'alice@example.com',
    email_verified: true
  },
  userinfo: { sub: 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee', email_verified: 'true', username: 'alice' },
  refusals: {
    code: { status: 400, body: { error: 'invalid_grant' } },
    refresh: { status: 400, body: { error: 'invalid_grant' } },
    secret: { status: 400, body: { error: 'invalid_client' } }
  },
  cancelled: { error: 'access_denied', error_description: 'User cancelled' }
}
