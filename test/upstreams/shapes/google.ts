import type { Shape } from './shape.js'

/*
 * Google: endpoints on four hosts; a refresh token only for access_type=offline with prompt=consent, and it stays; the
 * scope of the answer is spelt as URLs. Unknown scopes are refused, and offline_access is one.
 */
export const google: Shape = {
  name: 'Google',
  recipe: { page: 'google.md' },
  values: { OAUTH_CLIENT_ID: 'us' },
  issuer: 'https://accounts.google.com',
  endpoints: {
    authorize: 'https://accounts.google.com/o/oauth2/v2/auth',
    token: 'https://oauth2.googleapis.com/token',
    userinfo: 'https://openidconnect.googleapis.com/v1/userinfo',
    revoke: 'https://oauth2.googleapis.com/revoke',
    jwks: 'https://www.googleapis.com/oauth2/v3/certs'
  },
  metadata: {
    scopes_supported: ['openid', 'email', 'profile'],
    response_types_supported: ['code', 'token', 'id_token', 'code token', 'none'],
    token_endpoint_auth_methods_supported: ['client_secret_post', 'client_secret_basic'],
    code_challenge_methods_supported: ['plain', 'S256'],
    device_authorization_endpoint: 'https://oauth2.googleapis.com/device/code'
  },
  authMethod: 'client_secret_basic',
  lifetimeSeconds: 3599,
  refreshes: true,
  rotates: false,
  subject: '110169484474386276334',
  idToken: {
    azp: 'us',
    email: 'alice@example.com',
    email_verified: true,
    name: 'Alice Liddell',
    given_name: 'Alice',
    hd: 'example.com'
  },
  userinfo: {
    sub: '110169484474386276334',
    name: 'Alice Liddell',
    email: 'alice@example.com',
    email_verified: true,
    hd: 'example.com'
  },
  further: {
    'https://cloudidentity.googleapis.com/v1/groups/-/memberships:searchDirectGroups': {
      scope: 'https://www.googleapis.com/auth/cloud-identity.groups.readonly',
      body: { memberships: [{ group: 'groups/1', groupKey: { id: 'mcp-users@example.com' }, displayName: 'MCP' }] }
    }
  },
  tokens: {
    scope: 'openid https://www.googleapis.com/auth/userinfo.email https://www.googleapis.com/auth/userinfo.profile'
  },
  refusals: {
    code: { status: 400, body: { error: 'invalid_grant', error_description: 'Malformed auth code.' } },
    refresh: {
      status: 400,
      body: { error: 'invalid_grant', error_description: 'Token has been expired or revoked.' }
    },
    secret: {
      status: 401,
      body: { error: 'invalid_client', error_description: 'The provided client secret is invalid.' }
    }
  },
  cancelled: { error: 'access_denied' },
  peculiar: {
    authorize: upstream => async (request, usual) => {
      const { access_type: access, prompt, scope } = request.parameters
      if (access !== 'offline' || prompt !== 'consent') upstream.withoutRefreshTokens()
      return /offline_access/.test(String(scope))
        ? { status: 400, headers: { 'content-type': 'text/html' }, body: '<h1>Error 400: invalid_scope</h1>' }
        : await usual()
    }
  }
}
