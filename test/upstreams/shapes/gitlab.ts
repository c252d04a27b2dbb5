import type { Shape } from './shape.js'

/*
 * GitLab, OpenID Connect provider: ID tokens have the groups of which a person is a direct member (groups_direct),
 * userinfo has all (groups). There is no offline_access; every login has a refresh token, which rotates.
 */
const base = 'https://gitlab.com'

export const gitlab: Shape = {
  name: 'GitLab',
  recipe: { page: 'gitlab.md' },
  values: { YOUR_GROUP: 'acme' },
  issuer: base,
  endpoints: {
    authorize: `${base}/oauth/authorize`,
    token: `${base}/oauth/token`,
    userinfo: `${base}/oauth/userinfo`,
    revoke: `${base}/oauth/revoke`,
    jwks: `${base}/oauth/discovery/keys`
  },
  metadata: {
    registration_endpoint: `${base}/oauth/register`,
    scopes_supported: ['api', 'read_api', 'read_user', 'read_repository', 'openid', 'profile', 'email'],
    token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
    claims_supported: ['iss', 'sub', 'aud', 'email', 'email_verified', 'groups', 'groups_direct'],
    code_challenge_methods_supported: ['plain', 'S256']
  },
  authMethod: 'client_secret_basic',
  lifetimeSeconds: 7200,
  refreshes: true,
  subject: '4711',
  idToken: {
    auth_time: 1_790_000_000,
    name: 'Alice Liddell',
    nickname: 'alice',
    email: 'alice@example.com',
    email_verified: true,
    groups_direct: ['acme/tools']
  },
  needsUserinfo: true,
  userinfo: {
    sub: '4711',
    name: 'Alice Liddell',
    email: 'alice@example.com',
    email_verified: true,
    groups: ['acme', 'acme/tools']
  },
  tokens: { scope: 'openid profile email', created_at: 1_790_000_000 },
  refusals: {
    code: {
      status: 400,
      body: { error: 'invalid_grant', error_description: 'The provided authorization grant is invalid, or expired.' }
    },
    refresh: {
      status: 400,
      body: { error: 'invalid_grant', error_description: 'The provided authorization grant is revoked.' }
    },
    secret: {
      status: 401,
      body: { error: 'invalid_client', error_description: 'Client authentication failed due to unknown client.' }
    }
  },
  cancelled: {
    error: 'access_denied',
    error_description: 'The resource owner or authorization server denied the request.'
  }
}
